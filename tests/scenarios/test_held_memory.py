"""What an open stream holds: nothing of the request, once there is no use for it."""

import asyncio
import gc

import pytest

from tests.scenarios.harness import PATH, PATIENCE_SECONDS, asking, quick_gateway, raw_client, soon
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import Reached, ScriptedUpstream, Wait, stream_answer
from translators.chat.request import MessagesRequest, Options, Target, read_request, write_request
from translators.models import model_table
from translators.native.request import NativeRequest
from translators.wire.chat import ChatRequest

ROW = model_table().rows[0]
EVENTS = messages.text_stream(pieces=["one ", "two ", "three"])


def held() -> list[object]:
    """The requests that somebody still holds, as they were read or written."""
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, ChatRequest | MessagesRequest | NativeRequest)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, asking(stream=True)),
        (PATH, asking(stream=True, n=2)),
        (NATIVE_PATH, asking_natively(stream=True)),
    ],
    ids=["chat", "two choices", "native"],
)
async def test_a_stream_that_has_begun_does_not_hold_its_request(
    upstream: ScriptedUpstream, path: str, body: dict[str, object]
) -> None:
    gate, halfway = asyncio.Event(), asyncio.Event()
    upstream.always(stream_answer(*EVENTS[:4], Reached(halfway), Wait(gate), *EVENTS[4:]))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        before = len(held())
        client.send(body, path=path)
        await soon(halfway)
        await client.head()
        first = await client.chunk()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # There is no event to wait for: the last to let go is a callback's frame.
            while len(held()) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        gate.set()
        rest = await client.chunks()

    assert b"three" not in first
    assert b"three" in b"".join(rest)


def test_requests_are_found_where_they_are_held() -> None:
    before = len(held())
    read = read_request(b'{"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}')
    written = write_request(read, Target(ROW.id, ROW), Options())
    native = NativeRequest(b"{}", betas=("a",))

    assert len(held()) == before + 3, (read, written, native)
