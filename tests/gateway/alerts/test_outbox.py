"""An alert is posted once over all workers, signed, again after failures, and nobody waits for it."""

import asyncio
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.alerts.alert import Alert, repeated
from gateway.alerts.outbox import MOST_WAITING, PAUSES_SECONDS, Outbox
from gateway.alerts.posting import Target
from gateway.alerts.signing import signature
from gateway.alerts.stored_claims import StoredClaims
from gateway.config import AccountsConfig
from gateway.ledger.lane import AccountsFile
from gateway.secret import Secret
from tests.support.scripted import Answer, ScriptedUpstream, Silence, json_answer, refusing_upstream, scripted_upstream

NOW = 1_796_000_000.0
SECRET = "a secret of the operator's"
TOKEN = "token-in-the-url"
OK = json_answer(200, {})


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def receiver() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as running:
        yield running


def alert(name: str = "money/r1//2026-11-01T00:00:00Z/80") -> Alert:
    return Alert(name, "money", NOW, "80 % are spent", {"rule": "r1"})


def stored(folder: Path) -> StoredClaims:
    return StoredClaims(AccountsConfig(path=str(folder / "accounts.db")))


def outbox(url: str, pauses: Pauses, claims: StoredClaims | None = None, timeout_seconds: float = 10.0) -> Outbox:
    target = Target(Secret(f"{url}/hooks/{TOKEN}"), Secret(SECRET), timeout_seconds)
    return Outbox(target, claims, now=lambda: NOW, sleep=pauses)


async def test_an_alert_is_posted_as_json_with_its_name_and_its_words(
    receiver: ScriptedUpstream, pauses: Pauses
) -> None:
    receiver.always(OK)
    box = outbox(receiver.base_url, pauses)

    box.put(alert())
    await box.close()

    (request,) = receiver.received
    assert (request.method, request.path) == ("POST", f"/hooks/{TOKEN}")
    assert request.json == {
        "id": "money/r1//2026-11-01T00:00:00Z/80",
        "type": "money",
        "created_at": "2026-11-30T00:53:20Z",
        "text": "80 % are spent",
        "data": {"rule": "r1"},
    }


async def test_a_receiver_can_check_who_sent_it_and_when(receiver: ScriptedUpstream, pauses: Pauses) -> None:
    receiver.always(OK)
    box = outbox(receiver.base_url, pauses)

    box.put(alert())
    await box.close()

    (request,) = receiver.received
    parts = dict(part.split("=") for part in request.headers["x-dragoman-signature"].split(","))
    signed = parts["t"].encode() + b"." + request.body
    assert parts["t"] == str(int(NOW))
    assert parts["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("answer", [json_answer(500, {}), json_answer(429, {}), json_answer(503, {})])
async def test_what_is_refused_for_now_is_posted_again_after_longer_and_longer_pauses(
    receiver: ScriptedUpstream, pauses: Pauses, answer: Answer
) -> None:
    receiver.script(answer, answer, OK)
    box = outbox(receiver.base_url, pauses)

    box.put(alert())
    await box.close()

    assert len(receiver.received) == 3
    assert pauses == list(PAUSES_SECONDS[:2])
    assert len({request.body for request in receiver.received}) == 1


async def test_what_nobody_takes_is_given_up_and_told_in_the_log_without_the_url(
    pauses: Pauses, read_log: Callable[[], str]
) -> None:
    with refusing_upstream() as url:
        box = outbox(url, pauses)
        box.put(alert())
        await box.close()

    assert pauses == list(PAUSES_SECONDS)
    assert "An alert was not delivered" in (log := read_log())
    assert "connection refused" in log
    assert TOKEN not in log


@pytest.mark.parametrize("status", [400, 401, 404, 302])
async def test_a_refusal_that_would_be_repeated_is_final(
    receiver: ScriptedUpstream, pauses: Pauses, status: int
) -> None:
    receiver.always(json_answer(status, {}, headers={"location": f"{receiver.base_url}/elsewhere"}))
    box = outbox(receiver.base_url, pauses)

    box.put(alert())
    await box.close()

    assert len(receiver.received) == 1
    assert not pauses


async def test_a_receiver_that_says_nothing_is_given_up_in_time(receiver: ScriptedUpstream, pauses: Pauses) -> None:
    receiver.script(Answer((Silence(),)))
    receiver.always(OK)
    box = outbox(receiver.base_url, pauses, timeout_seconds=0.05)

    box.put(alert())
    await receiver.wait_for_disconnects(1)
    box.target = Target(Secret(receiver.base_url))
    await box.close()

    assert len(receiver.received) == 2


async def test_the_same_alert_is_sent_once(receiver: ScriptedUpstream, pauses: Pauses) -> None:
    receiver.always(OK)
    box = outbox(receiver.base_url, pauses)

    for _ in range(3):
        box.put(alert())
    await box.close()
    box.put(alert())
    await box.close()

    assert len(receiver.received) == 1


async def test_two_workers_and_a_restarted_one_send_an_alert_once(
    receiver: ScriptedUpstream, pauses: Pauses, tmp_path: Path
) -> None:
    receiver.always(OK)
    boxes = [outbox(receiver.base_url, pauses, stored(tmp_path)) for _ in range(3)]

    for box in boxes[:2]:
        box.put(alert())
    await asyncio.gather(*(box.close() for box in boxes[:2]))
    boxes[2].put(alert())
    await boxes[2].close()

    assert len(receiver.received) == 1


async def test_what_lasts_is_sent_again_when_its_time_is_over_and_not_at_the_next_full_hour(
    receiver: ScriptedUpstream, pauses: Pauses, tmp_path: Path
) -> None:
    receiver.always(OK)
    hour = NOW // 3600 * 3600

    for at in (hour - 10, hour + 10, hour + 3580, hour + 3591, hour + 3600):
        box = outbox(receiver.base_url, pauses, stored(tmp_path))
        box.put(repeated("first", "key_rejected", at, 3600, "Rejected", {}))
        await box.close()

    created = [request.json["created_at"][14:] for request in receiver.received]
    assert created == ["59:50Z", "59:51Z"]


async def test_where_the_database_cannot_be_used_an_alert_is_sent_all_the_same(
    receiver: ScriptedUpstream, pauses: Pauses, tmp_path: Path
) -> None:
    receiver.always(OK)
    (tmp_path / "accounts.db").mkdir()
    box = outbox(receiver.base_url, pauses, stored(tmp_path))

    box.put(alert())
    await box.close()

    assert len(receiver.received) == 1


async def test_old_names_are_forgotten_but_not_those_without_an_end(tmp_path: Path) -> None:
    file = AccountsFile(tmp_path / "accounts.db")
    claims = stored(tmp_path)
    year = 366 * 86_400
    names = ["money/r1//2024-01-01T00:00:00Z/80", "money/r2//total/80"]
    for name in names:
        assert await claims.claim(Alert(name, "money", NOW - 2 * year, "", {}))

    assert await claims.claim(Alert("new", "money", NOW, "", {}))

    def kept(connection: sqlite3.Connection) -> list[str]:
        return [name for (name,) in connection.execute("SELECT name FROM alerts ORDER BY name")]

    assert await file.run(kept) == ["money/r2//total/80", "new"]
    await file.close()


async def test_so_many_alerts_wait_and_no_more(
    receiver: ScriptedUpstream, pauses: Pauses, read_log: Callable[[], str]
) -> None:
    receiver.always(OK)
    box = outbox(receiver.base_url, pauses)

    for number in range(MOST_WAITING + 5):
        box.put(alert(f"money/{number}"))
    await receiver.wait_for_requests(MOST_WAITING)
    await box.close()

    assert len(receiver.received) == MOST_WAITING
    assert read_log().count("An alert was not delivered") == 5


async def test_without_a_url_nothing_is_sent(pauses: Pauses) -> None:
    box = Outbox(None, sleep=pauses)

    box.put(alert())

    await box.close()


def test_half_a_character_in_a_name_is_no_reason_to_fail() -> None:
    assert json.loads(Alert("a\ud800", "test", NOW, "b\ud800", {}).as_json())["type"] == "test"


def test_the_documented_check_of_a_signature_accepts_ours_and_nothing_else() -> None:
    code = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text("utf-8").split("```py\n")[1].split("```")[0]
    found: dict[str, Any] = {}
    exec(code, found)
    is_genuine, now = found["is_genuine"], time.time()
    header = signature(Secret(SECRET), b"{}", now)

    assert is_genuine(header, b"{}", SECRET)
    assert not is_genuine(header, b"{ }", SECRET)
    assert not is_genuine(header, b"{}", "another secret")
    assert not is_genuine(signature(Secret(SECRET), b"{}", now - 301), b"{}", SECRET)
