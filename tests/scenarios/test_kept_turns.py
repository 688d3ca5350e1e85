"""An answer is kept before its caller can come back with it, and whatever the store does, the caller has its answer."""

import asyncio
from typing import Any

import pytest

from tests.scenarios.harness import (
    PATH,
    asking,
    data_of,
    finish_reasons,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    services_of,
    soon,
    until,
)
from tests.support import messages
from tests.support.conversations import called, returned, said, tool
from tests.support.gateway import RunningGateway, key
from tests.support.keeping import DictStore
from tests.support.scripted import ScriptedUpstream, stream_answer

# An answer that is not held back takes fewer turns of the loop to arrive.
_ENOUGH_TURNS = 500


class SlowStore(DictStore):
    """Keeps nothing before the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.allowed = asyncio.Event()
        self.waiting = 0

    async def put(self, key: bytes, value: bytes) -> bool:
        self.waiting += 1
        self.asked.set()
        await self.allowed.wait()
        return await super().put(key, value)


def answer(number: int = 1) -> Any:
    """A thought and a call."""
    events = messages.message_events(
        messages.thinking_block(signature=f"Eq{number}"),
        messages.tool_block(f"toolu_{number}", "look", "{}"),
        stop_reason="tool_use",
    )
    return stream_answer(messages.sse(*events))


def with_store(running: RunningGateway, store: DictStore) -> None:
    services_of(running).kept_turns.store = store


def request(**more: Any) -> dict[str, Any]:
    return asking(tools=[tool("look")], **{"max_tokens": 64_000, **more})


@pytest.mark.parametrize("choices", [1, 2])
@pytest.mark.parametrize("stream", [True, False])
async def test_nobody_sees_the_end_of_an_answer_that_is_not_kept_yet(
    upstream: ScriptedUpstream, stream: bool, choices: int
) -> None:
    upstream.script(*(answer(number) for number in range(choices)))
    store = SlowStore()
    async with quick_gateway(key(upstream.base_url)) as running:
        with_store(running, store)
        asked = asyncio.create_task(running.http().post(PATH, json=request(stream=stream, n=choices)))
        # Each is kept with what leads to it by its place, which is the same for all choices.
        await until(lambda: store.waiting == 2 * choices)
        for _ in range(_ENOUGH_TURNS):
            await asyncio.sleep(0)
        is_answered = asked.done()
        store.allowed.set()
        response = await asked
        await no_lease_is_out(running)

    assert not is_answered
    assert len(store.values) == choices + 1
    if stream:
        assert finish_reasons(data_of(response.text)) == ["tool_calls"] * choices
    else:
        assert len(response.json()["choices"]) == choices


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_while_its_turn_is_kept_leaves_nothing_behind(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(answer())
    store = SlowStore()
    async with quick_gateway(key(upstream.base_url)) as running:
        with_store(running, store)
        async with raw_client(running) as client:
            client.send(request(stream=stream))
            await soon(store.asked)
            client.leave()
            await no_lease_is_out(running)
        store.allowed.set()
        response = await running.http().post(PATH, json=request(stream=stream))
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert len(store.values) == 2


async def test_choices_have_their_thinking_back_whichever_is_taken(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        with_store(running, DictStore())
        upstream.script(answer(1), answer(2))
        body = request(n=2)
        first = (await running.http().post(PATH, json=body)).json()
        sent = []
        for choice in first["choices"]:
            upstream.script(stream_answer(messages.sse(*messages.message_events(messages.text_block("So.")))))
            call_id = choice["message"]["tool_calls"][0]["id"]
            history = [*body["messages"], called((call_id, "look", "{}")), returned(call_id)]
            await running.http().post(PATH, json=request(messages=history))
            sent.append((call_id, upstream.received[-1].json["messages"][1]["content"][0]["signature"]))

    assert sorted(sent) == [("toolu_1", "Eq1"), ("toolu_2", "Eq2")]


async def test_a_stored_value_that_cannot_be_read_is_ignored(upstream: ScriptedUpstream) -> None:
    upstream.script(answer())
    store = DictStore()
    async with quick_gateway(key(upstream.base_url)) as running:
        with_store(running, store)
        await running.http().post(PATH, json=request())
        for garbage in (
            b"",
            b"\x95\x01",
            bytes(10_000),
            b"\x95\x01\xc4\x00\xc4\x00\x92\xa0\xc4\x00\x91\x92\xa4text\xc4\x00",
        ):
            store.values[next(iter(store.values))] = garbage
            upstream.script(stream_answer(messages.sse(*messages.message_events(messages.text_block("So.")))))
            history = [said("user", "Hi"), called(("toolu_1", "look", "{}")), returned("toolu_1")]
            response = await running.http().post(PATH, json=request(messages=history))
            turn = upstream.received[-1].json["messages"][1]["content"]

            assert response.status_code == 200
            assert [block["type"] for block in turn] == ["tool_use"]
