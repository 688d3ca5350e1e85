"""`dragoman pool`: what it prints, and what it says when there is nothing to print."""

import argparse
import asyncio
import contextlib
import json
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.overview import NotSeenError, Overview, Worker, amount, duration, read, report
from gateway.cli.pool import show_pool
from gateway.config import AdminConfig
from gateway.keypool import Key, KeyPool, LeaseQueue, LeaseRequest, Outcome, PoolSettings, PoolView, merged, snapshot
from gateway.upstream.hosts import endpoint
from tests.scenarios.harness import quick_gateway
from tests.support.commands import PATIENCE_SECONDS, outcome, start
from tests.support.gateway import RunningGateway, Secret, config_for, key, with_settings
from tests.support.upstream_rules import run_strict_upstream
from translators.errors import ErrorKind, Failure

ADMIN = "admin-key-of-the-operator"
URL = "http://127.0.0.1:8080"
NOW = 1000.0
LONG_ID = "6f1c2b9e-88d0-4c3b-9a51-0d3f7b1e2a41"
HEADERS = {
    "anthropic-organization-id": LONG_ID,
    "anthropic-workspace-id": "wrkspc_01JwpVbZQpVnE9u4Zk",
    "anthropic-ratelimit-requests-limit": "2000",
    "anthropic-ratelimit-requests-remaining": "500",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1900000",
    "anthropic-ratelimit-output-tokens-limit": "400000",
    "anthropic-ratelimit-output-tokens-remaining": "390000",
}


def troubled_pool() -> KeyPool:
    """One key that serves, and one for each kind of trouble."""
    names = ("main", "revoked", "broke", "unreachable-behind-a-long-name", "cooling")
    pool = KeyPool([Key(name, host=f"http://{name}", max_concurrency=8) for name in names], PoolSettings("weighted"))
    kinds = (None, ErrorKind.KEY_REJECTED, ErrorKind.SPEND_LIMIT, ErrorKind.UNREACHABLE, ErrorKind.RATE_LIMITED)
    for kind in kinds:
        lease = pool.acquire(NOW, LeaseRequest("claude-sonnet-5-5"))
        assert lease is not None
        if kind is None:
            pool.answered(lease, HEADERS, NOW)
            continue
        pool.release(lease, Outcome.of(Failure(kind, "no", retry_after_seconds=7200)), NOW)
    return pool


def view_of(pool: KeyPool, queue: LeaseQueue[int] | None = None) -> PoolView:
    return snapshot(pool, queue or LeaseQueue(pool, 10), NOW + 12)


def shown(pool: KeyPool, worker: Worker | None = None, queue: LeaseQueue[int] | None = None) -> str:
    return report(Overview(view_of(pool, queue), worker or Worker()), URL)


def test_each_key_has_a_line_that_says_how_it_is() -> None:
    text = shown(troubled_pool())
    lines = {queue.split()[0]: queue for queue in text.splitlines() if queue}

    assert "ready" in lines["main"]
    assert "1/8" in lines["main"]
    assert "6f1c2b…e2a41" in lines["main"]
    # However long upstream says.
    assert "rejected 60 min" in lines["revoked"]
    assert "key_rejected 12 s ago" in lines["revoked"]
    assert "out of funds 60 min" in lines["broke"]
    assert "cooling 60 min" in lines["cooling"]
    assert "unreachable 12 s ago" in text


def test_limits_are_shown_as_what_is_used_of_them() -> None:
    text = shown(troubled_pool())

    assert "1100/2000 55%" in text
    assert "0/2.0M 0%" in text


def test_it_fits_into_a_hundred_columns() -> None:
    assert max(map(len, shown(troubled_pool(), Worker(12, 16)).splitlines())) <= 100


def test_who_waits_is_named() -> None:
    pool = troubled_pool()
    queue = LeaseQueue[int](pool, 10)
    for number, caller in enumerate(("shop", "shop", "batch")):
        queue.join(number, LeaseRequest("claude-opus-5-5", caller=caller))
    text = shown(pool, queue=queue)

    assert "3 of at most 10 waiting" in text
    assert "opus-5       3         shop 2, batch 1" in text


def test_it_says_whose_figures_they_are() -> None:
    view = view_of(KeyPool([Key("main")]))

    assert "All 2 workers" in report(Overview(view, Worker(2, 2), [1, 2]), URL)
    assert "2 of 3 workers, their limits and counts; no answer in time from 1." in report(
        Overview(view, Worker(2, 3), [2, 3], [1]), URL
    )
    assert "workers" not in shown(KeyPool([Key("main")]))


def test_a_key_about_which_workers_do_not_agree_says_how_many_do() -> None:
    view = merged([view_of(troubled_pool()), view_of(KeyPool([Key("revoked", host="http://revoked")]))])
    text = report(Overview(view, Worker(1, 2), [1, 2]), URL)

    rejected, disagreement = text[text.index("revoked") :].splitlines()[:2]
    assert "rejected 60 min" in rejected
    assert disagreement.split() == ["1", "of", "2", "workers", "ready"]
    assert max(map(len, text.splitlines())) <= 100


def test_without_trouble_there_is_no_table_of_it() -> None:
    text = shown(KeyPool([Key("main", host="http://up")]))

    assert "host in trouble" not in text
    assert "waiting for" not in text
    assert "organization  keys" not in text


def test_a_gateway_without_keys_says_so() -> None:
    assert "no keys" in shown(KeyPool([]))


def test_names_from_elsewhere_do_not_command_the_terminal() -> None:
    assert "\x1b" not in shown(KeyPool([Key("main", organization="\x1b[2Jorg")]))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (98, "98 s"), (120, "2 min"), (7200, "2 h"), (864_000, "10 d")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (-3, "-3"), (9999, "9999"), (10_000, "10.0k"), (450_000, "450k"), (2e6, "2.0M"), (3e8, "300M")],
)
def test_amounts_are_short(count: float, text: str) -> None:
    assert amount(count) == text


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"pool": {"keys": 1}}'])
def test_an_answer_of_something_else_is_no_overview(body: bytes) -> None:
    with pytest.raises(NotSeenError, match="--json"):
        read(body)


def test_what_a_later_version_adds_does_no_harm() -> None:
    pool: dict[str, Any] = {"strategy": "affinity", "share": 1, "in_flight": 0, "queue_size": 5, "news": "of tomorrow"}

    assert read(json.dumps({"pool": pool, "more": 1}).encode()).pool.queue_size == 5


# The command


def watched(base_url: str) -> AbstractAsyncContextManager[RunningGateway]:
    """A gateway that its admin can look into."""
    config = config_for(key(base_url, "simulated"))
    return quick_gateway(config=with_settings(config, admin=AdminConfig(api_key=Secret(ADMIN))))


async def test_the_command_prints_the_running_gateways_pool() -> None:
    async with run_strict_upstream() as upstream, watched(upstream.base_url) as running:
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello!"}]}
        await running.http().post("/v1/chat/completions", json=body)
        code, out, _ = await outcome("pool", "--url", running.url, DRAGOMAN_ADMIN_KEY=ADMIN)
        raw_code, raw, _ = await outcome("pool", "--json", "--url", running.url, DRAGOMAN_ADMIN_KEY=ADMIN)

    assert (code, raw_code) == (0, 0)
    assert "simulated" in out
    assert "sonnet-5" in out
    assert json.loads(raw)["pool"]["keys"][0]["name"] == "simulated"
    assert ADMIN not in out + raw


async def test_it_finds_the_gateway_by_its_configuration_whatever_proxy_there_is(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    async with quick_gateway(key("http://127.0.0.1:9")) as running:
        port = running.url.rpartition(":")[2]
        file.write_text(f"server: {{port: {port}}}\nadmin: {{api_key: other}}\n")
        code, _, err = await outcome("pool", "--config", str(file), HTTP_PROXY="http://127.0.0.1:9")

    assert code == 1
    assert "has no admin key" in err


async def test_watching_asks_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    options = argparse.Namespace(url=None, json=False, watch=True)
    async with watched("http://127.0.0.1:9") as running:
        admin = endpoint("admin", Secret(ADMIN), running.url)
        watching = asyncio.create_task(show_pool(admin, options, watch_seconds=0.01))
        said = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while said.count(running.url) < 3:
                await asyncio.sleep(0.01)
                said += capsys.readouterr().out
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_watching_ends_well_with_ctrl_c() -> None:
    async with watched("http://127.0.0.1:9") as running:
        process = await start("pool", "--watch", "--url", running.url, DRAGOMAN_ADMIN_KEY=ADMIN)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (await process.stdout.readline()).startswith(running.url.encode()):
                    pass
                process.send_signal(signal.SIGINT)
                _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    assert (process.returncode, err) == (0, b"")


async def test_it_says_what_is_wrong_when_it_cannot_ask(tmp_path: Path) -> None:
    file = tmp_path / "any-port.yaml"
    file.write_text("server: {port: 0}\n")
    no_key = await outcome("pool")
    no_port = await outcome("pool", "--config", str(file), DRAGOMAN_ADMIN_KEY=ADMIN)
    no_url = await outcome("pool", "--url", "example.com", DRAGOMAN_ADMIN_KEY=ADMIN)
    nobody = await outcome("pool", "--url", "http://127.0.0.1:9", DRAGOMAN_ADMIN_KEY=ADMIN)

    assert {code for code, _, _ in (no_key, no_port, no_url, nobody)} == {1}
    assert "DRAGOMAN_ADMIN_KEY" in no_key[2]
    assert "--url" in no_port[2]
    assert "--url: expected" in no_url[2]
    assert "Is it running?" in nobody[2]


async def test_it_says_what_is_wrong_when_it_is_refused() -> None:
    async with run_strict_upstream() as upstream, watched(upstream.base_url) as running:
        code, _, err = await outcome("pool", "--url", running.url, DRAGOMAN_ADMIN_KEY="wrong")
        elsewhere = await outcome("pool", "--url", upstream.base_url, DRAGOMAN_ADMIN_KEY=ADMIN)

    assert code == 1
    assert "another admin key" in err
    assert "wrong" not in err
    assert elsewhere[0] == 1
    assert "no gateway" in elsewhere[2]
