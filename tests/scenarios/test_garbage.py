"""What a request leaves behind: nothing that only the garbage collector could take away."""

import asyncio

import pytest

from tests.scenarios.harness import PATH, asking, no_lease_is_out, quick_gateway, raw_client
from tests.support import messages
from tests.support.garbage import garbage
from tests.support.gateway import RunningGateway, key
from tests.support.scripted import ScriptedUpstream, json_answer, stream_answer

MESSAGE = messages.message("Hello, world.")


async def _ask(running: RunningGateway, stream: bool) -> None:
    for _ in range(3):
        response = await running.http().post(PATH, json=asking(stream=stream))
        assert response.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_leaves_no_cycles(upstream: ScriptedUpstream, stream: bool) -> None:
    events = messages.text_stream("Hello, world.")
    upstream.always(stream_answer(*events) if stream else json_answer(200, MESSAGE))
    async with quick_gateway(key(upstream.base_url)) as running:
        await _ask(running, stream)
        with garbage() as found:
            await _ask(running, stream)

    assert found == []


async def test_neither_does_a_connection(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream("Hello, world.")))
    async with quick_gateway(key(upstream.base_url)) as running:
        with garbage() as found:
            for _ in range(3):
                async with raw_client(running) as client:
                    client.send(asking(stream=True))
                    await client.head()
                    await client.chunks()
            await no_lease_is_out(running)
            # The loop comes round to close what the clients have closed.
            for _ in range(10):
                await asyncio.sleep(0)

    assert found == []
