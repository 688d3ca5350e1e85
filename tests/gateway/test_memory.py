"""What is remembered of conversations, whoever asks and whatever the store does."""

import asyncio
import json
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import pytest
from msgspec import Raw

from gateway.keypool import Account
from gateway.service.kept import Recollection
from tests.support.conversations import called, chat, returned, said, tool
from tests.support.intents import read_intent
from tests.support.sealed import Sealing
from translators.intent import Intent, Message, SealedTurn
from translators.kept.history import DIGEST_BYTES
from translators.models import model_table

MODEL = "claude-sonnet-5-5"
ROWS = {MODEL: model_table().row(MODEL)}
TOOLS = [tool("look")]
T = TypeVar("T")


def asked(*messages: dict[str, Any]) -> dict[str, Any]:
    return chat(said("user", "Go"), *messages, tools=TOOLS)


def looped(loop: Sealing, rounds: int, earlier: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A conversation of so many rounds of tools, in which upstream has thought each time."""
    history = [*earlier]
    for number in range(rounds):
        call_id = f"toolu_{number}"
        thought = {"type": "thinking", "thinking": f"{number}"}
        loop.ask(asked(*history), [thought, {"type": "tool_use", "id": call_id, "name": "look", "input": {}}])
        history += [called((call_id, "look", "{}")), returned(call_id)]
    return asked(*history)


async def test_a_long_conversation_is_recollected_in_many_steps(sealing: Sealing) -> None:
    earlier = [called((f"call_{number // 2}", "look", "{}")) for number in range(260)]
    earlier[1::2] = [returned(f"call_{number}") for number in range(130)]
    body = await asyncio.to_thread(looped, sealing, 2, earlier)
    taken: list[int] = []

    async def run(steps: Generator[None, None, T], /) -> T:
        taken.append(0)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            taken[-1] += 1

    chat = read_intent(json.dumps(body).encode())
    past = await sealing.memory.recollect(chat, b"me", ROWS, run)

    assert len(past[MODEL].keys) == 2
    assert taken == [5, 1, 0, 5]
    assert await sealing.memory.recollect(chat, b"me", ROWS) == past


def recollected(loop: Sealing, body: dict[str, Any], scope: bytes = b"me") -> Recollection:
    """What a request gets back."""
    return asyncio.run(loop.memory.recollect(read_intent(json.dumps(body).encode()), scope, ROWS))[MODEL]


def test_what_becomes_of_turns_is_counted() -> None:
    loop = Sealing()
    body = looped(loop, 2)
    counts = loop.memory.counts
    recollection = recollected(loop, body)
    kept, restored, before = counts.kept, counts.restored, dict(counts.left_out)
    for _ in range(2):
        recollection.past_for(is_home=False)
    loop.store.forget(list(loop.store.values)[:1])
    recollected(loop, body)

    assert (kept, restored, before) == (2, 2, {})
    assert counts.left_out == {"account": 1, "missing": 1}
    assert counts.restored == 2


def test_another_account_gets_the_same_words_each_time() -> None:
    recollection = recollected(loop := Sealing(), looped(loop, 1))
    elsewhere = recollection.past_for(is_home=False)

    assert recollection.account is not None
    assert elsewhere is recollection.past_for(is_home=False)
    assert (elsewhere.contents, elsewhere.left_out) == ({}, "account")
    assert elsewhere.origin is not None
    assert (elsewhere.origin.parent, elsewhere.origin.is_gap) == (b"", True)
    assert recollection.past_for(is_home=True) is recollection.past


def test_what_nobody_signed_goes_back_to_any_account() -> None:
    loop = Sealing()
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        {"type": "text", "text": "So."},
    ]
    loop.ask(asked(), calls)
    recollection = recollected(loop, asked(called(("toolu_1", "look", "{}"), content="So."), returned("toolu_1")))

    assert recollection.account is None
    assert recollection.past_for(is_home=False).contents


def test_what_a_server_tool_has_sealed_belongs_to_its_account() -> None:
    loop = Sealing()
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    loop.ask(asked(), [found, {"type": "text", "text": "So."}])
    recollection = recollected(loop, asked(said("assistant", "So."), said("user", "And?")))

    assert recollection.account == Account("a", b"a")


def test_refused_thinking_is_forgotten_with_all_turns_and_signatures() -> None:
    loop = Sealing()
    body = looped(loop, 3)
    own = [{"type": "thinking", "thinking": "Mine.", "signature": "EqQB"}]
    body["messages"][1]["thinking_blocks"] = own
    recollection = recollected(loop, looped(Sealing(store=loop.store), 3))
    chat = read_intent(json.dumps(body).encode())
    loop.memory.refuse(recollection, chat.messages)
    again = recollected(loop, body)

    # What led to the turns by their places leads nowhere.
    assert [*loop.store.values.values()] == [key for key in loop.store.values.values() if key not in loop.store.values]
    assert {*map(len, loop.store.values.values())} == {DIGEST_BYTES}
    assert recollection.past.is_bare
    assert recollection.account is None
    assert again.past.left_out == "refused"
    assert again.past.thinking(chat.messages[1]) == []


def test_only_the_latest_refused_signatures_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.kept._MOST_REFUSED", 2)
    loop = Sealing()

    def message(signature: str) -> dict[str, Any]:
        block = {"type": "thinking", "thinking": "", "signature": signature}
        return said("assistant", "So.", thinking_blocks=[block])

    for signature in ("one", "two", "three"):
        body = asked(message(signature))
        loop.memory.refuse(recollected(loop, body), read_intent(json.dumps(body).encode()).messages)
    refused = [recollected(loop, asked(message(each))).past.left_out for each in ("one", "two", "three")]

    assert refused == [None, "refused", "refused"]


def test_thinking_under_a_seal_that_upstream_has_refused_stays_out_of_later_requests() -> None:
    block = {"type": "thinking", "thinking": "", "signature": "one"}
    turn = SealedTurn("assistant", Raw(b'"So."'), own_blocks=(json.dumps(block).encode(),), order="ot")
    intent = Intent([Message("user", Raw(b'"Go"')), turn], tools=[Raw(json.dumps(TOOLS[0]).encode())])
    loop = Sealing()

    def recollect() -> Recollection:
        return asyncio.run(loop.memory.recollect(intent, b"me", ROWS))[MODEL]

    before = recollect()
    loop.memory.refuse(before, intent.messages)

    assert before.past.is_bare
    assert recollect().past.own_blocks(turn) == [None]


def test_without_a_history_nothing_is_looked_up() -> None:
    loop = Sealing()
    chat_without = read_intent(json.dumps(chat(said("user", "Hi"))).encode())

    assert asyncio.run(loop.memory.recollect(chat_without, b"me", ROWS)) == {}
    recollected(loop, asked())
    assert loop.store.fetches == 0


def test_callers_do_not_get_what_others_were_answered() -> None:
    body = looped(loop := Sealing(), 2)

    assert recollected(loop, body, b"you").keys == ()
    assert len(recollected(loop, body).keys) == 2


@pytest.fixture
def sealing() -> Sealing:
    return Sealing()
