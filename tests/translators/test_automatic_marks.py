"""Cache marks of the gateway's own, in whole requests: where they stand, and that they change nothing else."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.conversations import (
    DEFAULT_MODEL,
    Message,
    Request,
    called,
    chat,
    requests,
    returned,
    rows,
    said,
    segments,
    tool,
    translate,
)
from tests.support.intents import read_intent
from tests.support.legality import violations
from translators.beginnings import Sharing, beginnings
from translators.messages.caching import UNMARKABLE
from translators.messages.marking import LOOK_BACK_BLOCKS
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import ModelRow, model_table

AUTO = Options(caching="auto")
LONG = "What does the second section of the contract say about the end of the term? " * 60
SYSTEM = said("system", LONG)
CACHED_FROM = model_table().row(DEFAULT_MODEL).cache_minimum

Block = dict[str, Any]


def blocks_of(body: bytes) -> list[Block]:
    """All blocks that can be marked, in the order of the prompt."""
    written = json.loads(body)
    found = [*written.get("tools", ()), *written.get("system", ())]
    for message in written["messages"]:
        content = message["content"]
        found += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return found


def marks(body: bytes) -> list[int]:
    """The places of the marks."""
    return [place for place, block in enumerate(blocks_of(body), 1) if "cache_control" in block]


def unmarked(body: bytes) -> list[Block]:
    return [{name: value for name, value in block.items() if name != "cache_control"} for block in blocks_of(body)]


def sharing_of(request: Request, depth: int, **more: Any) -> Options:
    """Auto, where another request had so much of this one lately."""
    found = beginnings(read_intent(json.dumps(request).encode()), "", 0)
    return Options(caching="auto", sharing=Sharing(depth, found.system, found.first_turn, **more))


def test_a_single_question_is_not_marked() -> None:
    assert marks(translate(chat(SYSTEM, said("user", LONG)), options=AUTO).body) == []


def test_a_request_with_tools_is_marked_at_its_end_and_behind_its_system_prompt() -> None:
    written = translate(chat(SYSTEM, said("user", "Go"), tools=[tool("a"), tool("b")]), options=AUTO)

    assert marks(written.body) == [3, 4]
    assert written.fills_cache


def test_a_conversation_is_marked_from_its_second_turn_on() -> None:
    first = [SYSTEM, said("user", "Hello")]
    second = [*first, said("assistant", "Hi."), said("user", "And?")]

    assert marks(translate(chat(*first), options=AUTO).body) == []
    assert marks(translate(chat(*second), options=AUTO).body) == [1, 4]


def test_what_is_too_short_to_be_cached_is_not_marked() -> None:
    second = [said("user", "Hello"), said("assistant", "Hi."), said("user", "And?")]

    assert marks(translate(chat(*second, tools=[tool()]), options=AUTO).body) == []


def test_where_the_system_prompt_alone_is_too_short_only_the_end_is_marked() -> None:
    messages = [said("system", "Be brief."), said("user", LONG), said("assistant", "Hi."), said("user", "And?")]

    assert marks(translate(chat(*messages), options=AUTO).body) == [4]


@pytest.mark.parametrize(
    ("request_", "depth", "places"),
    [
        pytest.param(chat(SYSTEM, said("user", "Hi")), 2, [1], id="a system prompt"),
        pytest.param(chat(SYSTEM, said("system", "Now."), said("user", "Hi")), 2, [1], id="half a system prompt"),
        pytest.param(chat(SYSTEM, said("user", "Hi")), 3, [1, 2], id="all of it"),
        pytest.param(
            chat(said("user", [{"type": "text", "text": text} for text in (LONG, LONG, "Why?")])), 3, [2], id="parts"
        ),
        pytest.param(chat(said("user", LONG), said("user", LONG), said("user", "Why?")), 3, [2], id="messages"),
        pytest.param(
            chat(SYSTEM, said("user", "Hi"), tools=[tool(description=LONG)]), 1, [1, 2, 3], id="tools without system"
        ),
        # A blank part is not sent: which block is which part is not known any more.
        pytest.param(
            chat(SYSTEM, said("user", [{"type": "text", "text": text} for text in (LONG, " ", LONG, "Why?")])),
            4,
            [1],
            id="a blank part",
        ),
        pytest.param(
            chat(said("user", [{"type": "text", "text": text} for text in (LONG, " ", LONG)])), 4, [2], id="whole"
        ),
        pytest.param(
            chat(
                said("system", [{"type": "text", "text": text} for text in (LONG, " ", LONG, "Now.")]),
                said("user", "Hi"),
                tools=[tool(description=LONG)],
            ),
            4,
            [1, 4, 5],
            id="a blank part of the system prompt",
        ),
        pytest.param(chat(said("user", LONG)), 1, [], id="nothing but the model"),
    ],
)
def test_the_end_of_what_another_request_had_is_marked(request_: Request, depth: int, places: list[int]) -> None:
    assert marks(translate(request_, options=sharing_of(request_, depth)).body) == places


def test_words_of_the_gateway_for_the_whole_conversation_belong_to_the_system_prompt() -> None:
    request = chat(SYSTEM, said("user", "Hi"), verbosity="low")
    written = translate(request, options=sharing_of(request, 2))

    assert len(json.loads(written.body)["system"]) == 2
    assert marks(written.body) == [2]


def test_several_answers_read_the_prompt_that_the_first_of_them_writes() -> None:
    request = chat(said("user", LONG))
    written = translate(request, options=sharing_of(request, 0, is_asked_again=True))

    assert marks(written.body) == [1]
    assert written.fills_cache


# No form of an answer can be made of it.
ANYTHING = {"type": "object", "additionalProperties": True}


def test_words_of_the_gateway_for_one_turn_stand_behind_the_mark() -> None:
    calls = [said("user", LONG), called(("c1", "look", "{}")), returned("c1")]
    written = translate(
        chat(*calls, tools=[tool("look", parameters=ANYTHING), tool("talk")], tool_choice="required"),
        "claude-fable-5-2",
        options=AUTO,
    )

    *_, result, words = blocks_of(written.body)
    assert written.expects_call
    assert words["type"] == "text"
    assert "cache_control" in result
    assert "cache_control" not in words


def test_an_answer_that_stands_last_is_no_end() -> None:
    """The next request has it in another form: with what the model has said after it."""
    messages = [said("user", LONG), said("assistant", "A"), said("user", "Go on"), said("assistant", "Well")]

    assert marks(translate(chat(*messages), "claude-haiku-4-5", options=AUTO).body) == []
    assert marks(translate(chat(SYSTEM, *messages), options=AUTO).body)[-1] == 4


def test_a_turn_with_many_blocks_is_marked_where_the_request_before_it_ended() -> None:
    ids = [f"c{number}" for number in range(12)]
    messages = [
        SYSTEM,
        said("user", "Go"),
        called(*((call_id, "look", "{}") for call_id in ids)),
        *(returned(call_id) for call_id in ids),
    ]

    assert marks(translate(chat(*messages, tools=[tool("look")]), options=AUTO).body) == [2, 3, 27]


def test_the_request_before_ended_before_all_the_answers_that_stand_together() -> None:
    asked = [SYSTEM, said("user", "Go"), said("assistant", "Well"), said("assistant", "So")]
    parts = [{"type": "text", "text": f"{number}"} for number in range(30)]

    assert marks(translate(chat(*asked, said("user", parts)), options=AUTO).body) == [1, 2, 34]


def test_an_image_is_as_long_as_images_are_and_not_as_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,iVBORw0KGgo{'A' * 200_001}"}}
    request = chat(said("user", [image, {"type": "text", "text": "What is it?"}]), tools=[tool()])

    assert model_table().row("claude-haiku-4-5").cache_minimum > 1_600
    assert marks(translate(request, "claude-haiku-4-5", options=AUTO).body) == []


@pytest.mark.parametrize(
    "marked",
    [
        {"messages": [said("user", [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}])]},
        {"messages": [said("user", [{"type": "text", "text": LONG, "prompt_cache_breakpoint": {"mode": "explicit"}}])]},
        {"cache_control": {"type": "ephemeral"}},
        {"prompt_cache_options": {"ttl": "1h"}},
        {"prompt_cache_retention": "24h"},
        {"prompt_cache_options": {"mode": "explicit"}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_who_speaks_of_caching_is_not_helped(marked: Request) -> None:
    request = {**chat(SYSTEM, said("user", LONG), tools=[tool()]), **marked}

    assert translate(request, options=AUTO).body == translate(request).body


@given(request=requests(), row=rows, depth=st.integers(0, 9), minimum=st.sampled_from([0, 5, 40, 10_000]))
def test_marks_are_few_legal_deterministic_and_change_nothing(
    request: Request, row: ModelRow, depth: int, minimum: int
) -> None:
    row = replace(row, cache_minimum=minimum)
    asked = read_intent(json.dumps(request).encode())
    options = sharing_of(request, depth)
    plain = write_request(asked, Target(row.id, row), Options())
    written = write_request(asked, Target(row.id, row), options)

    found = marks(written.body)
    assert write_request(asked, Target(row.id, row), options) == written
    assert len(found) <= 4
    assert unmarked(written.body) == unmarked(plain.body)
    assert written.adjusted == plain.adjusted
    assert violations(json.loads(written.body), row, written.version, written.betas) == []
    blocks = blocks_of(written.body)
    assert {blocks[place - 1].get("type") for place in found}.isdisjoint(UNMARKABLE)
    sizes = [len(json.dumps(block)) for block in blocks]
    assert all(sum(sizes[:place]) // 4 >= minimum for place in found)


@given(pieces=segments(), row=rows, with_tools=st.booleans())
def test_each_turn_finds_what_the_turn_before_it_wrote(
    pieces: list[list[Message]], row: ModelRow, with_tools: bool
) -> None:
    row = replace(row, cache_minimum=0)
    more = {"tools": [tool("look")]} if with_tools else {}
    history: list[Message] = []
    bodies = []
    for piece in pieces:
        history = [*history, *piece]
        if history:
            asked = read_intent(json.dumps(chat(*history, **more)).encode())
            bodies.append(write_request(asked, Target(row.id, row), AUTO).body)

    for earlier, later in pairwise(bodies):
        if not (written := marks(earlier)):
            continue
        end = written[-1]
        # Up to the mark, the longer one repeats the shorter; and from one of its marks upstream sees it.
        assert unmarked(earlier)[:end] == unmarked(later)[:end]
        assert any(mark - LOOK_BACK_BLOCKS < end <= mark for mark in marks(later))


@given(calls=st.lists(st.integers(1, 15), max_size=5))
def test_each_request_of_a_loop_finds_what_the_one_before_it_wrote_however_many_tools_were_called(
    calls: list[int],
) -> None:
    history = [SYSTEM, said("user", "Go")]
    before = marks(translate(chat(*history, tools=[tool("look")]), options=AUTO).body)
    for turn, count in enumerate(calls):
        ids = [f"c{turn}_{number}" for number in range(count)]
        history += [called(*((call_id, "look", "{}") for call_id in ids)), *(returned(call_id) for call_id in ids)]
        found = marks(translate(chat(*history, tools=[tool("look")]), options=AUTO).body)

        assert any(mark - LOOK_BACK_BLOCKS < before[-1] <= mark for mark in found)
        assert found[-1] == before[-1] + 2 * count
        before = found
