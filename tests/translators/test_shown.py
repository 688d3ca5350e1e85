"""A message shows a turn where it says what was said, however clients write that down."""

import json
from typing import Any

import pytest

from tests.support.conversations import chat
from tests.support.intents import read_intent
from translators.answers.recorder import Block
from translators.kept.shown import shows
from translators.messages.names import caller_call_id, upstream_property_name, upstream_tool_name

FENCED = "```json\n{}\n```"
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
SEALED = {"type": "redacted_thinking", "data": "EmwK"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1}}


def is_shown(message: dict[str, Any], *blocks: dict[str, Any]) -> bool:
    made = [Block(block["type"], json.dumps(block).encode()) for block in blocks]
    return shows(made, read_intent(json.dumps(chat({"role": "assistant", **message})).encode()).messages[0])


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(call_id: str = "toolu_1", name: str = "look", arguments: Any = '{"at": 1}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def custom(name: str, value: Any) -> dict[str, Any]:
    return {"id": "toolu_1", "type": "custom", "custom": {"name": name, "input": value}}


@pytest.mark.parametrize(
    ("message", "words", "is_same"),
    [
        ({"content": "A"}, "A", True),
        ({"content": " A\n"}, "A", True),
        ({"content": "B"}, "A", False),
        ({"content": "A", "refusal": "No."}, "A", False),
        ({"content": FENCED}, FENCED, True),
        ({"content": "{}"}, FENCED, True),
        ({"content": "[]"}, FENCED, False),
        ({"content": '{"a": 1}'}, 'Here it is: {"a": 1}. Well?', True),
        ({"content": [text("A"), text("B")]}, "AB", True),
        ({"content": [text("A"), {"type": "image_url", "image_url": {"url": "https://a.example"}}]}, "A", False),
        ({"content": [{"type": "refusal", "refusal": "A"}]}, "A", False),
        ({"content": [{"type": "text", "text": None}]}, "", False),
        ({"content": None}, "", True),
        ({"content": 5}, "5", False),
    ],
)
def test_the_words_count(message: dict[str, Any], words: str, is_same: bool) -> None:
    assert is_shown(message, text(words)) is is_same


@pytest.mark.parametrize(
    ("calls", "is_same"),
    [
        ([call()], True),
        # Whose ids they are, the key of a turn says; some clients spell them anew.
        ([call("toolu_2")], True),
        ([call(name="add")], False),
        ([call(arguments='{"at": 2}')], False),
        ([call(arguments={"at": 1})], True),
        ([call(arguments={"at": 2})], False),
        ([call(arguments=' {"at":1}\n')], True),
        ([call(arguments=None)], False),
        ([call(arguments="{")], False),
        ([call(), call()], False),
        ([], False),
        ([{"id": "toolu_1", "type": "function"}], False),
    ],
)
def test_the_calls_count(calls: list[dict[str, Any]], is_same: bool) -> None:
    assert is_shown({"tool_calls": calls}, CALL) is is_same


@pytest.mark.parametrize("given", ["{}", "null", "[]", "", " [ ] ", '""', None, [], {}])
def test_no_arguments_are_the_same_however_a_client_writes_them(given: Any) -> None:
    assert is_shown({"tool_calls": [call(arguments=given)]}, {**CALL, "input": {}})


@pytest.mark.parametrize("given", ["[0]", "false", "0", '{"at": null}', '"a"'])
def test_arguments_that_say_something_are_not_none(given: str) -> None:
    assert not is_shown({"tool_calls": [call(arguments=given)]}, {**CALL, "input": {}})


@pytest.mark.parametrize("given", ["null", "[]", ""])
def test_no_arguments_are_not_those_of_a_call_that_had_some(given: str) -> None:
    assert not is_shown({"tool_calls": [call(arguments=given)]}, CALL)


def test_arguments_count_by_the_clients_own_names() -> None:
    made = {**CALL, "input": {upstream_property_name("filter[id]"): "7", "at": {"$top": 1}, "other[]": 2}}
    shown = '{"filter[id]": "7", "at": {"$top": 1}, "other[]": 2}'

    assert is_shown({"tool_calls": [call(arguments=shown)]}, made)
    assert not is_shown({"tool_calls": [call(arguments=shown.replace("7", "8"))]}, made)
    assert not is_shown({"tool_calls": [call(arguments=shown.replace("filter[id]", "filter(id)"))]}, made)


def test_all_calls_count() -> None:
    assert not is_shown({"tool_calls": [call()]}, CALL, {**CALL, "id": "toolu_2"})


@pytest.mark.parametrize(
    ("made", "given", "is_same"),
    [({"input": "A"}, "A", True), ({"input": "A"}, "B", False), ({"input": ""}, None, True), ({"at": "A"}, "A", False)],
)
def test_the_input_of_a_custom_tool_counts(made: dict[str, Any], given: Any, is_same: bool) -> None:
    assert is_shown({"tool_calls": [custom("write", given)]}, {**CALL, "name": "write", "input": made}) is is_same


@pytest.mark.parametrize(
    ("legacy", "is_same"),
    [
        ({"name": "look", "arguments": '{"at": 1}'}, True),
        ({"name": "look", "arguments": '{"at": 2}'}, False),
        ({"name": "add", "arguments": '{"at": 1}'}, False),
    ],
)
def test_the_call_of_the_old_form_counts(legacy: dict[str, Any], is_same: bool) -> None:
    assert is_shown({"function_call": legacy}, CALL) is is_same


def test_names_and_ids_that_upstream_refuses_are_those_that_it_got_and_gave() -> None:
    rewritten = {**CALL, "name": upstream_tool_name("my tool")}
    odd_id = {**CALL, "id": "toolu:1"}

    assert is_shown({"tool_calls": [call(name="my tool")]}, rewritten)
    assert not is_shown({"tool_calls": [call(name="your tool")]}, rewritten)
    assert is_shown({"function_call": {"name": "my tool", "arguments": '{"at": 1}'}}, rewritten)
    assert is_shown({"tool_calls": [call(caller_call_id("toolu:1"))]}, odd_id)
    assert is_shown({"tool_calls": [call("toolu:1")]}, odd_id)


@pytest.mark.parametrize(
    ("blocks", "is_same"),
    [
        ([THOUGHT, SEALED], True),
        ([], True),
        ([THOUGHT], False),
        ([SEALED, THOUGHT], False),
        ([{**THOUGHT, "thinking": "Ha."}, SEALED], False),
        ([{**THOUGHT, "signature": "EqQC"}, SEALED], False),
        ([THOUGHT, {**SEALED, "data": "EmwL"}], False),
    ],
)
@pytest.mark.parametrize("place", ["thinking_blocks", "content"])
def test_thinking_that_comes_back_counts(blocks: list[dict[str, Any]], is_same: bool, place: str) -> None:
    message = {"content": [*blocks, text("A")]} if place == "content" else {"content": "A", "thinking_blocks": blocks}

    assert is_shown(message, THOUGHT, SEALED, text("A")) is is_same


@pytest.mark.parametrize("arguments", ["", " ", "{}", " {}\n", None, {}])
def test_a_call_without_arguments_is_the_same_however_that_is_said(arguments: Any) -> None:
    assert is_shown({"tool_calls": [call(arguments=arguments)]}, {**CALL, "input": {}})
