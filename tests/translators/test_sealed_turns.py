"""Turns that come back with blocks of upstream's making under a seal: they go upstream as they were made."""

import json
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from msgspec import Raw

from tests.support.intents import read_intent
from translators.answers.recorder import Block as RecordedBlock
from translators.intent import Call, FunctionCall, Intent, Message, SealedTurn
from translators.kept.echoes import signature_digest, signed_thinking
from translators.kept.recalling import KnownTurns
from translators.kept.shown import shows
from translators.kept.turns import UNKNOWN_PAST, Past
from translators.messages.options import Options, Target
from translators.messages.request import write_in_steps, write_request
from translators.models import model_table
from translators.steps import in_one_go

Block = dict[str, Any]

MODEL = "claude-sonnet-5-5"
MANUAL = "claude-sonnet-4-5-20250929"
THOUGHT: Block = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
SECOND: Block = {"type": "thinking", "thinking": "So.", "signature": "b3RoZXI="}
HIDDEN: Block = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
SEARCH: Block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}}
FOUND: Block = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
BLANK: Block = {"type": "text", "text": "\n"}
WORDS: Block = {"type": "text", "text": "I look."}
USE: Block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "a"}}


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value, separators=(",", ":")).encode())


def is_own(block: Block) -> bool:
    return block["type"] not in ("text", "tool_use") or block == BLANK


def letter(block: Block) -> str:
    return "o" if is_own(block) else {"text": "t", "tool_use": "c"}[block["type"]]


def sealed(*blocks: Block, order: str | None = None, own: list[Block] | None = None) -> SealedTurn:
    """A turn of these blocks as a door makes one."""
    calls = [
        Call(block["id"], function=FunctionCall(block["name"], raw(json.dumps(block["input"]))))
        for block in blocks
        if block["type"] == "tool_use"
    ]
    parts = [block for block in blocks if letter(block) == "t"]
    return SealedTurn(
        "assistant",
        raw(parts) if parts else Raw(b"null"),
        tool_calls=calls or None,
        own_blocks=tuple(bytes(raw(block)) for block in blocks if is_own(block))
        + tuple(bytes(raw(b)) for b in own or ()),
        order="".join(map(letter, blocks)) if order is None else order,
    )


def conversation(turn: Message) -> list[Message]:
    results = [Message("tool", raw("found"), tool_call_id=call.id) for call in turn.tool_calls or ()]
    return [Message("user", raw("go")), turn, *results, Message("user", raw("and?"))]


def body_of(turn: Message, past: Past = UNKNOWN_PAST, model: str = MODEL, **fields: Any) -> bytes:
    target = Target(model, model_table().row(model))
    return write_request(Intent(conversation(turn), max_tokens=2000, **fields), target, Options(), past).body


def written(turn: Message, past: Past = UNKNOWN_PAST, model: str = MODEL, **fields: Any) -> list[Block]:
    """What goes upstream of a turn."""
    messages = json.loads(body_of(turn, past, model, **fields))["messages"]
    found = [message["content"] for message in messages if message["role"] == "assistant"]
    assert len(found) <= 1
    return list(found[0]) if found else []


def test_a_sealed_turn_goes_upstream_in_its_own_order() -> None:
    made = [THOUGHT, WORDS, SEARCH, FOUND, SECOND, USE]

    assert written(sealed(*made)) == made


def test_its_own_blocks_go_upstream_byte_for_byte() -> None:
    thought = b'{"type":"thinking","thinking":"\\u0041\\/","signature":"c2ln","later":1.0}'
    turn = SealedTurn("assistant", raw("Yes."), own_blocks=(thought,), order="ot")

    assert thought in body_of(turn)


@pytest.mark.parametrize("order", ["", "t", "otc", "oootc", "xotc", "toco"])
def test_where_the_order_is_of_other_blocks_its_own_come_first_and_calls_last(order: str) -> None:
    turn = sealed(WORDS, THOUGHT, USE, SECOND, order=order)

    made = [WORDS, THOUGHT, USE, SECOND] if order == "toco" else [THOUGHT, SECOND, WORDS, USE]
    assert written(turn) == made


def test_a_call_is_never_one_of_its_own_blocks() -> None:
    turn = sealed(THOUGHT, WORDS, own=[USE])

    assert written(turn) == [THOUGHT, WORDS]


@pytest.mark.parametrize("damaged", [b"", b"null", b"[]", b"{}", b'{"type":1}', b'{"type":"thinking"', b"\xff"])
def test_what_is_no_block_is_left_out(damaged: bytes) -> None:
    turn = SealedTurn("assistant", raw("Yes."), own_blocks=(damaged, bytes(raw(THOUGHT))), order="oot")

    assert written(turn) == [THOUGHT, {"type": "text", "text": "Yes."}]


def test_cache_marks_are_the_requests_own() -> None:
    turn = sealed({**FOUND, "cache_control": {"type": "ephemeral"}}, WORDS)

    assert written(turn) == [FOUND, WORDS]


def test_without_thinking_the_blocks_of_server_tools_still_go_back() -> None:
    turn = sealed(THOUGHT, WORDS, SEARCH, FOUND, HIDDEN, USE)

    assert written(turn, Past(is_bare=True)) == [WORDS, SEARCH, FOUND, USE]


def test_thinking_that_upstream_has_refused_does_not_go_back() -> None:
    turn = sealed(THOUGHT, SECOND, USE)

    assert written(turn, Past(refused=frozenset({signature_digest(THOUGHT)}))) == [SECOND, USE]


def test_that_thinking_goes_back_is_told() -> None:
    target = Target(MODEL, model_table().row(MODEL))

    def has_thinking(turn: Message, past: Past = UNKNOWN_PAST) -> bool:
        return write_request(Intent(conversation(turn)), target, Options(), past).has_thinking

    assert has_thinking(sealed(THOUGHT, USE))
    assert not has_thinking(sealed(SEARCH, FOUND, USE))
    assert not has_thinking(sealed(THOUGHT, USE), Past(is_bare=True))


def test_a_turn_of_which_nothing_goes_back_is_none() -> None:
    assert written(sealed(THOUGHT), Past(is_bare=True)) == []


def test_blank_texts_go_back_only_before_thinking_or_beside_calls() -> None:
    assert written(sealed(BLANK, THOUGHT, WORDS)) == [BLANK, THOUGHT, WORDS]
    assert written(sealed(BLANK, THOUGHT, WORDS), Past(is_bare=True)) == [WORDS]
    assert written(sealed(THOUGHT, WORDS, BLANK)) == [THOUGHT, WORDS]
    assert written(sealed(THOUGHT, BLANK, USE)) == [THOUGHT, BLANK, USE]


def test_signed_thinking_is_that_under_the_seal() -> None:
    found = signed_thinking(sealed(THOUGHT, WORDS, SEARCH, HIDDEN, USE))

    assert [block["type"] for block in found] == ["thinking", "redacted_thinking"]


def test_manual_thinking_stays_on_where_the_turn_that_calls_has_its_own() -> None:
    asked = Raw(b'{"type":"enabled","budget_tokens":1024}')

    def thinks(*blocks: Block, past: Past = UNKNOWN_PAST) -> bool:
        intent = Intent(conversation(sealed(*blocks))[:-1], max_tokens=4000, native={"thinking": asked})
        target = Target(MANUAL, model_table().row(MANUAL))
        return "thinking" in json.loads(write_request(intent, target, Options(), past).body)

    assert thinks(THOUGHT, USE)
    assert not thinks(SEARCH, FOUND, USE)
    assert not thinks(THOUGHT, USE, past=Past(is_bare=True))


def test_a_kept_turn_is_shown_only_by_the_thinking_that_it_has() -> None:
    made = [RecordedBlock(str(block["type"]), bytes(raw(block))) for block in (THOUGHT, WORDS, USE)]

    assert shows(made, sealed(THOUGHT, WORDS, USE))
    assert not shows(made, sealed(SECOND, WORDS, USE))
    assert shows(made, sealed(WORDS, USE))


def test_turns_that_are_remembered_as_shown_are_not_taken_for_those_with_other_thinking() -> None:
    made = [(str(block["type"]), bytes(raw(block))) for block in (THOUGHT, WORDS, USE)]
    value = msgspec.msgpack.encode((1, b"", b"", ("org", b"key"), made))
    known = KnownTurns(2**20)

    assert known.turn(value, b"after", sealed(WORDS, USE)) is not None
    assert known.turn(value, b"after", sealed(SECOND, WORDS, USE)) is None
    assert known.turn(value, b"after", sealed(THOUGHT, WORDS, USE)) is not None


def test_no_callers_json_holds_a_sealed_turn() -> None:
    turn = {"role": "assistant", "content": "Yes.", "own_blocks": ["e30="], "order": "ot"}
    asked = read_intent(json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}, turn]}).encode())

    assert not any(isinstance(message, SealedTurn) for message in asked.messages)
    assert asked.unknown_fields == 2


blocks = st.sampled_from([THOUGHT, SECOND, HIDDEN, SEARCH, FOUND, WORDS, {"type": "text", "text": " é\n"}])


@given(
    made=st.lists(blocks, min_size=1, max_size=8),
    calls=st.lists(st.integers(0, 8), max_size=3),
    cut=st.sampled_from(["none", "bare", "refused"]),
)
def test_whatever_a_turn_was_it_goes_back_the_same(made: list[Block], calls: list[int], cut: str) -> None:
    for number, place in enumerate(calls):
        made = [*made[:place], {**USE, "id": f"toolu_{number}"}, *made[place:]]
    past = {
        "none": Past(),
        "bare": Past(is_bare=True),
        "refused": Past(refused=frozenset({signature_digest(THOUGHT)})),
    }[cut]
    intent = Intent(conversation(sealed(*made)), max_tokens=2000)
    target = Target(MODEL, model_table().row(MODEL))

    left_out = {"none": [], "bare": [THOUGHT, SECOND, HIDDEN], "refused": [THOUGHT]}[cut]
    expected = [block for block in made if block not in left_out]
    assert written(sealed(*made), past) == expected
    assert in_one_go(write_in_steps(intent, target, Options(), past)).body == body_of(sealed(*made), past)


@given(
    own=st.lists(st.one_of(blocks.map(lambda block: bytes(raw(block))), st.binary(max_size=8)), max_size=5),
    order=st.text("otcx", max_size=8),
    words=st.lists(st.sampled_from(["a", " ", ""]), max_size=3),
)
def test_whatever_a_seal_holds_makes_a_legal_list_of_blocks(own: list[bytes], order: str, words: list[str]) -> None:
    parts = raw([{"type": "text", "text": text} for text in words])
    turn = SealedTurn("assistant", parts, own_blocks=tuple(own), order=order)

    found = written(turn)

    assert all(isinstance(block["type"], str) for block in found)
    assert [block["text"] for block in found if block["type"] == "text" and block["text"] == "a"].count(
        "a"
    ) == words.count("a")
    assert all(block["text"].strip() for block in found if block["type"] == "text")


def test_a_sealed_turn_among_plain_ones_changes_nothing_else() -> None:
    plain = [Message("user", raw("a")), Message("assistant", raw("b")), Message("user", raw("c"))]
    target = Target(MODEL, model_table().row(MODEL))

    def messages(*more: Message) -> list[Any]:
        intent = Intent([*plain, *more], max_tokens=2000)
        return list(json.loads(write_request(intent, target, Options()).body)["messages"])

    assert messages(sealed(THOUGHT, WORDS), Message("user", raw("d")))[:3] == messages()
    assert msgspec.structs.asdict(sealed(THOUGHT))["order"] == "o"
