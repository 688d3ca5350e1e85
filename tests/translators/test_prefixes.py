"""Requests that begin alike have one digest, whatever follows; those that do not have another."""

from typing import Any

import hypothesis.strategies as st
import msgspec
import orjson
import pytest
from hypothesis import given
from msgspec import Raw

from translators.chat.intent import intent_of
from translators.intent import CacheWish, Intent
from translators.prefixes import conversation_prefix, digest_of, messages_prefix
from translators.wire.chat import ChatRequest

SYSTEM = {"role": "system", "content": "You are kind."}
FIRST = {"role": "user", "content": "What is the capital of France?"}
ANSWER = {"role": "assistant", "content": "Paris."}
NEXT = {"role": "user", "content": "And of Spain?"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def chat(*messages: dict[str, Any], model: str = "claude-sonnet-5-5", **more: Any) -> bytes:
    body = orjson.dumps({"model": model, "messages": messages, **more})
    return conversation_prefix(model, intent_of(msgspec.json.decode(body, type=ChatRequest)))


def messages(*turns: dict[str, Any], model: str = "m", tools: Any = None, system: Any = None, **more: Any) -> bytes:
    def raw(value: Any) -> Raw:
        return Raw(orjson.dumps(value) if value is not None else b"")

    return messages_prefix(model, raw(tools), raw(system), raw(turns))


def test_later_turns_of_a_conversation_have_the_digest_of_the_first() -> None:
    first = chat(SYSTEM, FIRST)

    assert chat(SYSTEM, FIRST, ANSWER, NEXT) == first
    assert chat(SYSTEM, FIRST, ANSWER, NEXT, ANSWER, NEXT, temperature=0.5, stream=True) == first
    assert len(first) == 8


@pytest.mark.parametrize(
    "other",
    [
        chat(SYSTEM, NEXT),
        chat(FIRST),
        chat({**SYSTEM, "content": "You are rude."}, FIRST),
        chat(SYSTEM, FIRST, model="claude-haiku-5-5"),
        chat(SYSTEM, FIRST, tools=[TOOL]),
        chat({**SYSTEM, "role": "user"}, FIRST),
    ],
)
def test_whatever_differs_at_the_beginning_is_another_digest(other: bytes) -> None:
    assert other != chat(SYSTEM, FIRST)


def test_the_first_turn_counts_behind_any_number_of_tools() -> None:
    tools = [{**TOOL, "function": {"name": f"look_{number}"}} for number in range(100)]

    assert chat(FIRST, tools=tools) == chat(FIRST, ANSWER, NEXT, tools=tools)
    assert chat(FIRST, tools=tools) != chat(NEXT, tools=tools)
    assert chat(FIRST, tools=tools) != chat(FIRST, tools=tools[:-1])


def test_a_key_that_the_client_names_says_it_all() -> None:
    one = chat(SYSTEM, FIRST, prompt_cache_key="k")

    assert chat(NEXT, prompt_cache_key="k") == one
    assert chat(SYSTEM, FIRST, prompt_cache_key="j") != one
    assert chat(NEXT, prompt_cache_key="k", model="claude-haiku-5-5") != one
    assert chat(SYSTEM, FIRST, prompt_cache_key="") == chat(SYSTEM, FIRST)


def test_a_key_of_half_a_character_is_one_too() -> None:
    intent = Intent([], cache=CacheWish("\ud83d"))

    assert len(conversation_prefix("m", intent)) == 8


def test_a_mark_that_moves_on_changes_nothing() -> None:
    part = {"type": "text", "text": "Long."}
    marked = {**part, "cache_control": {"type": "ephemeral", "ttl": "1h"}}

    assert chat({"role": "user", "content": [marked]}) == chat({"role": "user", "content": [part]})
    turn, marked_turn = ({"role": "user", "content": [which]} for which in (part, marked))
    assert messages(marked_turn) == messages(turn, ANSWER, NEXT) == messages(marked_turn, ANSWER, NEXT)
    assert messages(FIRST, system=[marked]) == messages(FIRST, system=[part])
    assert messages(FIRST, tools=[{"name": "t", "cache_control": {"type": "ephemeral"}}]) == messages(
        FIRST, tools=[{"name": "t"}]
    )


def test_a_messages_conversation_keeps_its_digest_turn_by_turn() -> None:
    first = messages(FIRST, system="Be kind.", tools=[{"name": "t"}])
    later = messages(FIRST, ANSWER, NEXT, system="Be kind.", tools=[{"name": "t"}])

    assert later == first
    assert messages(NEXT, system="Be kind.", tools=[{"name": "t"}]) != first
    assert messages(FIRST, system="Be rude.", tools=[{"name": "t"}]) != first
    assert messages(FIRST, system="Be kind.") != first
    assert messages(FIRST, system="Be kind.", tools=[{"name": "t"}], model="n") != first


@pytest.mark.parametrize("length", [900, 960, 1_000, 1_020, 1_100, 5_000])
def test_a_first_turn_of_any_length_keeps_its_digest(length: int) -> None:
    long = {"role": "user", "content": "a" * length}

    assert messages(long, ANSWER, NEXT) == messages(long)
    assert chat(long, ANSWER, NEXT) == chat(long)


def test_pieces_do_not_run_into_one_another() -> None:
    assert digest_of([b"ab", b"c"]) != digest_of([b"a", b"bc"]) != digest_of([b"abc"])


def test_only_the_beginning_is_read() -> None:
    assert digest_of([b"x" * 2_000]) == digest_of([b"x" * 1_024])
    assert digest_of([b"x"] * 64) == digest_of([b"x"] * 6_400)


@given(
    first=st.text(min_size=1, max_size=1500),
    system=st.none() | st.text(max_size=1500),
    turns=st.lists(st.text(max_size=50), max_size=3),
)
def test_no_conversation_changes_its_digest_on_its_way(first: str, system: str | None, turns: list[str]) -> None:
    said = [{"role": "user", "content": first}]
    later = [*said]
    for turn in turns:
        later += [{"role": "assistant", "content": turn}, {"role": "user", "content": turn}]
    before = [] if system is None else [{"role": "system", "content": system}]

    assert chat(*before, *later) == chat(*before, *said)
    assert messages(*later, system=system) == messages(*said, system=system)


def test_blanks_beside_marks_are_looked_through_once() -> None:
    piece = b'{"cache_control"' + b" " * 1000

    assert digest_of([piece] * 64) != digest_of([piece] * 63)
