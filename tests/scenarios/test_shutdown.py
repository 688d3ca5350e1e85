"""Ctrl-C in the middle of streams: those that end within the grace are whole, the others are told why they are not."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from tests.scenarios.harness import (
    PATH,
    RawClient,
    asking,
    assert_broken,
    assert_error,
    assert_whole,
    pool_of,
    raw_client,
)
from tests.support import messages
from tests.support.commands import PATIENCE_SECONDS, environ
from tests.support.gateway import Config, ServerConfig, config_for, key, running_gateway, with_settings
from tests.support.scripted import Answer, ScriptedUpstream, Silence, Wait, json_answer, stream_answer

EVENTS = messages.text_stream()
LOOPS = """
import asyncio
from gateway.process import serving
from gateway.app import Gateway
from gateway.config import Config
from gateway.telemetry.logs import set_up_logging

def loop():
    print("looping", flush=True)
    while True:
        pass

serving._STUCK_SECONDS = 0.1
set_up_logging("info", "text")
gateway = Gateway(Config(), callers_base_url="http://127.0.0.1:9")
on_ready = lambda: asyncio.get_running_loop().call_later(0, loop)
serving.run(serving.serve(gateway, serving.listen("127.0.0.1", 0), on_ready))
"""


def graceful(upstream: ScriptedUpstream, seconds: float) -> Config:
    return with_settings(
        config_for(key(upstream.base_url)), server=ServerConfig(port=0, shutdown_grace_seconds=seconds)
    )


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace nobody is cut off who only has a slow machine."""
    monkeypatch.setattr("gateway.process.serving._FAREWELL_SECONDS", 60)


async def refused(url: str) -> bool:
    """Whether nobody listens any more, waiting for that as long as the server needs to notice."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(25):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                return True
            except ConnectionResetError:
                continue
            writer.transport.abort()
            await asyncio.sleep(0)


async def begin(client: RawClient) -> bytes:
    """Ask for a stream, and read until its first words are there: a short grace may end before they come."""
    client.send(asking(stream=True))
    await client.head()
    said = b""
    while b"Hello," not in said:
        said += await client.chunk()
    return said


async def test_a_stream_that_ends_within_the_grace_is_whole(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(*EVENTS[:3], Wait(gate), *EVENTS[3:]))
    async with running_gateway(config=graceful(upstream, 60)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        first = await client.chunk()
        running.begin_shutdown()
        no_more = await refused(running.url)
        gate.set()
        rest = await client.chunks()
        await client.ended()
        async with asyncio.timeout(25):
            await asyncio.shield(running.serving)

    assert no_more
    assert_whole(b"".join([first, *rest]).decode())
    assert pool_of(running).in_flight == 0
    assert "error" not in read_log()


async def test_an_answer_in_one_piece_that_ends_within_the_grace_is_given(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *json_answer(200, messages.message()).steps)))
    async with running_gateway(config=graceful(upstream, 60)) as running:
        asked = asyncio.create_task(running.http().post(PATH, json=asking()))
        await upstream.wait_for_requests(1)
        running.begin_shutdown()
        await refused(running.url)
        gate.set()
        response = await asked

    assert response.json()["choices"][0]["message"]["content"] == "Hello, world."


async def test_a_stream_that_outlives_the_grace_ends_with_one_error_that_says_why(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS[:3], Silence()))
    async with running_gateway(config=graceful(upstream, 0.05)) as running, raw_client(running) as client:
        first = await begin(client)
        running.begin_shutdown()
        rest = await client.chunks()
        await client.ended()
        await upstream.wait_for_disconnects(1)
        async with asyncio.timeout(25):
            await asyncio.shield(running.serving)

    error = assert_broken(b"".join([first, *rest]).decode(), code="gateway_shutting_down")
    assert error["type"] == "service_unavailable_error"
    assert pool_of(running).in_flight == 0


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_request_without_an_answer_at_the_end_of_the_grace_is_503(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.script(Answer((Silence(),)))
    async with running_gateway(config=graceful(upstream, 0.05)) as running:
        asked = asyncio.create_task(running.http().post(PATH, json=asking(stream=stream)))
        await upstream.wait_for_requests(1)
        running.begin_shutdown()
        response = await asked
        await upstream.wait_for_disconnects(1)

    assert_error(response, 503, "service_unavailable_error", "gateway_shutting_down")
    assert len(upstream.received) == 1


async def test_many_streams_are_all_told(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    async with running_gateway(config=graceful(upstream, 0.05)) as running, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw_client(running)) for _ in range(50)]
        begun = await asyncio.gather(*(begin(client) for client in clients))
        running.begin_shutdown()
        rest = await asyncio.gather(*(client.chunks() for client in clients))
        await upstream.wait_for_disconnects(50)

    for first, others in zip(begun, rest, strict=True):
        assert_broken(b"".join([first, *others]).decode(), code="gateway_shutting_down")


async def test_an_idle_connection_does_not_hold_up_the_end(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS))
    async with running_gateway(config=graceful(upstream, 30)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        await client.chunks()
        running.begin_shutdown()
        rest = await client.ended()
        async with asyncio.timeout(25):
            await asyncio.shield(running.serving)

    assert rest == b""


async def test_a_client_that_does_not_read_does_not_hold_up_the_end_for_ever(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.process.serving._FAREWELL_SECONDS", 0)
    start, block, *rest = messages.text_stream(pieces=["x" * 2**17] * 300)
    upstream.script(stream_answer(start, block, *rest))
    async with running_gateway(config=graceful(upstream, 0.05)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        running.begin_shutdown()
        async with asyncio.timeout(60):
            await asyncio.shield(running.serving)

    assert pool_of(running).in_flight == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_a_process_whose_event_loop_is_stuck(number: int) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LOOPS, stdout=pipe, stderr=pipe, env=environ())
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        await process.stdout.readline()
        ending = asyncio.create_task(process.communicate())
        while not ending.done():
            process.send_signal(number)
            await asyncio.wait({ending}, timeout=0.1)
        _, said = await ending

    assert process.returncode == 1
    assert "error   The event loop is stuck" in said.decode()
    assert "<string>:1" in said.decode()
