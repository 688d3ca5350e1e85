"""Anthropic's own shapes in chat: the same conversation says the same in either API's form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.support.conversations import Message, called, chat, returned, rows, said, tool, translate
from tests.support.intents import read_intent, read_intent_in_steps
from tests.support.legality import violations
from translators.answers.recorder import Block
from translators.intent import Intent
from translators.kept.history import history_in_steps, names_of_calls
from translators.kept.shown import shows
from translators.models import ModelRow, model_table
from translators.steps import in_one_go

TOOLS = [tool("look", parameters={"type": "object", "properties": {"path": {"type": "string"}}})]
_inputs = st.sampled_from(["{}", '{"path": "a"}', '{"path":"\\u00e9","n":[1.0,1E-7]}'])
_words = st.sampled_from(["Hello.", " indented", "é", '"quoted"'])
_results = st.one_of(_words, st.lists(_words.map(lambda text: {"type": "text", "text": text}), min_size=1, max_size=2))


@st.composite
def rounds(draw: DrawFn) -> list[tuple[list[Message], list[Message]]]:
    """Rounds of a loop, each in OpenAI's form and in Anthropic's."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        ids = [f"call_{number}_{index}" for index in range(draw(st.integers(1, 3)))]
        inputs = [draw(_inputs) for _ in ids]
        contents = [draw(_results) for _ in ids]
        words, after = draw(_words), draw(_words)
        uses = [
            {"type": "tool_use", "id": call_id, "name": "look", "input": json.loads(given)}
            for call_id, given in zip(ids, inputs, strict=True)
        ]
        results = [
            {"type": "tool_result", "tool_use_id": call_id, "content": content}
            for call_id, content in zip(ids, contents, strict=True)
        ]
        text = {"type": "text", "text": after}
        calls = [(call_id, "look", given) for call_id, given in zip(ids, inputs, strict=True)]
        openais = [
            called(*calls, content=[{"type": "text", "text": words}]),
            *(returned(call_id, content) for call_id, content in zip(ids, contents, strict=True)),
            said("user", [text]),
        ]
        anthropics = [
            said("assistant", [{"type": "text", "text": words}, *uses]),
            said("user", draw(st.permutations([*results, text]))),
        ]
        found.append((openais, anthropics))
    return found


def bodies(found: list[tuple[list[Message], list[Message]]], row: ModelRow, **fields: Any) -> list[dict[str, Any]]:
    """The written requests, in OpenAI's form and in Anthropic's."""
    written = []
    for form in (0, 1):
        messages = [said("user", "go"), *(message for entry in found for message in entry[form])]
        written.append(json.loads(translate(chat(*messages, max_tokens=2000, **fields), row.id).body))
    return written


@given(found=rounds(), row=rows, has_tools=st.booleans())
def test_a_loop_in_anthropics_form_becomes_what_it_becomes_in_openais(
    found: list[tuple[list[Message], list[Message]]], row: ModelRow, has_tools: bool
) -> None:
    openais, anthropics = bodies(found, row, **({"tools": TOOLS} if has_tools else {}))

    assert anthropics == openais
    assert violations(anthropics, row) == []


@given(found=rounds(), row=rows)
def test_a_longer_loop_in_anthropics_form_repeats_the_shorter_one(
    found: list[tuple[list[Message], list[Message]]], row: ModelRow
) -> None:
    _, whole = bodies(found, row, tools=TOOLS)
    _, shorter = bodies(found[:1], row, tools=TOOLS)

    assert whole["messages"][: len(shorter["messages"])] == shorter["messages"]


def read(*messages: Message, **fields: Any) -> Intent:
    return read_intent(json.dumps(chat(*messages, tools=TOOLS, **fields)).encode())


def digests(request: Intent) -> list[bytes]:
    return [turn.before for turn in in_one_go(history_in_steps(request, b"")).turns]


USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"path": "a"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}


def test_calls_in_anthropics_form_are_known_by_their_ids() -> None:
    request = read(said("user", "go"), said("assistant", [USE]), said("user", [RESULT]))

    assert names_of_calls(request.messages[1]) == ["toolu_1"]
    assert len(request.messages) == 4


def test_a_turn_that_is_kept_is_shown_by_calls_in_anthropics_form() -> None:
    words = {"type": "text", "text": "I look."}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    made = [Block(str(block["type"]), json.dumps(block).encode()) for block in (thought, words, USE)]
    other = {**USE, "input": {"path": "b"}}

    shown = read(said("user", "go"), said("assistant", [words, USE]), said("user", [RESULT])).messages[1]
    edited = read(said("user", "go"), said("assistant", [words, other]), said("user", [RESULT])).messages[1]

    assert shows(made, shown)
    assert not shows(made, edited)


def test_marks_and_echoes_on_calls_do_not_change_what_a_conversation_is_known_by() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    marked = {**call, "index": 0, "cache_control": {"type": "ephemeral"}}
    echoed = {**call, "function": {**call["function"], "parsed_arguments": {}}}  # type: ignore[dict-item]
    histories = [
        digests(
            read(
                said("user", "go"),
                said("assistant", None, tool_calls=[entry]),
                returned("c1"),
                said("assistant", "ok"),
                said("user", "And?"),
            )
        )
        for entry in (call, marked, echoed)
    ]

    assert histories[0] == histories[1] == histories[2]


def test_that_a_result_is_an_error_is_part_of_what_a_conversation_is_known_by() -> None:
    def known(**more: Any) -> list[bytes]:
        results = said("user", [{**RESULT, **more}])
        return digests(read(said("user", "go"), said("assistant", [USE]), results, said("assistant", "b")))

    assert known() != known(is_error=True)
    assert known(is_error=True) == known(is_error=True)


@pytest.mark.parametrize("row", model_table().rows[:3], ids=lambda row: row.id)
def test_a_result_of_a_tool_message_can_be_an_error_as_well(row: ModelRow) -> None:
    request = chat(said("user", "go"), called(("c1", "look", "{}")), {**returned("c1"), "is_error": True}, tools=TOOLS)

    written = json.loads(translate(request, row.id).body)

    assert written["messages"][2]["content"][0]["is_error"] is True


def test_a_large_request_is_read_the_same_in_steps() -> None:
    image = {"type": "text", "text": "x" * 1_000_000}
    request = chat(said("user", "go"), said("assistant", [USE]), said("user", [image, RESULT]), tools=TOOLS)
    body = json.dumps(request).encode()

    found = in_one_go(read_intent_in_steps(body))

    assert [message.role for message in found.messages] == ["user", "assistant", "tool", "user"]
    assert found.places == read_intent(body).places


def test_where_the_messages_come_from_is_not_for_the_caller_to_say() -> None:
    request = read(said("user", "go"), **{"(places)": ["x"]})

    assert not request.places
