"""What upstream reports of its messages is kept call by call, as far as prices depend on it."""

from typing import Any

import msgspec
import pytest

from translators.message_usage import MessageUsage, total_of
from translators.usage import Usage
from translators.wire.messages import UsageCounts

COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500, "cache_read_input_tokens": 7}
MESSAGE = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}
SUMMARY = MessageUsage("m", 180_000, 7, output_tokens=3_500)
ANSWER = MessageUsage("m", 23_000, output_tokens=1_000)


def counts(**given: Any) -> UsageCounts:
    return msgspec.json.decode(msgspec.json.encode(given), type=UsageCounts)


def of_steps(*iterations: Any, **given: Any) -> UsageCounts:
    return counts(**{"input_tokens": 23_000, "output_tokens": 1_000, "iterations": iterations} | given)


def streamed(start: UsageCounts, *deltas: UsageCounts) -> Usage:
    usage = Usage()
    usage.begin("m", start)
    for delta in deltas:
        usage.update(delta)
    return usage


def whole(given: UsageCounts) -> tuple[MessageUsage, ...]:
    usage = Usage()
    usage.update(given, "m")
    return usage.messages


def test_summaries_are_calls_of_their_own() -> None:
    usage = streamed(counts(input_tokens=23_000), of_steps(COMPACTION, MESSAGE))
    # Counts are cumulative.
    usage.update(of_steps(COMPACTION, MESSAGE, COMPACTION))

    assert (usage.prompt_tokens, usage.output_tokens) == (23_000, 1_000)
    assert usage.messages == (ANSWER, SUMMARY, SUMMARY)
    assert total_of(usage.messages).prompt_tokens == 383_014


def test_each_message_of_a_continued_answer_is_one() -> None:
    usage = streamed(counts(input_tokens=3), of_steps(COMPACTION))
    usage.begin_another()
    usage.begin("m", counts(input_tokens=4))
    usage.update(counts(output_tokens=9))

    assert usage.messages == (ANSWER, SUMMARY, MessageUsage("m", 4, output_tokens=9))
    assert (usage.input_tokens, usage.output_tokens) == (23_004, 1_009)


def test_what_was_let_go_of_leaves_the_sums() -> None:
    usage = streamed(counts(input_tokens=3), counts(output_tokens=5))
    usage.let_go()

    assert (usage.messages, usage.input_tokens, usage.output_tokens) == ((), 3, 5)


def test_a_message_that_never_begins_has_used_nothing() -> None:
    usage = Usage()
    usage.update(counts(input_tokens=3), "m")
    usage.begin_another()

    assert usage.messages == (MessageUsage("m", 3),)
    assert Usage().messages == ()


@pytest.mark.parametrize(
    "iterations", [None, [], [MESSAGE], "compaction", {"type": "compaction"}, [["compaction"]], [{"type": 5}]]
)
def test_steps_that_say_nothing_new_change_nothing(iterations: Any) -> None:
    assert whole(counts(input_tokens=23_000, output_tokens=1_000, iterations=iterations)) == (ANSWER,)


def test_the_steps_of_a_message_have_prompts_of_their_own_and_advice_has_its_model() -> None:
    steps = (
        {"type": "message", "input_tokens": 1_128, "output_tokens": 135},
        {"type": "advisor_message", "model": "advisor", "input_tokens": 2_543, "output_tokens": 18},
        {"type": "message", "input_tokens": 1_283, "output_tokens": 10},
    )
    tools = {"web_search_requests": 2, "web_fetch_requests": 0}
    details = {"thinking_tokens": 47}

    assert whole(
        of_steps(
            *steps,
            input_tokens=2_411,
            output_tokens=145,
            output_tokens_details=details,
            server_tool_use=tools,
            speed="fast",
            inference_geo="us",
        )
    ) == (
        MessageUsage("m", 1_128, output_tokens=135, speed="fast", inference_geo="us"),
        MessageUsage(
            "m",
            1_283,
            output_tokens=10,
            thinking_tokens=47,
            server_tools=(("web_search_requests", 2),),
            speed="fast",
            inference_geo="us",
        ),
        # What is true of a message's speed says nothing of another model's.
        MessageUsage("advisor", 2_543, output_tokens=18, inference_geo="us"),
    )


def test_steps_that_do_not_add_up_are_one_call() -> None:
    step = {"type": "message", "input_tokens": 1, "output_tokens": 1}

    assert whole(of_steps(step, step)) == (ANSWER,)


@pytest.mark.parametrize("written", [0, 30])
def test_a_model_that_declines_is_paid_for_what_it_has_written(written: int) -> None:
    steps = (
        {"type": "message", "model": "first", "input_tokens": 408, "output_tokens": written},
        {"type": "fallback_message", "model": "second", "input_tokens": 412, "output_tokens": 264},
    )
    declined = MessageUsage("first", 408, output_tokens=written)

    assert whole(of_steps(*steps, input_tokens=412, output_tokens=264)) == (
        MessageUsage("second", 412, output_tokens=264),
        *([declined] if written else []),
    )


@pytest.mark.parametrize(
    ("total", "creation", "written"),
    [
        (30, {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}, (10, 20)),
        # Later in a message more is written than its start has told.
        (50, {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}, (30, 20)),
        (50, {"ephemeral_1h_input_tokens": 20}, (0, 50)),
        (50, {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, (50, 0)),
        (15, {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}, (0, 15)),
        (None, {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}, (10, 20)),
        (0, {"ephemeral_1h_input_tokens": 20}, (0, 0)),
        (7, None, (7, 0)),
        (7, "odd", (7, 0)),
        (7, {"ephemeral_1h_input_tokens": -1, "ephemeral_5m_input_tokens": 10**40}, (7, 0)),
    ],
)
def test_what_was_written_to_a_cache_is_told_by_its_lifetime(
    total: int | None, creation: Any, written: tuple[int, int]
) -> None:
    (message,) = (
        streamed(
            counts(cache_creation_input_tokens=3, cache_creation=creation), counts(cache_creation_input_tokens=total)
        ).messages
        if total is not None
        else whole(counts(cache_creation=creation))
    )

    assert (message.cache_write_5m_tokens, message.cache_write_1h_tokens) == written
    assert message.prompt_tokens == sum(written)


def test_what_only_the_start_tells_is_kept_and_later_counts_win() -> None:
    start = counts(input_tokens=9, output_tokens=1, service_tier="batch", inference_geo="us", speed="fast")

    usage = streamed(start, counts(output_tokens=5, server_tool_use={"web_search_requests": 1, "odd": None}))
    assert usage.messages == (
        MessageUsage(
            "m",
            9,
            output_tokens=5,
            server_tools=(("web_search_requests", 1),),
            service_tier="batch",
            inference_geo="us",
            speed="fast",
        ),
    )
    assert usage.is_final
    assert not streamed(start).is_final


@pytest.mark.parametrize("odd", [5, [], {}, {"a": "b"}, None, "", True, 10**400])
def test_what_nobody_understands_is_no_reason_to_lose_an_answer(odd: Any) -> None:
    given = counts(
        input_tokens=3,
        cache_creation_input_tokens=4,
        cache_creation=odd,
        server_tool_use=odd,
        inference_geo=odd,
        speed=odd,
        iterations=odd,
    )

    assert whole(given) == (MessageUsage("m", 3, cache_write_5m_tokens=4),)


def test_more_steps_or_tools_than_can_be_are_not_read() -> None:
    step = {"type": "compaction", "input_tokens": 1}
    tools = {f"tool_{number}": 1 for number in range(50)}

    assert whole(counts(input_tokens=3, server_tool_use=tools, iterations=[step] * 5_000)) == (MessageUsage("m", 3),)
