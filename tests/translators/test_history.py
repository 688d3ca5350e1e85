"""What is seen of a conversation: the same for what means the same, and for nothing else."""

import json
from typing import Any

import pytest

from tests.support.conversations import called, chat, returned, said, tool
from tests.support.intents import read_intent
from translators.kept.history import History, has_history, history_in_steps, turn_key
from translators.steps import in_one_go

MARK = {"type": "ephemeral"}
QUESTION = {"type": "text", "text": "Q"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}


def seen(body: bytes, scope: bytes = b"me") -> History:
    return in_one_go(history_in_steps(read_intent(body), scope))


def history(*messages: Any, scope: bytes = b"me", **fields: Any) -> History:
    body = chat(*messages, **{"tools": [tool("look")], **fields})
    return seen(json.dumps(body, separators=(",", ":")).encode(), scope)


@pytest.mark.parametrize("part", [QUESTION, IMAGE], ids=["text", "image"])
@pytest.mark.parametrize(
    "marked",
    [
        lambda part: {**part, "cache_control": MARK},
        lambda part: {"cache_control": MARK, **part},
        lambda part: {"type": part["type"], "cache_control": {"type": "ephemeral", "ttl": "1h"}, **part},
        lambda part: {**part, "cache_control": None},
        lambda part: {"cache_control": MARK, "prompt_cache_breakpoint": {"mode": "explicit"}, **part},
        lambda part: {**part, "cache_control": MARK, "prompt_cache_breakpoint": None},
    ],
    ids=["behind", "in front", "between", "null", "two in front", "two behind"],
)
def test_marks_are_not_seen_wherever_they_stand(part: dict[str, Any], marked: Any) -> None:
    def end(first: dict[str, Any]) -> bytes:
        return history(said("user", [first, IMAGE])).end

    assert end(marked(part)) == end(part)


def test_marks_of_tools_are_not_seen_wherever_they_stand() -> None:
    plain = tool("add")
    marked = [{**plain, "cache_control": MARK}, {"cache_control": MARK, **plain}, {**plain, "cache_control": None}]

    assert {history(tools=[each]).ground for each in (plain, *marked)} == {history(tools=[plain]).ground}


def test_long_runs_of_blanks_beside_a_mark_are_read_once() -> None:
    # Were they looked through from each of their places, this would take hours.
    blanks = " " * 5_000_000
    body = json.dumps(chat(said("user", [{**QUESTION, "cache_control": MARK}, QUESTION]), tools=[tool("look")]))
    spread = body.replace('}, {"type": "text"', f'}},{blanks}{{"type": "text"').replace('"Q"', f'"Q{blanks}"')
    spread = spread.replace('"cache_control":', f'"cache_control"{blanks}:{blanks}')

    assert seen(spread.encode()).turns == ()


def test_no_scope_passes_for_another_with_a_message() -> None:
    turn = said("assistant", "So.")

    assert history({"role": "user"}, turn, scope=b"client\0a").end != history(turn, scope=b"client\0auser").end


CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}, "custom": None}


@pytest.mark.parametrize(
    ("fields", "part"),
    [({"tool_call_id": "B"}, "B"), ({"name": "B"}, ["B", None, None]), ({"tool_calls": [CALL]}, [CALL])],
    ids=["id", "name", "calls"],
)
def test_no_part_of_a_content_passes_for_something_else(fields: dict[str, Any], part: Any) -> None:
    assert history(said("user", [IMAGE], **fields)).end != history(said("user", [IMAGE, part])).end


def test_what_is_said_in_one_message_is_not_the_same_in_two() -> None:
    both = said("user", [QUESTION, QUESTION])

    assert history(both).end != history(said("user", "Q"), said("user", "Q")).end


def test_names_of_calls_do_not_run_into_each_other() -> None:
    assert turn_key(b"", "m", ["a", "b"]) != turn_key(b"", "m", ["a\0b"]) != turn_key(b"", "m\0a", ["b"])


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_a_schema_counts_where_it_becomes_words() -> None:
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    open_ = {"type": "object", "additionalProperties": True}
    grounds = [
        history(response_format=form(schema)).ground
        for schema in (closed, {**closed, "title": "A"}, open_, {**open_, "title": "A"})
    ]

    assert grounds[0] == grounds[1] == history().ground
    assert len(set(grounds)) == 3


def test_a_form_that_is_none_is_left_to_the_translation() -> None:
    assert history(response_format={"type": "xml"}).ground == history().ground


def test_what_is_seen_of_an_answered_call_is_its_id() -> None:
    def end(call_id: str) -> bytes:
        return history(said("user", "Q"), called(("1", "look", "{}")), returned(call_id)).end

    assert end("1") != end("2")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"verbosity": "low"}, {"verbosity": "high"}),
        ({"web_search_options": {}}, {"web_search_options": {"user_location": {"approximate": {"city": "Ulm"}}}}),
        ({"functions": [{"name": "look"}]}, {"functions": [{"name": "add"}]}),
        ({"tools": [tool("add")]}, {"tools": [tool("sub")]}),
        ({"response_format": {"type": "json_object"}}, {}),
    ],
    ids=["verbosity", "web search", "functions", "tools", "form"],
)
def test_what_messages_stand_on_is_all_that_is_sent_before_them(one: dict[str, Any], other: dict[str, Any]) -> None:
    grounds = {history(**fields).ground for fields in (one, other, {})}

    assert len(grounds) == 2 + (other != {})
    assert history(**one).end == history(**other).end


def test_a_system_prompt_is_ground_and_a_later_one_is_said() -> None:
    one, other = said("system", "A"), said("developer", "B")
    hello = said("user", "Q")

    assert history(one, hello).ground != history(other, hello).ground
    assert history(one, hello).end == history(other, hello).end
    assert history(hello, one).ground == history(hello, other).ground
    assert history(hello, one).end != history(hello, other).end


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Ann"},
        {"refusal": "No."},
        {"function_call": {"name": "look", "arguments": "{}"}},
        {"tool_calls": [CALL]},
    ],
    ids=["name", "refusal", "function", "calls"],
)
def test_what_a_message_holds_besides_its_content_is_seen(fields: dict[str, Any]) -> None:
    assert history(said("assistant", "A", **fields)).end != history(said("assistant", "A")).end


def test_no_content_is_an_empty_one() -> None:
    assert history(said("assistant", None)).end == history(said("assistant", "")).end


@pytest.mark.parametrize(
    ("fields", "has"),
    [
        ({}, False),
        ({"tools": []}, False),
        ({"tools": [tool("look")]}, True),
        ({"functions": [{"name": "look"}]}, True),
        ({"web_search_options": {}}, True),
        ({"context_management": {"edits": []}}, True),
        ({"context_management": None}, False),
    ],
)
def test_only_what_may_hide_something_has_a_history(fields: dict[str, Any], has: bool) -> None:
    assert has_history(read_intent(json.dumps(chat(**fields)).encode())) is has
