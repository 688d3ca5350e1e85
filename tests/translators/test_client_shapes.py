"""Thinking comes back through clients that write a turn otherwise than they were given it, and never in silence not."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from tests.support.client_shapes import SHAPES, Message, Shape, agno, changed, each, merged, plain
from tests.support.conversations import chat, returned, said, tool
from tests.support.sealed import Sealing, flat, thoughts
from translators.errors import TranslationError
from translators.hosts import HostProfile
from translators.messages.options import Options

TOOLS = [tool("look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})]
BEGIN = [said("system", "You look things up."), said("user", "What is there?")]
ROUNDS = 6
BOUND, UNBOUND, MANUAL = "claude-sonnet-5-5", "claude-opus-4-8", "claude-sonnet-4-5"
models = pytest.mark.parametrize("model", [BOUND, UNBOUND, MANUAL])


def answers(number: int) -> list[dict[str, Any]]:
    """An answer of the model: always a thought and calls, some with words, one with two calls, some without values."""
    words = [{"type": "text", "text": f"Step {number}."}] if number % 2 == 0 else []
    calls = [
        {
            "type": "tool_use",
            "id": f"toolu_{number}_{place}",
            "name": "look",
            "input": {} if number % 3 == 0 else {"at": f"{number}"},
        }
        for place in range(4 if number == 3 else 1)
    ]
    return [{"type": "thinking", "thinking": f"Thought {number}."}, *words, *calls]


Answers: TypeAlias = Callable[[int], list[dict[str, Any]]]


def went_on(
    loop: Sealing,
    history: list[Message],
    shape: Shape,
    rounds: range,
    account: str = "a",
    answers: Answers = answers,
) -> list[Message]:
    """So many more rounds of a loop of tools, as a client of this shape holds them."""
    fields = {"reasoning_effort": "low"} if loop.model != BOUND else {}
    for number in rounds:
        message = loop.ask(chat(*shape(history), tools=TOOLS, **fields), answers(number), account=account)
        calls = message["tool_calls"]
        history = [*history, message, *(returned(call["id"], f"{number}") for call in calls)]
    return history


@models
@pytest.mark.parametrize("name", SHAPES)
def test_six_turns_come_back_whole(name: str, model: str) -> None:
    loop = Sealing(model)
    went_on(loop, BEGIN, SHAPES[name], range(ROUNDS))

    assert loop.broken == []
    assert loop.adjusted == [None] * ROUNDS
    assert [len(thoughts(body)) for body in loop.bodies] == [*range(ROUNDS)]
    for earlier, later in zip(loop.bodies, loop.bodies[1:], strict=False):
        assert flat(later)[: len(flat(earlier))] == flat(earlier)
    assert (loop.memory.counts.restored, loop.memory.counts.left_out) == (ROUNDS - 1, {})


@models
@pytest.mark.parametrize("name", SHAPES)
def test_another_process_over_the_same_store_brings_them_back_as_well(name: str, model: str) -> None:
    loop = Sealing(model)
    history = went_on(loop, BEGIN, SHAPES[name], range(3))
    loop.restart()
    went_on(loop, history, SHAPES[name], range(3, ROUNDS))

    assert loop.broken == []
    assert [len(thoughts(body)) for body in loop.bodies] == [*range(ROUNDS)]


@models
# Turns that do not go back are sent with the client's ids: where these change, so does what stands before a thought.
@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"ever-new-ids"}))
def test_another_account_in_the_middle_is_named_once_and_breaks_nothing(name: str, model: str) -> None:
    loop = Sealing(model)
    history = went_on(loop, BEGIN, SHAPES[name], range(3))
    history = went_on(loop, history, SHAPES[name], range(3, 5), account="b")
    went_on(loop, history, SHAPES[name], range(5, ROUNDS), account="b")

    assert loop.broken == []
    named = [note for note in loop.adjusted if note is not None and "thinking_blocks" in note]
    assert len(named) == 1
    assert "thinking_blocks=dropped:account" in named[0]
    # What the second account has thought comes back; the first one's does not, ever again.
    manual = model == MANUAL
    assert [len(thoughts(body)) for body in loop.bodies] == [0, 1, 2, 0, 1, 2] or manual


@models
@pytest.mark.parametrize(("shape", "lost"), [(merged, ROUNDS - 2), (changed, ROUNDS - 1)], ids=["merged", "changed"])
def test_what_cannot_be_found_again_is_named_and_counted(shape: Shape, lost: int, model: str) -> None:
    loop = Sealing(model)
    went_on(loop, BEGIN, shape, range(ROUNDS))

    assert loop.broken == []
    named = [note for note in loop.adjusted if note is not None and "thinking_blocks=dropped:unknown" in note]
    assert len(named) == lost
    assert loop.memory.counts.left_out == {"unknown": lost}


def unthought_at_first(number: int) -> list[dict[str, Any]]:
    """The same, but the model does not think before its first call."""
    return answers(number) if number else answers(number)[1:]


def whole(history: list[Message]) -> list[Message]:
    """As it was given."""
    return [*map(plain, history)]


def pairs(history: list[Message]) -> list[Message]:
    """The first turn stands alone, the two after it are merged."""
    return [*map(plain, history[:4]), *merged([*history[1:2], *history[4:]])[1:]]


@models
@pytest.mark.parametrize(("shape", "first_lost"), [(merged, 2), (pairs, 3)], ids=["all-in-one", "two-behind-the-first"])
@pytest.mark.parametrize("answer", [answers, unthought_at_first], ids=["thinks-always", "thinks-later"])
def test_merged_turns_never_lose_their_thinking_in_silence(
    shape: Shape, first_lost: int, answer: Answers, model: str
) -> None:
    loop = Sealing(model)
    went_on(loop, BEGIN, shape, range(ROUNDS), answers=answer)

    assert loop.broken == []
    named = ["thinking_blocks=dropped:unknown" in (note or "") for note in loop.adjusted]
    assert named == [number >= first_lost for number in range(ROUNDS)]
    assert loop.memory.counts.left_out == {"unknown": ROUNDS - first_lost}


@models
@pytest.mark.parametrize("answer", [answers, unthought_at_first], ids=["thinks-always", "thinks-later"])
def test_turns_that_are_merged_only_after_their_run_are_named(answer: Answers, model: str) -> None:
    loop = Sealing(model)
    history = went_on(loop, BEGIN, whole, range(3), answers=answer)
    after = [*merged(history), {"role": "assistant", "content": "A castle."}, said("user", "And there?")]
    request, _ = loop.written(chat(*after, tools=TOOLS))

    assert "thinking_blocks=dropped:unknown" in (request.adjusted or "")


@models
def test_turns_as_they_were_made_come_back_though_the_first_had_no_thinking(model: str) -> None:
    loop = Sealing(model)
    for shape in (whole, SHAPES["agno"], SHAPES["mastra"]):
        loop = Sealing(model)
        went_on(loop, BEGIN, shape, range(ROUNDS), answers=unthought_at_first)

        assert loop.broken == []
        assert [len(thoughts(body)) for body in loop.bodies] == [0, *range(ROUNDS - 1)]
        assert loop.memory.counts.left_out == {}


def test_a_conversation_without_thinking_costs_one_more_look_and_is_not_named() -> None:
    loop = Sealing(UNBOUND)
    history: list[Message] = [*BEGIN]
    for number in range(ROUNDS):
        before = loop.store.fetches
        message = loop.ask(chat(*history, tools=TOOLS), answers(number)[1:])
        assert loop.store.fetches - before <= 2
        history += [plain(message), *(returned(call["id"], f"{number}") for call in message["tool_calls"])]

    assert loop.adjusted == [None] * ROUNDS
    assert loop.memory.counts.left_out == {}


def test_other_words_beside_the_same_calls_are_an_edit_still() -> None:
    loop = Sealing()
    went_on(
        loop,
        BEGIN,
        each(lambda message: {**message, "content": "No."} if "tool_calls" in message else message),
        range(2),
    )

    assert thoughts(loop.bodies[1]) == []
    assert loop.adjusted == [None, "thinking_blocks=dropped:edited"]


def test_two_callers_do_not_find_each_others_turns_by_their_places() -> None:
    loop = Sealing()
    history = went_on(loop, BEGIN, each(agno), range(1))
    request, _ = loop.written(chat(*map(agno, map(plain, history)), tools=TOOLS), scope=b"somebody else")

    assert thoughts(request.body) == []
    assert request.adjusted is None


OWN = {"type": "thinking", "thinking": "Mine.", "signature": "EqQB"}


def refused_by_upstream(loop: Sealing, body: dict[str, Any]) -> None:
    """Let upstream refuse the thinking of a request."""
    request, writer = loop.written(body)
    writer.learn(HostProfile(), "messages.1.content.0: Invalid `signature` in `thinking` block", request)


def test_who_wants_no_adjustments_gets_no_answer_without_refused_thinking_of_its_own() -> None:
    loop = Sealing()
    (message, *rest) = went_on(loop, BEGIN, each(plain), range(1))[2:]
    body = chat(*BEGIN, {**message, "thinking_blocks": [OWN]}, *rest, tools=TOOLS)
    refused_by_upstream(loop, body)

    request, _ = loop.written(body)
    assert request.adjusted == "thinking_blocks=dropped:refused"
    with pytest.raises(TranslationError) as raised:
        loop.written(body, options=Options(reject_unsupported=True))
    assert raised.value.failure.param == "thinking_blocks"


def test_who_wants_no_adjustments_is_answered_without_thinking_that_only_the_gateway_knew() -> None:
    loop = Sealing()
    history = went_on(loop, BEGIN, each(plain), range(1))
    body = chat(*map(plain, history), tools=TOOLS)
    request, writer = loop.written(body, options=Options(reject_unsupported=True))
    writer.learn(HostProfile(), "messages.1.content.0: Invalid `signature` in `thinking` block", request)
    again = writer(HostProfile(), True)

    assert thoughts(request.body)
    assert not thoughts(again.body)
    assert again.adjusted == "thinking_blocks=dropped:refused"
