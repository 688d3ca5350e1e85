"""Clients that never read: they keep no lease once upstream has said everything, and none beyond `total_seconds`."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from gateway.config import UpstreamConfig
from tests.scenarios.harness import (
    PATH,
    PATIENCE_SECONDS,
    RawClient,
    asking,
    data_of,
    finish_reasons,
    hasty,
    pool_of,
    quick_gateway,
    until,
)
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import Config, RunningGateway, config_for, key, with_settings
from tests.support.scripted import Connection, ScriptedUpstream, Send, Silence, Step, stream_answer

_ROOM = 32 * 1024
PIECE = "x" * (16 * 1024)
START, BLOCK, DELTA, *END = messages.text_stream(pieces=[PIECE])
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (PATH, asking(stream=True)),
    "choices": (PATH, asking(stream=True, n=3)),
    "native": (NATIVE_PATH, asking_natively(stream=True)),
}

everywhere = pytest.mark.parametrize("face", ASKED)
with_both = pytest.mark.parametrize("client", ["direct", "httpx2"])


def through(config: Config, client: Literal["direct", "httpx2"]) -> Config:
    return with_settings(config, upstream=UpstreamConfig(client=client))


@asynccontextmanager
async def small_client(running: RunningGateway) -> AsyncIterator[RawClient]:
    """A client between which and the gateway there is room for little."""
    host, port = running.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=_ROOM)
    connections = running.server.server_state.connections
    await until(lambda: bool(connections))
    for served in connections:
        served.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


def is_full(running: RunningGateway) -> bool:
    """Whether the gateway waits for a client."""
    return any(getattr(connection, "is_full", False) for connection in running.server.server_state.connections)


@dataclass
class UntilFull:
    """Deltas, one after another, until the client takes no more; counts them."""

    running: RunningGateway | None = None
    sent: int = 0
    has_ended: bool = False

    async def play(self, connection: Connection) -> None:
        assert self.running is not None
        while not is_full(self.running):
            self.sent += 1
            await Send(b"%x\r\n%b\r\n" % (len(DELTA), DELTA)).play(connection)
            # The gateway reads it in its own turns.
            for _ in range(20):
                await asyncio.sleep(0)
        self.has_ended = True


async def every_lease_is_back(running: RunningGateway) -> None:
    """Until every lease has come back, whatever the clients do."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while pool_of(running).in_flight:  # noqa: ASYNC110 - nobody tells the test
            await asyncio.sleep(0.001)


async def all_of(client: RawClient) -> bytes:
    await client.head()
    return b"".join(await client.chunks())


@everywhere
async def test_an_answer_that_has_ended_frees_its_lease_and_its_connection_though_nobody_reads(
    upstream: ScriptedUpstream, face: str
) -> None:
    path, body = ASKED[face]
    count = body.get("n", 1)
    fills = [UntilFull() for _ in range(count)]
    upstream.script(*[stream_answer(START, BLOCK, fill, *END) for fill in fills])
    async with quick_gateway(key(upstream.base_url)) as running, small_client(running) as client:
        for fill in fills:
            fill.running = running
        client.send(body, path=path)
        await upstream.wait_for_requests(count)
        await every_lease_is_back(running)
        was_full = is_full(running)
        # What the connections are there for: the next ones to ask.
        accepted = upstream.connections_accepted
        upstream.always(stream_answer(*messages.text_stream()))
        other = await running.http().post(PATH, json=asking(stream=True))
        text = (await all_of(client)).decode()

    assert was_full
    assert other.status_code == 200
    assert upstream.connections_accepted == accepted
    assert upstream.disconnects == 0
    assert text.count("x" * 100) >= 1
    assert text.count("x") >= sum(fill.sent for fill in fills) * len(PIECE)
    if path == PATH:
        assert finish_reasons(data_of(text)) == ["stop"] * count
        assert text.endswith("data: [DONE]\n\n")
    else:
        assert text.endswith(END[-1].decode())


async def test_what_was_used_is_counted_once_though_nobody_reads(upstream: ScriptedUpstream) -> None:
    fill = UntilFull()
    upstream.script(stream_answer(START, BLOCK, fill, *END))
    async with quick_gateway(key(upstream.base_url)) as running, small_client(running) as client:
        fill.running = running
        client.send(asking(stream=True))
        await upstream.wait_for_requests(1)
        await every_lease_is_back(running)
        await all_of(client)
        await until(lambda: not len(running.gateway.interrupts))
        (counted,) = running.gateway._totals.clients()

    assert (counted.requests, counted.completion_tokens) == (1, messages.USAGE["output_tokens"])


@with_both
@everywhere
async def test_no_lease_outlives_the_limit_for_the_whole_answer_and_nobody_upstream_is_blamed(
    upstream: ScriptedUpstream, face: str, client: Literal["direct", "httpx2"]
) -> None:
    path, body = ASKED[face]
    count = body.get("n", 1)
    endless: list[bytes | Step] = [DELTA] * 400
    upstream.script(*[stream_answer(START, BLOCK, *endless, Silence()) for _ in range(count)])
    config = through(hasty(key(upstream.base_url), total_seconds=0.5), client)
    async with quick_gateway(config=config) as running, small_client(running) as unread:
        unread.send(body, path=path)
        await upstream.wait_for_requests(count)
        await every_lease_is_back(running)
        was_full = is_full(running)
        (state,) = pool_of(running).states
        host = state.host
        text = (await all_of(unread)).decode()

    assert was_full
    assert host.breaker.suspect_until == 0.0
    assert state.last_error in ("", "too_slow")
    assert "The answer was not read in time." in text


@with_both
async def test_a_client_that_reads_again_in_time_gets_everything(
    upstream: ScriptedUpstream, client: Literal["direct", "httpx2"]
) -> None:
    fill = UntilFull()
    upstream.script(stream_answer(START, BLOCK, fill, *[DELTA] * 50, *END))
    config = through(config_for(key(upstream.base_url)), client)
    async with quick_gateway(config=config) as running, small_client(running) as late:
        fill.running = running
        late.send(asking(stream=True))
        await until(lambda: fill.has_ended)
        text = (await all_of(late)).decode()
        await every_lease_is_back(running)

    assert finish_reasons(data_of(text)) == ["stop"]
    assert text.count("x") >= (fill.sent + 50) * len(PIECE)


async def test_upstreams_silence_counts_while_the_client_does_not_read(upstream: ScriptedUpstream) -> None:
    fill = UntilFull()
    upstream.script(stream_answer(START, BLOCK, fill, Silence()))
    config = hasty(key(upstream.base_url), idle_seconds=0.3)
    async with quick_gateway(config=config) as running, small_client(running) as client:
        fill.running = running
        client.send(asking(stream=True))
        await upstream.wait_for_requests(1)
        await every_lease_is_back(running)
        text = (await all_of(client)).decode()

    assert "Upstream did not answer in time." in text
