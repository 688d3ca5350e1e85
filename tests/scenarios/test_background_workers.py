"""Responses in the background with several workers on one store: each finds, follows and cancels all of them."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.service import background, following
from gateway.service.runs import RunKeys, Runs
from tests.gateway.test_response_chains import Broken
from tests.scenarios.harness import assert_error, quick_gateway, until
from tests.scenarios.processes import Fleet, client_of, fleet, serving
from tests.scenarios.test_background import MODEL, PATH, begun, ended, events_of, found, replayed, text_of, wanting
from tests.scenarios.test_stored_state import settings, stopped
from tests.support import messages
from tests.support.gateway import RunningGateway, Secret, StoreConfig, config_for, key, with_settings
from tests.support.responses_grammar import event_violations, response_violations, stream_violations
from tests.support.scripted import ScriptedUpstream, Silence, Wait, stream_answer
from tests.support.valkey import PROGRAM, server

EVENTS = messages.text_stream()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.01)


@pytest.fixture(params=["sqlite", "valkey"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreConfig]:
    """What two gateways share."""
    if request.param == "sqlite":
        yield StoreConfig(kind="sqlite", path=str(tmp_path / "store.db"))
        return
    if PROGRAM is None:
        pytest.skip("neither valkey-server nor redis-server is on PATH")
    async with server() as valkey:
        secret = Secret("a-secret-of-the-tests")
        yield StoreConfig(kind="valkey", url=Secret(valkey.url), encryption_key=secret)


@contextlib.asynccontextmanager
async def two_on_one_store(
    upstream: ScriptedUpstream, store: StoreConfig
) -> AsyncIterator[tuple[RunningGateway, RunningGateway]]:
    config = with_settings(config_for(key(upstream.base_url)), store=store)
    async with quick_gateway(config=config) as one, quick_gateway(config=config) as other:
        yield one, other


async def test_another_worker_follows_and_finds_it(
    upstream: ScriptedUpstream, gate: asyncio.Event, store: StoreConfig
) -> None:
    async with two_on_one_store(upstream, store) as (one, other):
        live = asyncio.create_task(one.http().post(PATH, json=wanting(stream=True)))
        await upstream.wait_for_requests(1)
        (run,) = one.gateway.background._running.values()
        await until(lambda: run.log.next > 5)
        await run.log.flush()
        name = events_of(run.log.read(0).events)[0]["response"]["id"]  # type: ignore[union-attr]
        there = other.http()
        meanwhile = await found(there, name)
        whole, rest = (asyncio.create_task(replayed(there, name, after)) for after in (None, 3))
        await asyncio.sleep(0)
        gate.set()
        seen = (await live).content
        last = await ended(there, name)
        followed = await whole, await rest

    assert meanwhile["status"] == "in_progress"
    assert response_violations(meanwhile) == []
    assert stream_violations(seen) == []
    assert followed[0] == seen
    assert seen.endswith(followed[1])
    assert events_of(followed[1])[0]["sequence_number"] == 4
    assert text_of(last) == "Hello, world."


async def test_another_worker_cancels_it(upstream: ScriptedUpstream, store: StoreConfig) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    async with two_on_one_store(upstream, store) as (one, other):
        here, there = one.http(), other.http()
        response = await begun(here)
        await upstream.wait_for_requests(1)
        cancelled = (await there.post(f"{PATH}/{response['id']}/cancel")).json()
        at_once = await found(here, response["id"])
        await upstream.wait_for_disconnects(1)
        await until(lambda: not one.gateway.background)
        after = [await found(http, response["id"]) for http in (here, there)]
        stream = await replayed(there, response["id"])

    assert [each["status"] for each in (cancelled, at_once, *after)] == ["cancelled"] * 4
    assert after[0] == after[1]
    assert stream_violations(stream) == []


async def test_one_that_is_cancelled_as_it_ends_stays_cancelled(
    upstream: ScriptedUpstream, store: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with two_on_one_store(upstream, store) as (one, other):
        there, runs = other.http(), one.gateway.background._runs
        cancelled: list[str] = []

        async def late(keys: RunKeys, *, is_cancelled: bool) -> None:
            """The other worker has seen it running a moment before."""
            await other.gateway.background._runs.flag(keys)
            (run,) = one.gateway.background._running.values()
            run.is_cancelled.set()
            name = events_of(run.log.read(0).events)[0]["response"]["id"]  # type: ignore[union-attr]
            cancelled.append(name)
            assert (await found(there, name))["status"] == "cancelled"
            await Runs.end(runs, keys, is_cancelled=is_cancelled)

        monkeypatch.setattr(runs, "end", late)
        response = await begun(one.http())
        await until(lambda: bool(cancelled) and not one.gateway.background)
        after = [await found(each.http(), response["id"]) for each in (one, other)]

    assert [each["status"] for each in after] == ["cancelled"] * 2


async def test_another_worker_deletes_it(upstream: ScriptedUpstream, store: StoreConfig) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    async with two_on_one_store(upstream, store) as (one, other):
        here, there = one.http(), other.http()
        response = await begun(here)
        await upstream.wait_for_requests(1)
        await there.delete(f"{PATH}/{response['id']}")
        await upstream.wait_for_disconnects(1)
        await until(lambda: not one.gateway.background)
        statuses = [(await http.get(f"{PATH}/{response['id']}")).status_code for http in (here, there)]

    assert statuses == [404, 404]


async def test_a_worker_that_has_died_leaves_nothing_in_progress(
    upstream: ScriptedUpstream, gate: asyncio.Event, store: StoreConfig
) -> None:
    async with two_on_one_store(upstream, store) as (one, other):
        there = other.http()
        response = await begun(one.http())
        await upstream.wait_for_requests(1)
        (run,) = one.gateway.background._running.values()
        await until(lambda: run.log.next > 5)
        await run.log.flush()
        before = await found(there, response["id"])
        now = other.time.now() + 61
        other.time.now = lambda: now
        following = await replayed(there, response["id"])
        lost = await found(there, response["id"])
        refused = await there.post(
            PATH, json={"model": MODEL, "input": "Go on", "previous_response_id": response["id"]}
        )
        cancelled = (await there.post(f"{PATH}/{response['id']}/cancel")).json()

    assert before["status"] == "in_progress"
    assert (lost["status"], lost["error"]["code"]) == ("failed", "server_error")
    assert "ended before it was complete" in lost["error"]["message"]
    assert response_violations(lost) == []
    assert stream_violations(following) == []
    assert events_of(following)[-2]["response"] == lost
    assert refused.json()["error"]["code"] == "previous_response_not_completed"
    assert cancelled == lost


async def test_while_the_store_fails_followers_are_told_and_go_on_later(
    upstream: ScriptedUpstream, gate: asyncio.Event, store: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_on_one_store(upstream, store) as (one, other):
        here, there = one.http(), other.http()
        response = await begun(here)
        await upstream.wait_for_requests(1)
        (run,) = one.gateway.background._running.values()
        await until(lambda: run.log.next > 5)
        await run.log.flush()
        async with there.stream("GET", f"{PATH}/{response['id']}?stream=true") as answer:
            pieces = answer.aiter_bytes()
            seen = await anext(pieces)
            records = other.gateway.background._runs._records
            monkeypatch.setattr(other.gateway.background._runs, "_records", Broken())
            seen += b"".join([piece async for piece in pieces])
        refused = await there.get(f"{PATH}/{response['id']}?stream=true")
        monkeypatch.setattr(other.gateway.background._runs, "_records", records)
        gate.set()
        *events, error = events_of(seen)
        rest = await replayed(there, response["id"], events[-1]["sequence_number"])

    assert (error["type"], error["sequence_number"]) == ("error", len(events))
    assert "store cannot be used" in error["error"]["message"]
    assert_error(refused, 503, "service_unavailable_error", "store_unavailable")
    assert event_violations([*events, *events_of(rest)]) == []


async def test_those_that_run_are_renewed(
    upstream: ScriptedUpstream, gate: asyncio.Event, store: StoreConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RENEW_SECONDS", 0.0)
    async with two_on_one_store(upstream, store) as (one, other):
        there = other.http()
        response = await begun(one.http())
        now = one.time.now() + 1000
        one.time.now = other.time.now = lambda: now
        while (await found(there, response["id"]))["status"] != "in_progress":
            pass
        gate.set()
        last = await ended(there, response["id"])

    assert last["status"] == "completed"


async def made_by_each(fleet: Fleet, count: int) -> list[str]:
    names = []
    for _ in range(count):
        async with client_of(fleet) as client:
            names.append((await client.post(PATH, json=wanting())).json()["id"])
    return names


async def status_of(fleet: Fleet, name: str) -> str:
    async with client_of(fleet) as client:
        return str((await client.get(f"{PATH}/{name}")).json()["status"])


async def all_ended(fleet: Fleet, names: list[str]) -> list[str]:
    while {*(statuses := [await status_of(fleet, name) for name in names])} & {"queued", "in_progress"}:
        pass
    return statuses


async def test_real_workers_find_each_others_and_a_restart_finds_them_all(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    gate = asyncio.Event()
    upstream.always(stream_answer(*EVENTS[:3], Wait(gate), *EVENTS[3:]))
    config = settings(tmp_path)
    async with fleet(upstream, "--config", config) as both:
        names = await made_by_each(both, 6)
        await upstream.wait_for_requests(6)
        running = [await status_of(both, name) for name in names for _ in range(2)]
        cancelled = [await cancel(both, names[0])]
        gate.set()
        statuses = await all_ended(both, names)
        await stopped(both)
    async with serving(upstream, "--config", config) as again:
        async with client_of(again) as client:
            streams = [await replayed(client, name) for name in names]
            after = [await status_of(again, name) for name in names]
        await stopped(again)

    assert {*running} == {"in_progress"}
    assert cancelled == ["cancelled"]
    assert statuses == after == ["cancelled", *["completed"] * 5]
    assert [stream_violations(stream) for stream in streams] == [[]] * 6


async def cancel(fleet: Fleet, name: str) -> str:
    async with client_of(fleet) as client:
        return str((await client.post(f"{PATH}/{name}/cancel")).json()["status"])


async def test_a_worker_that_is_told_to_go_finishes_what_it_makes(
    upstream: ScriptedUpstream, gate: asyncio.Event, tmp_path: Path
) -> None:
    async with fleet(upstream, "--config", settings(tmp_path)) as both:
        pids = await both.pids()
        names = await made_by_each(both, 6)
        await upstream.wait_for_requests(6)
        os.kill(pids[1], signal.SIGTERM)
        await both.pids(3)
        gate.set()
        await both.said("A worker has ended .*exit_code=0")
        statuses = await all_ended(both, names)
        await stopped(both)

    assert statuses == ["completed"] * 6, both.log


async def test_a_shutdown_leaves_none_in_progress(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    config = Path(settings(tmp_path))
    config.write_text(f"{config.read_text()}\nserver: {{shutdown_grace_seconds: 0.1}}")
    async with fleet(upstream, "--config", str(config)) as both:
        names = await made_by_each(both, 4)
        await upstream.wait_for_requests(4)
        both.signal(signal.SIGTERM)
        await both.end()
    async with serving(upstream, "--config", str(config)) as again:
        statuses = [await status_of(again, name) for name in names]
        await stopped(again)

    assert statuses == ["failed"] * 4, both.log
    assert both.log.count("A response in the background is failed") == 4
