"""Who has made what clients send back: bounded, for a day, one client's apart from another's, and in the store."""

from collections.abc import Sequence

import pytest

from gateway.kept_turns.layered import LayeredStore
from gateway.kept_turns.memory import Memory
from gateway.keypool import Account
from gateway.service import signers as room
from gateway.service.signers import KEEP_SECONDS, Recalled, Signer, Signers

ACME = Signer("acme", b"a", "ws-a")
UMBRELLA = Signer("umbrella", b"u", "ws-u")
MOVED = Signer("umbrella", b"u", "ws-u", "account")
SCOPE = b"client"


def digests(*names: str) -> list[bytes]:
    return [name.encode() for name in names]


def known(*steps: tuple[Signer, Sequence[str]]) -> Signers:
    signers = Signers()
    for signer, names in steps:
        signers.note_thoughts(SCOPE, digests(*names), signer)
    return signers


@pytest.mark.parametrize(
    ("steps", "history", "recalled"),
    [
        ([], ["1"], Recalled()),
        ([(ACME, "12")], ["0", "1", "2", "3"], Recalled(Account("acme", b"a"))),
        # An answer of two thoughts that was made without those before it.
        ([(ACME, "12"), (MOVED, "34"), (UMBRELLA, "5")], ["1", "2", "3", "4", "5"],
         Recalled(Account("umbrella", b"u"), 2, "account")),
        ([(ACME, "1"), (MOVED, "2"), (Signer("acme", b"a", "", "account"), "3")], ["1", "2", "3"],
         Recalled(Account("acme", b"a"), 2, "account")),
    ],
)  # fmt: skip
async def test_the_latest_thought_tells_who_and_the_latest_gap_how_many_do_not_go_back(
    steps: list[tuple[Signer, str]], history: list[str], recalled: Recalled
) -> None:
    assert await known(*steps).recall(SCOPE, digests(*history)) == recalled


async def test_what_was_refused_stays_out_with_all_before_it() -> None:
    signers = known((ACME, "12"))
    signers.refuse(SCOPE, [*digests("1", "2"), b""])

    assert await signers.recall(SCOPE, digests("1", "2")) == Recalled(None, 2, "refused")
    signers.note_thoughts(SCOPE, digests("3"), UMBRELLA)
    assert await signers.recall(SCOPE, digests("1", "2", "3")) == Recalled(Account("umbrella", b"u"), 2, "refused")


async def test_one_client_finds_nothing_of_another() -> None:
    signers = known((ACME, "1"))
    signers.note_message(SCOPE, "msg", ACME)

    assert await signers.recall(b"other", digests("1")) == Recalled()
    assert await signers.signer_of(b"other", "msg") is None
    assert await signers.signer_of(SCOPE, "msg") == ACME
    # A signature is no message.
    assert await signers.signer_of(SCOPE, "1") is None


async def test_it_is_known_for_a_day_and_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_KNOWN", 3)
    now = 0.0
    signers = Signers(clock=lambda: now)
    for number in range(5):
        signers.note_message(SCOPE, str(number), ACME)
    found = [await signers.signer_of(SCOPE, str(number)) for number in range(5)]
    now = KEEP_SECONDS

    assert found == [None, None, ACME, ACME, ACME]
    assert await signers.signer_of(SCOPE, "4") is None


async def test_only_the_latest_thoughts_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_RECALLED", 2)
    signers = known((ACME, "1"), (MOVED, "3"))

    assert await signers.recall(SCOPE, digests("1", "2", "3")) == Recalled(Account("umbrella", b"u"), 2, "account")
    assert await signers.recall(SCOPE, digests("1", "4", "5")) == Recalled()


async def test_another_process_finds_it_in_the_store() -> None:
    store = LayeredStore(Memory(2**20, 1000.0), keep_seconds=1000.0)
    first, second = Signers(store), Signers(store)
    await first.share([*first.note_thoughts(SCOPE, digests("1"), MOVED), *first.note_message(SCOPE, "msg", ACME)])

    assert await second.recall(SCOPE, digests("0", "1")) == Recalled(Account("umbrella", b"u"), 1, "account")
    assert await second.signer_of(SCOPE, "msg") == ACME
