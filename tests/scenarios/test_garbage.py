"""What a request leaves behind: nothing that only the garbage collector could take away."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.scenarios.harness import PATH, asking, quick_gateway
from tests.support import messages
from tests.support.gateway import RunningGateway, key
from tests.support.scripted import ScriptedUpstream, json_answer, stream_answer

OURS = ("gateway.", "translators.", "uvicorn.")
MESSAGE = messages.message("Hello, world.")


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """What the collector finds unreachable at the end of the block, of our own types and the server's."""
    gc.collect()
    gc.disable()
    found: list[Any] = []
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [thing for thing in gc.garbage if type(thing).__module__.startswith(OURS)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


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
