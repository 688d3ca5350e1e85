"""The client hangs up: upstream is hung up on at once, the lease comes back, and nobody is alarmed."""

import asyncio
from collections.abc import Callable

import pytest

from tests.scenarios.harness import (
    KEY_A,
    PATH,
    PATIENCE_SECONDS,
    asking,
    assert_whole,
    lively,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    raw_client,
    soon,
)
from tests.support import messages
from tests.support.gateway import RunningGateway, key
from tests.support.scripted import (
    Answer,
    Reached,
    ScriptedUpstream,
    Silence,
    Wait,
    error_answer,
    json_answer,
    stream_answer,
)

EVENTS = messages.text_stream()
ALARMS = ("error", "warning", "Traceback", "never retrieved", "ASGI callable")

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def assert_no_alarm(log: str) -> None:
    assert not [word for word in ALARMS if word in log], log


@both
async def test_leaving_before_the_answer_ends_the_upstream_request_at_once(
    upstream: ScriptedUpstream, read_log: Callable[[], str], stream: bool
) -> None:
    upstream.always(Answer((Silence(),)))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=stream))
        await upstream.wait_for_requests(1)
        busy = pool_of(running).in_flight
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert busy == 1
    assert len(upstream.received) == 1
    assert f"POST {PATH} 499" in read_log()
    assert_no_alarm(read_log())


@both
async def test_leaving_in_the_middle_of_the_body_ends_the_upstream_request_at_once(
    upstream: ScriptedUpstream, read_log: Callable[[], str], stream: bool
) -> None:
    reached = asyncio.Event()
    pieces = EVENTS[:3] if stream else [b'{"id":"msg_01",']
    upstream.always(stream_answer(*pieces, Reached(reached), Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=stream))
        await soon(reached)
        if stream:
            await client.head()
            assert b"Hello," in await client.chunk()
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert upstream.disconnects == 1
    assert len(upstream.received) == 1
    assert_no_alarm(read_log())


async def test_leaving_a_folded_answer_ends_the_upstream_request_at_once(upstream: ScriptedUpstream) -> None:
    reached = asyncio.Event()
    upstream.always(stream_answer(*EVENTS[:3], Reached(reached), Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(max_tokens=None))
        await soon(reached)
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert upstream.received[0].json["stream"] is True
    assert len(upstream.received) == 1


@both
async def test_leaving_between_two_attempts_makes_no_further_one(upstream: ScriptedUpstream, stream: bool) -> None:
    pausing = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        pausing.set()
        await asyncio.Event().wait()

    upstream.always(error_answer(529, "overloaded_error", "Busy"))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        running.time.sleep = sleep
        client.send(asking(stream=stream))
        await soon(pausing)
        client.leave()
        await no_lease_is_out(running)

    assert len(upstream.received) == 1


async def test_leaving_while_empty_chunks_keep_the_stream_alive(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    upstream.always(stream_answer(EVENTS[0], Silence()))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        assert all([b'"delta":{}' in await client.chunk() for _ in range(3)])
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert_no_alarm(read_log())


async def test_a_client_that_leaves_is_no_mark_against_the_key(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer((Silence(),)), json_answer(200, messages.message()))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        async with raw_client(running) as client:
            client.send(asking())
            await upstream.wait_for_requests(1)
            client.leave()
            await upstream.wait_for_disconnects(1)
        response = await running.http().post(PATH, json=asking())

    assert response.status_code == 200
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_A]


async def test_a_client_that_leaves_during_its_own_upload_is_no_failure(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        async with raw_client(running) as client:
            client.send({}, headers={"content-length": "1000", "expect": "100-continue"})
            await client.head()
            client.leave()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while f"POST {PATH} 499" not in read_log():  # noqa: ASYNC110 - the log has no event to wait for
                await asyncio.sleep(0)

    assert upstream.received == []
    assert_no_alarm(read_log())


@both
async def test_a_client_that_only_says_that_it_has_sent_all_gets_its_answer(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()
    whole = Answer((Reached(reached), Wait(gate), *json_answer(200, messages.message()).steps))
    upstream.always(stream_answer(*EVENTS[:3], Reached(reached), Wait(gate), *EVENTS[3:]) if stream else whole)
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=stream))
        client.end()
        await soon(reached)
        gate.set()
        answer = await client.ended()
        await no_lease_is_out(running)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"world." in answer
    assert answer.endswith(b"0\r\n\r\n" if stream else b"}")
    assert upstream.disconnects == 0


async def test_one_of_two_clients_leaves_and_the_other_gets_its_whole_answer(upstream: ScriptedUpstream) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()
    upstream.script(
        stream_answer(*EVENTS[:3], Silence()), stream_answer(*EVENTS[:3], Reached(reached), Wait(gate), *EVENTS[3:])
    )
    async with quick_gateway(key(upstream.base_url)) as running:
        async with raw_client(running) as leaving, raw_client(running) as staying:
            leaving.send(asking(stream=True))
            await leaving.head()
            await leaving.chunk()
            staying.send(asking(stream=True))
            await staying.head()
            await soon(reached)
            leaving.leave()
            await upstream.wait_for_disconnects(1)
            gate.set()
            body = b"".join(await staying.chunks()).decode()
        await no_lease_is_out(running)

    assert_whole(body)
    assert upstream.disconnects == 1


@both
async def test_a_hundred_clients_that_leave_give_back_a_hundred_leases(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()) if stream else Answer((Silence(),)))
    async with quick_gateway(key(upstream.base_url)) as running:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(_ask_and_leave(running, upstream, stream))
        await upstream.wait_for_disconnects(100)
        await no_lease_is_out(running)

    assert len(upstream.received) == 100
    # The one over which the list of models was fetched is kept.
    assert upstream.open_connections <= 1


async def _ask_and_leave(running: RunningGateway, upstream: ScriptedUpstream, stream: bool) -> None:
    async with raw_client(running) as client:
        client.send(asking(stream=stream))
        await upstream.wait_for_requests(100)
        if stream:
            await client.head()
            await client.chunk()
        client.leave()
