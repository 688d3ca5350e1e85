"""What an open stream holds: nothing of the request, once there is no use for it."""

import asyncio
import gc

import pytest

from gateway.accounts.rules.definition import Definition
from tests.scenarios.harness import PATH, PATIENCE_SECONDS, asking, quick_gateway, raw_client, soon
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import config_for, key, with_settings
from tests.support.intents import read_intent
from tests.support.scripted import (
    Answer,
    Close,
    Reached,
    Reset,
    ScriptedUpstream,
    Silence,
    Wait,
    error_answer,
    json_answer,
    stream_answer,
)
from translators.intent import Intent
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table
from translators.native.request import NativeRequest
from translators.wire.chat import ChatRequest

RESPONSES_PATH = "/v1/responses"
ROW = model_table().rows[0]
REQUESTS = ChatRequest | Intent | MessagesRequest | NativeRequest
EVENTS = messages.text_stream(pieces=["one ", "two ", "three"])


FAILURES = {
    "a mistake": error_answer(400, "invalid_request_error", "messages: No."),
    "too large": json_answer(413, b"<html>"),
    "an overload": error_answer(529, "overloaded_error", "Overloaded"),
    "a refused key": error_answer(401, "authentication_error", "invalid x-api-key"),
    "a reset": Answer((Reset(),)),
    "a cut stream": stream_answer(*EVENTS[:4], Close()),
}


def held(*, collect: bool = True) -> list[object]:
    """The requests that somebody still holds, as they were read or written."""
    if collect:
        gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, REQUESTS)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, asking(stream=True)),
        (PATH, asking(stream=True, n=2)),
        (NATIVE_PATH, asking_natively(stream=True)),
        (RESPONSES_PATH, {"model": "gpt-5", "input": "Hi", "stream": True}),
    ],
    ids=["chat", "two choices", "native", "responses"],
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


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
async def test_a_request_that_has_failed_is_held_by_nobody_even_before_the_collectors_turn(
    upstream: ScriptedUpstream, path: str, stream: bool, answer: Answer
) -> None:
    upstream.always(answer)
    body = asking(stream=stream) if path == PATH else asking_natively(stream=stream)
    async with quick_gateway(key(upstream.base_url)) as running:
        before = len(held())
        gc.disable()
        try:
            response = await running.http().post(path, json=body)
            async with asyncio.timeout(PATIENCE_SECONDS):
                # As above.
                while len(held(collect=False)) > before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()

    assert response.status_code >= 400 or "error" in response.text


@pytest.mark.parametrize(
    ("path", "body"),
    [(PATH, asking()), (PATH, asking(n=2)), (NATIVE_PATH, asking_natively())],
    ids=["chat", "two choices", "native"],
)
async def test_a_request_whose_client_has_left_is_held_by_nobody_even_before_the_collectors_turn(
    upstream: ScriptedUpstream, path: str, body: dict[str, object]
) -> None:
    upstream.always(Answer((Silence(),)))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        before = len(held())
        gc.disable()
        try:
            client.send(body, path=path)
            await upstream.wait_for_requests(1)
            client.leave()
            async with asyncio.timeout(PATIENCE_SECONDS):
                # As above.
                while len(held(collect=False)) > before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


@pytest.mark.parametrize(("amount", "status"), [(5, 200), (0, 429)], ids=["served", "refused"])
@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
async def test_a_request_under_rules_is_held_by_nobody_after_its_end_even_before_the_collectors_turn(
    upstream: ScriptedUpstream, path: str, amount: int, status: int
) -> None:
    upstream.always(json_answer(200, messages.message()))
    body = asking() if path == PATH else asking_natively()
    rules = (Definition(id="r", what="requests", amount=amount, window="day"),)
    async with quick_gateway(config=with_settings(config_for(key(upstream.base_url)), rules=rules)) as running:
        before = len(held())
        gc.disable()
        try:
            response = await running.http().post(path, json=body)
            async with asyncio.timeout(PATIENCE_SECONDS):
                # As above.
                while len(held(collect=False)) > before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()

    assert response.status_code == status


def test_requests_are_found_where_they_are_held() -> None:
    before = len(held())
    read = read_intent(b'{"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}')
    written = write_request(read, Target(ROW.id, ROW), Options())
    native = NativeRequest(b"{}", betas=("a",))

    assert len(held()) == before + 3, (read, written, native)
