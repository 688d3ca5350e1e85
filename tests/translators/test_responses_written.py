"""Responses requests all the way to a Messages body: turns go back as they were, errors name the caller's fields."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.support.response_requests import Item, assistant, call, output, read, reasoning, user
from translators.errors import TranslationError
from translators.kept.turns import UNKNOWN_PAST, Past
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table

Block = dict[str, Any]

MODEL = "claude-sonnet-5-5"
TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]


def text_of(block: Block) -> str:
    return json.dumps(block, separators=(",", ":"))


def written(*items: Item, past: Past = UNKNOWN_PAST, options: Options | None = None, **fields: Any) -> MessagesRequest:
    request = read(*items, **{"tools": TOOLS, "max_output_tokens": 2000, **fields})
    return write_request(request.intent, Target(MODEL, model_table().row(MODEL)), options or Options(), past)


def thought(number: int) -> Block:
    return {"type": "thinking", "thinking": f"Hm {number}.", "signature": f"s{number}"}


def searched(number: int) -> list[Block]:
    query = {"type": "server_tool_use", "id": f"srv_{number}", "name": "web_search", "input": {"query": "a"}}
    return [query, {"type": "web_search_tool_result", "tool_use_id": f"srv_{number}", "content": []}]


def items_of(kinds: list[str]) -> tuple[list[Item], list[Block]]:
    """The items that a client sends back of a turn of these kinds of blocks, and the blocks."""
    items: list[Item] = []
    blocks: list[Block] = []
    for number, kind in enumerate(kinds):
        if kind == "thinking":
            made = [thought(number)]
            items.append(reasoning(*map(text_of, made), summary=f"Hm {number}."))
        elif kind == "search":
            made = searched(number)
            items.append(reasoning(*map(text_of, made)))
        elif kind == "text":
            made = [{"type": "text", "text": f"Text {number}."}]
            items.append(assistant([{"type": "output_text", "text": f"Text {number}."}]))
        else:
            made = [{"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {"at": number}}]
            items.append(call(f"toolu_{number}", "look", json.dumps({"at": number})))
        blocks += made
    results = [output(f"toolu_{number}") for number, kind in enumerate(kinds) if kind == "call"]
    return [*items, *results], blocks


@given(kinds=st.lists(st.sampled_from(["thinking", "search", "text", "call"]), min_size=1, max_size=8))
def test_a_turn_goes_back_upstream_as_it_was_made(kinds: list[str]) -> None:
    items, blocks = items_of(["thinking", *kinds])

    body = written(user(), *items, user("And?")).body

    made = json.loads(body)["messages"][1]
    assert made["role"] == "assistant"
    assert made["content"] == blocks
    assert all(text_of(block).encode() in body for block in blocks if block["type"] not in ("text", "tool_use"))


@given(kinds=st.lists(st.sampled_from(["thinking", "search", "text", "call"]), min_size=1, max_size=8))
def test_only_thinking_stays_out_where_upstream_has_refused_it(kinds: list[str]) -> None:
    items, blocks = items_of(["thinking", *kinds, "text"])

    messages = json.loads(written(user(), *items, user("And?"), past=Past(is_bare=True)).body)["messages"]

    assert messages[1]["content"] == [block for block in blocks if block["type"] != "thinking"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"tool_choice": {"type": "function", "name": "no"}}, "tool_choice"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_errors_of_the_writer_name_the_callers_fields(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(TranslationError) as raised:
        written(user(), **fields)

    assert raised.value.failure.param == param
    assert param in raised.value.failure.message or "Supported values" in raised.value.failure.message


def test_reports_of_the_writer_name_the_callers_fields() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object", "patternProperties": {"a": {}}}}

    found = written(user(), max_output_tokens=10**6, text={"format": form}).adjusted

    assert found is not None
    assert "max_output_tokens=1000000->" in found
    assert "text.format=json_schema->instructions:schema" in found


def test_who_wants_no_summary_is_not_shown_any_unless_the_operator_says_so() -> None:
    def display(**options: Any) -> Any:
        made = written(user(), reasoning={"effort": "high"}, options=Options(**options))
        return json.loads(made.body)["thinking"]["display"]

    assert display() == "omitted"
    assert display(always_show_reasoning=True) == "summarized"
