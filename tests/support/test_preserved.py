"""The judges of kept thinking see what they are there to see."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.preserved import (
    Exchange,
    assert_continued,
    assert_kept,
    assert_repeated,
    assert_visible_kept,
    blocks_of,
)

JSON = dict[str, Any]
MARK = {"cache_control": {"type": "ephemeral"}}
THOUGHT: JSON = {"type": "thinking", "thinking": "", "signature": "Eq=="}
REDACTED: JSON = {"type": "redacted_thinking", "data": "Ab=="}
TEXT: JSON = {"type": "text", "text": "Let me look."}
CALL: JSON = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "look",
    "caller": {"type": "direct"},
    "input": {"at": 1, "for": 2},
}
RESULT: JSON = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
TOOL: JSON = {"name": "look", "input_schema": {"type": "object"}}
FIRST: JSON = {"system": "Be kind.", "tools": [TOOL], "messages": [{"role": "user", "content": "Hello"}]}
CONTENT: list[JSON] = [TEXT, THOUGHT, REDACTED, CALL]


def continued(body: JSON, content: list[JSON], following: list[JSON]) -> JSON:
    messages = [{"role": "assistant", "content": content}, {"role": "user", "content": following}]
    return {**body, "messages": [*body["messages"], *messages]}


CALLED_BACK = {name: value for name, value in CALL.items() if name != "caller"}
SECOND = continued(FIRST, [TEXT, THOUGHT, REDACTED, CALLED_BACK], [RESULT])


def test_a_request_that_holds_all_that_was_said_is_fine() -> None:
    marked = copy.deepcopy(SECOND)
    marked["system"] = [{"type": "text", "text": "Be kind.", **MARK}]
    marked["tools"][0] |= MARK
    marked["messages"][0]["content"] = [{"type": "text", "text": "Hello", **MARK}]

    for later in (SECOND, marked):
        assert_repeated(FIRST, later)
        assert_continued(Exchange(FIRST, CONTENT), later)
        assert_kept([Exchange(FIRST, CONTENT), Exchange(later, [TEXT])])


def without(kind: str) -> Callable[[JSON], None]:
    def change(body: JSON) -> None:
        content = body["messages"][1]["content"]
        content[:] = [block for block in content if block["type"] != kind]

    return change


def moved(body: JSON) -> None:
    content = body["messages"][1]["content"]
    content[0], content[1] = content[1], content[0]


def signed_otherwise(body: JSON) -> None:
    body["messages"][1]["content"][1]["signature"] = "Er=="


def thought_otherwise(body: JSON) -> None:
    body["messages"][1]["content"][1]["thinking"] = "Hm."


def called_in_another_order(body: JSON) -> None:
    body["messages"][1]["content"][3]["input"] = {"for": 2, "at": 1}


def cut_off(body: JSON) -> None:
    del body["messages"][1:]


def instructed_otherwise(body: JSON) -> None:
    body["system"] = "Be brief."


def equipped_otherwise(body: JSON) -> None:
    body["tools"] = []


LOSSES = [without("thinking"), without("redacted_thinking"), moved, signed_otherwise, thought_otherwise]
BREAKS = [without("text"), without("tool_use"), called_in_another_order, cut_off]
OTHERS = [instructed_otherwise, equipped_otherwise]


@pytest.mark.parametrize("change", [*LOSSES, *BREAKS, *OTHERS])
def test_a_request_that_lost_or_changed_something_is_noticed(change: Callable[[JSON], None]) -> None:
    later = copy.deepcopy(SECOND)
    change(later)

    with pytest.raises(AssertionError):
        assert_kept([Exchange(FIRST, CONTENT), Exchange(later, [TEXT])])


@pytest.mark.parametrize("change", OTHERS)
def test_a_request_that_begins_otherwise_is_no_repetition(change: Callable[[JSON], None]) -> None:
    later = copy.deepcopy(SECOND)
    change(later)

    with pytest.raises(AssertionError):
        assert_repeated(FIRST, later)


@pytest.mark.parametrize("change", [without("thinking"), without("redacted_thinking"), signed_otherwise])
def test_lost_thinking_leaves_the_visible_conversation_whole(change: Callable[[JSON], None]) -> None:
    later = copy.deepcopy(SECOND)
    change(later)

    assert_visible_kept([Exchange(FIRST, CONTENT), Exchange(later, [TEXT])])


@pytest.mark.parametrize("change", [*BREAKS, *OTHERS])
def test_a_visible_conversation_that_is_not_whole_is_noticed(change: Callable[[JSON], None]) -> None:
    later = copy.deepcopy(SECOND)
    change(later)

    with pytest.raises(AssertionError):
        assert_visible_kept([Exchange(FIRST, CONTENT), Exchange(later, [TEXT])])


def test_what_is_visible_does_not_say_how_text_and_calls_were_interleaved() -> None:
    second: JSON = {**CALL, "id": "toolu_2"}
    answer = [TEXT, THOUGHT, CALL, {**TEXT, "text": " And there."}, second]
    joined = {**TEXT, "text": "Let me look. And there."}
    results = [RESULT, {**RESULT, "tool_use_id": "toolu_2"}]
    whole = continued(FIRST, [joined, CALL, second], results)
    turned = continued(FIRST, [joined, second, CALL], results)

    assert_visible_kept([Exchange(FIRST, answer), Exchange(whole, [TEXT])])
    with pytest.raises(AssertionError):
        assert_visible_kept([Exchange(FIRST, answer), Exchange(turned, [TEXT])])


def test_the_thinking_of_an_answer_without_calls_may_be_kept_or_left_out() -> None:
    answer = [THOUGHT, TEXT]
    kept = continued(FIRST, answer, [{"type": "text", "text": "More."}])
    left_out = continued(FIRST, [TEXT], [{"type": "text", "text": "More."}])
    changed = continued(FIRST, [{**THOUGHT, "signature": "Er=="}, TEXT], [{"type": "text", "text": "More."}])

    assert_continued(Exchange(FIRST, answer), kept)
    assert_continued(Exchange(FIRST, answer), left_out)
    with pytest.raises(AssertionError):
        assert_continued(Exchange(FIRST, answer), changed)


def test_a_text_is_one_block_and_nothing_is_none() -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    blocks = blocks_of(body)

    written_out = {"system": "", "messages": [{"role": "user", "content": [{**TEXT, "text": "Hello"}]}]}

    assert blocks == blocks_of(written_out)
    assert [(block.role, block.type) for block in blocks] == [("user", "text")]
