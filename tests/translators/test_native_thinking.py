"""Thinking in native bodies: found by place and signature, and cut out with nothing else changed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import messages
from tests.support.costs import exhaust, growth
from translators.errors import TranslationError
from translators.native.made import Made, made_in
from translators.native.sessions import names_in
from translators.native.stream import NativeStream
from translators.native.thinking import (
    MOST_THOUGHTS,
    Thinking,
    find_thinking,
    find_thinking_in_steps,
    may_hold_thinking,
    signature_digest,
)
from translators.native.threads import Thread, read_thread

THOUGHT = {"type": "thinking", "thinking": 'Hm, ], "type": "thinking"', "signature": "sig/1=="}
REDACTED = {"type": "redacted_thinking", "data": "data+2=="}
UNSIGNED = {"type": "thinking", "thinking": "Hm"}
TEXT = {"type": "text", "text": 'of thinking and "signature", [}'}
CALL = {"type": "tool_use", "id": "t1", "name": "think", "input": {"type": "thinking", "signature": "no"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "done"}
BUDGET = {"type": "enabled", "budget_tokens": 2000}


def said(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def body_of(*history: dict[str, Any], indent: int | None = None, **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": history, **more}, indent=indent).encode()


def without(body: bytes, count: int | None = None) -> tuple[Any, bool]:
    found = find_thinking(body)
    assert found is not None
    changed, is_off = found.without(body, len(found.digests) if count is None else count)
    return json.loads(changed), is_off


def test_thoughts_are_known_by_their_signatures_in_their_order() -> None:
    body = body_of(said("user", TEXT), said("assistant", THOUGHT, TEXT, REDACTED, CALL), said("assistant", UNSIGNED))
    found = find_thinking(body)

    assert may_hold_thinking(body)
    assert found is not None
    assert found.digests == (signature_digest("sig/1=="), signature_digest("data+2=="), b"")


def test_a_signature_is_the_same_however_its_json_is_spelled() -> None:
    plain = body_of(said("assistant", THOUGHT))
    spelled = plain.replace(b"sig/1==", b"s\\u0069g\\/1==")
    first, second = find_thinking(plain), find_thinking(spelled)

    assert first is not None
    assert second is not None
    assert first.digests == second.digests


@pytest.mark.parametrize(
    "history",
    [
        [said("user", THOUGHT)],
        [said("assistant", TEXT, CALL), said("user", RESULT)],
        [{"role": "assistant", "content": "thinking"}],
        [{"role": "assistant"}],
        [{"role": "assistant", "content": [7, "thinking", None]}],
        ["thinking"],
        [],
    ],
)
def test_what_is_no_thought_of_an_assistant_is_none(history: list[Any]) -> None:
    assert find_thinking(body_of(*history)) is None


@pytest.mark.parametrize("body", [b"{}", b'{"messages":7}', b'{"messages":{"thinking":"signature"}}'])
def test_a_body_without_messages_has_none(body: bytes) -> None:
    assert find_thinking(body) is None


blocks = st.sampled_from([THOUGHT, REDACTED, UNSIGNED, TEXT, CALL, RESULT])
histories = st.lists(st.builds(lambda role, listed: said(role, *listed), st.sampled_from(["user", "assistant"]),
                               st.lists(blocks, max_size=5)), max_size=8)  # fmt: skip


@given(histories, st.sampled_from([None, 2]), st.integers(0, 12))
def test_whatever_stands_where_the_first_thoughts_go_and_nothing_else(
    history: list[dict[str, Any]], indent: int | None, count: int
) -> None:
    body = body_of(*history, indent=indent, tail=history)
    found = find_thinking(body)
    left, expected = count, []
    for message in history:
        kept = []
        for block in message["content"]:
            if message["role"] == "assistant" and block in (THOUGHT, REDACTED, UNSIGNED) and left:
                left -= 1
            else:
                kept.append(block)
        if kept or not message["content"]:
            expected.append({**message, "content": kept})
    if found is None:
        assert expected == history
        return
    changed, is_off = found.without(body, count)

    assert json.loads(changed) == {"model": "m", "messages": expected, "tail": history}
    assert not is_off


def test_a_budget_is_not_spent_on_open_calls_whose_thought_is_gone() -> None:
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]
    management = {"edits": edits, "x": 1.0}
    history = (said("user", TEXT), said("assistant", THOUGHT, CALL), said("user", RESULT))
    changed, is_off = without(body_of(*history, thinking=BUDGET, context_management=management))

    assert is_off
    assert changed["thinking"] == {"type": "disabled"}
    assert changed["context_management"] == {"edits": edits[1:], "x": 1.0}


@pytest.mark.parametrize(
    ("history", "thinking", "count"),
    [
        # Nothing is open; the model has no budget; the thought before the open calls stays.
        ([said("assistant", THOUGHT, TEXT), said("user", TEXT)], BUDGET, 1),
        ([said("assistant", THOUGHT, CALL), said("user", RESULT)], {"type": "adaptive"}, 1),
        ([said("assistant", REDACTED), said("assistant", THOUGHT, CALL), said("user", RESULT)], BUDGET, 1),
    ],
)  # fmt: skip
def test_in_all_other_cases_thinking_stays_on(history: list[Any], thinking: dict[str, Any], count: int) -> None:
    changed, is_off = without(body_of(*history, thinking=thinking), count)

    assert not is_off
    assert changed["thinking"] == thinking


def test_so_many_thoughts_are_nobodys() -> None:
    assert find_thinking(body_of(said("assistant", *[UNSIGNED] * (MOST_THOUGHTS + 1)))) is None


def test_looking_for_thoughts_takes_linear_time_and_short_steps() -> None:
    def look(count: int) -> Thinking | None:
        body = body_of(*[said("assistant", THOUGHT, TEXT)] * count)
        found = find_thinking(body)
        assert found is not None
        found.without(body, count)
        return found

    steps, _ = exhaust(find_thinking_in_steps(body_of(said("assistant", *[THOUGHT] * 5000))))

    assert growth(look, 500) < 8
    assert steps >= 50


# Answers.


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_streams_signatures_are_seen_as_it_passes(size: int) -> None:
    redacted = messages.Block(REDACTED, [])
    stream = messages.sse(
        *messages.message_events(
            messages.thinking_block(signature="one/"), messages.text_block(), redacted,
            messages.thinking_block("", signature="two"), message_id="msg_7",
        )
    )  # fmt: skip
    watcher = NativeStream()
    passed = b"".join(watcher.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert passed == stream
    assert watcher.made.id == "msg_7"
    assert watcher.made.digests == [signature_digest(seal) for seal in ("one/", "data+2==", "two")]


def test_an_answer_in_one_piece_tells_the_same() -> None:
    made = made_in(json.dumps(messages.message([THOUGHT, TEXT, REDACTED])).encode())

    assert made.id == messages.MESSAGE_ID
    assert made.digests == [signature_digest("sig/1=="), signature_digest("data+2==")]


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"id":7,"content":7}', b'{"content":[{"type":7}]}', b"\xff"])
def test_an_answer_of_another_form_tells_nothing(body: bytes) -> None:
    assert made_in(body) == Made()


# Threads and sessions.


def test_a_thread_is_begun_or_gone_on_with() -> None:
    assert read_thread(b'{"type":"create"}') == Thread()
    assert read_thread(b'{"\\u0074ype":"continue","previous_message_id":"msg_1"}') == Thread("msg_1")


@pytest.mark.parametrize(
    "field",
    [
        b"7",
        b'"create"',
        b"{}",
        b'{"type":"fork"}',
        b'{"type":"create","previous_message_id":"msg_1"}',
        b'{"type":"continue"}',
        b'{"type":"continue","previous_message_id":""}',
        b'{"type":"continue","previous_message_id":7}',
        b'{"type":"continue","previous_message_id":"%b"}' % (b"x" * 257),
        b'{"type":"continue","previous_message_id":"msg_1","previous_message_id":"msg_2"}',
        b'{"type":"continue","previous_message_id":"msg_1","x":1}',
    ],
)
def test_any_other_thread_is_a_mistake_that_is_named(field: bytes) -> None:
    with pytest.raises(TranslationError, match="thread"):
        read_thread(field)


@pytest.mark.parametrize(
    ("metadata", "session"),
    [
        ({"user_id": "user_ab_account_cd_session_57a121ec"}, "57a121ec"),
        ({"user_id": "user_ab_account__session_57a121ec"}, "57a121ec"),
        ({"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "54c1eb09"})}, "54c1eb09"),
        ({"user_id": "somebody"}, None),
        ({"user_id": "{not JSON"}, None),
        ({"user_id": '{"session_id":7}'}, None),
        ({"user_id": "u_session_" + "x" * 257}, None),
        ({"user_id": "u_session_" + "x" * 5000}, None),
        ({"user_id": None}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_a_session_is_what_claude_code_writes_into_the_metadata(metadata: Any, session: str | None) -> None:
    assert names_in(msgspec.Raw(msgspec.json.encode(metadata))).session == session
