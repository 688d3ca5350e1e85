"""What /livez, /readyz and /health say: of this process they decide, of the rest they only tell."""

import asyncio
import signal
from pathlib import Path

import httpx2
import pytest

from gateway.config import AccountsConfig, StoreConfig
from gateway.pages.health import Readiness
from tests.scenarios.harness import PATH, asking, pool_of, quick_gateway, until
from tests.scenarios.processes import ask, client_of, fleet
from tests.support import messages
from tests.support.gateway import ServerConfig, config_for, key, running_gateway, with_settings
from tests.support.scripted import ScriptedUpstream, error_answer, stream_answer


async def until_ready(http: httpx2.AsyncClient) -> httpx2.Response:
    async with asyncio.timeout(25):
        while (answer := await http.get("/readyz")).status_code != 200:
            pass
    return answer


async def test_a_gateway_is_ready_and_says_what_it_has(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url, "a"), key(upstream.base_url, "b")) as running:
        http = running.http()
        ready, alive = await until_ready(http), await http.get("/livez")

    well = {"keys": {"configured": 2, "usable": 2}, "store": "ok", "ledger": "ok"}
    assert ready.json() == {"status": "ready", "worker": 1, **well}
    assert ready.headers["cache-control"] == "no-store"
    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})


async def test_it_is_ready_while_upstream_refuses_its_key_and_says_so(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(401, "authentication_error", "invalid x-api-key"))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        await http.post(PATH, json=asking())
        ready = await until_ready(http)

    assert ready.json()["keys"] == {"configured": 1, "usable": 0}


async def test_it_is_ready_while_its_host_is_down_and_says_so(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        [state] = pool_of(running).states
        for _ in range(5):
            state.host.breaker.fail(running.time.clock(), is_trial=False)
        ready = await until_ready(running.http())

    assert ready.json()["keys"]["usable"] == 0


async def test_it_is_ready_while_its_databases_cannot_be_opened_and_says_so(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    store = StoreConfig(kind="sqlite", path=str(tmp_path / "file" / "store.db"))
    accounts = AccountsConfig(path=str(tmp_path / "file" / "accounts.db"))
    config = with_settings(config_for(key(upstream.base_url)), store=store, accounts=accounts)
    async with quick_gateway(config=config) as running:
        await until(lambda: not running.gateway.ledger.is_well)
        ready = await until_ready(running.http())

    assert (ready.json()["store"], ready.json()["ledger"]) == ("failing", "failing")
    assert "file" not in ready.text


async def test_it_is_starting_until_its_store_was_opened_and_no_longer_than_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.pages.health._OPENING_SECONDS", 0.001)
    readiness, opened = Readiness(), asyncio.Event()

    async def open_it() -> None:
        await opened.wait()

    before = readiness.phase
    following = asyncio.create_task(readiness.follow(open_it()))
    await until(lambda: readiness.phase != "starting")
    is_waiting = not following.done()
    opened.set()
    await following

    assert (before, readiness.phase, is_waiting) == ("starting", "ready", True)


async def test_sigterm_drains_first_requests_are_served_and_their_connections_closed(
    upstream: ScriptedUpstream,
) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    config = config_for(key(upstream.base_url))
    config = with_settings(config, server=ServerConfig(port=0, shutdown_grace_seconds=5, drain_seconds=3600))
    async with running_gateway(config=config) as running:
        http = running.http()
        await until_ready(http)
        running.server.handle_exit(signal.SIGTERM, None)
        running.server.handle_exit(signal.SIGTERM, None)
        ready, alive = await http.get("/readyz"), await http.get("/livez")
        served = await http.post(PATH, json=asking(stream=True))
        was_stopping = running.server.should_exit
        running.server.handle_exit(signal.SIGINT, None)
        is_stopping, is_forced = running.server.should_exit, running.server.force_exit

    assert (ready.status_code, ready.json()["status"], ready.headers["connection"]) == (503, "draining", "close")
    assert (alive.status_code, served.status_code) == (200, 200)
    assert (was_stopping, is_stopping, is_forced) == (False, True, False)


async def test_the_end_comes_when_the_time_for_draining_is_over(upstream: ScriptedUpstream) -> None:
    config = config_for(key(upstream.base_url))
    config = with_settings(config, server=ServerConfig(port=0, shutdown_grace_seconds=5, drain_seconds=0.01))
    async with running_gateway(config=config) as running:
        running.server.handle_exit(signal.SIGTERM, None)
        async with asyncio.timeout(25):
            await asyncio.shield(running.serving)

    assert running.server.should_exit


async def test_without_a_time_for_draining_sigterm_stops_at_once(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        running.server.handle_exit(signal.SIGTERM, None)
        is_stopping = running.server.should_exit

    assert is_stopping


async def test_all_workers_drain_together_and_those_that_start_meanwhile(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    file = tmp_path / "draining.yaml"
    file.write_text("server: {drain_seconds: 3600}")
    async with fleet(upstream, "--config", str(file)) as both:
        pids = await both.pids()
        async with client_of(both) as client:
            ready = await until_ready(client)
        both.signal(signal.SIGTERM)
        await both.said("Draining: requests are still served")
        answers: list[dict[str, object]] = []
        async with asyncio.timeout(25):
            while {answer["worker"] for answer in answers if answer["status"] == "draining"} != {1, 2}:
                async with client_of(both) as client:
                    answers.append((await client.get("/readyz")).json())
        served = await ask(both)
        both.signal(signal.SIGINT)
        code = await both.end()

    assert len(pids) == 2
    assert ready.json()["status"] == "ready"
    assert "[DONE]" in served
    assert code == 0
