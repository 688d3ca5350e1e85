"""A client that does not read: upstream is not read either, and nothing piles up in between."""

import asyncio
import contextlib

from tests.scenarios.harness import (
    asking,
    content_of,
    data_of,
    finish_reasons,
    lively,
    no_lease_is_out,
    quick_gateway,
    raw_client,
)
from tests.support import messages
from tests.support.gateway import RunningGateway, ServerConfig, config_for, key, with_settings
from tests.support.scripted import Connection, ScriptedUpstream, Step, stream_answer

PIECES = 300
PIECE = "x" * (128 * 1024)


class Count:
    """A step that counts how far the answer has come; `moved` is set each time."""

    def __init__(self) -> None:
        self.count = 0
        self.moved = asyncio.Event()

    async def play(self, connection: Connection) -> None:
        self.count += 1
        self.moved.set()

    async def until_it_stands_still(self) -> int:
        """How far it has come when nothing has moved for a while."""
        while True:
            self.moved.clear()
            try:
                async with asyncio.timeout(0.3):
                    await self.moved.wait()
            except TimeoutError:
                return self.count


def _endless(delta: bytes, count: Count) -> list[bytes | Step]:
    return [delta, count] * 4000


def waiting_bytes(running: RunningGateway) -> int:
    """What the gateway holds for clients that do not read."""
    return sum(connection.transport.get_write_buffer_size() for connection in running.server.server_state.connections)


async def test_upstream_is_read_only_as_fast_as_the_client_reads(upstream: ScriptedUpstream) -> None:
    count = Count()
    start, block_start, delta, *_ = messages.text_stream(pieces=[PIECE])
    # Far more than the kernel's buffers take, which on some machines is 32 MB a connection.
    upstream.script(stream_answer(start, block_start, *_endless(delta, count)))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        await count.until_it_stands_still()
        held = waiting_bytes(running)
        # A little is read, and it stands still again.
        await client.chunk()
        sent_bytes = await count.until_it_stands_still() * len(PIECE)
        held_later = waiting_bytes(running)

    assert max(held, held_later) < 2**20
    assert sent_bytes < 128 * 2**20


async def test_a_client_that_reads_late_gets_everything(upstream: ScriptedUpstream) -> None:
    count = Count()
    start, block_start, *deltas = messages.text_stream(pieces=[PIECE] * PIECES)
    upstream.script(stream_answer(start, block_start, *(step for delta in deltas for step in (delta, count))))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        await count.until_it_stands_still()
        events = data_of(b"".join(await client.chunks()).decode())
        await no_lease_is_out(running)

    assert upstream.disconnects == 0
    assert finish_reasons(events) == ["stop"]
    assert events[-1] == "[DONE]"
    assert len(content_of(events)) == PIECES * len(PIECE)


async def test_a_client_that_leaves_without_ever_reading_frees_everything(upstream: ScriptedUpstream) -> None:
    count = Count()
    start, block_start, delta, *_ = messages.text_stream(pieces=[PIECE])
    upstream.script(stream_answer(start, block_start, *_endless(delta, count)))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        await count.until_it_stands_still()
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert count.count < 4000


async def test_clients_that_never_read_are_cut_off_and_free_everything(upstream: ScriptedUpstream) -> None:
    start, block_start, delta, *_ = messages.text_stream(pieces=[PIECE])
    upstream.always(stream_answer(start, block_start, *_endless(delta, Count())))
    config = with_settings(config_for(key(upstream.base_url)), server=ServerConfig(port=0, client_write_seconds=0.2))
    async with quick_gateway(config=config) as running, contextlib.AsyncExitStack() as clients:
        for _ in range(10):
            client = await clients.enter_async_context(raw_client(running))
            client.send(asking(stream=True))
            await client.head()
        await upstream.wait_for_disconnects(10)
        await no_lease_is_out(running)
        assert running.server.server_state.connections == set()
        assert running.server.limits.connections == 0


async def test_a_slow_client_does_not_hold_up_another(upstream: ScriptedUpstream) -> None:
    start, block_start, *deltas = messages.text_stream(pieces=[PIECE] * PIECES)
    count = Count()
    upstream.script(
        stream_answer(start, block_start, *(step for delta in deltas for step in (delta, count))),
        stream_answer(*messages.text_stream()),
    )
    async with (
        quick_gateway(key(upstream.base_url)) as running,
        raw_client(running) as slow,
        raw_client(running) as quick,
    ):
        slow.send(asking(stream=True))
        await slow.head()
        await count.until_it_stands_still()
        quick.send(asking(stream=True))
        await quick.head()
        chunks = await quick.chunks()

    assert content_of(data_of(b"".join(chunks).decode())) == "Hello, world."


async def test_no_empty_chunk_is_written_to_a_client_that_does_not_read(upstream: ScriptedUpstream) -> None:
    count = Count()
    start, block_start, *deltas = messages.text_stream(pieces=[PIECE] * PIECES)
    upstream.script(stream_answer(start, block_start, *(step for delta in deltas for step in (delta, count))))
    config = lively(key(upstream.base_url), keepalive_seconds=0.05)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        # Many intervals pass meanwhile.
        await count.until_it_stands_still()
        body = b"".join(await client.chunks())

    # One may have slipped in before the buffers were full, none for each interval.
    assert body.count(b'"delta":{},"logprobs":null,"finish_reason":null') <= 1
    assert content_of(data_of(body.decode())) == PIECE * PIECES
