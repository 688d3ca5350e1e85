"""However the network cuts upstream's bytes, the client gets the same ones; and what came at once leaves at once."""

import asyncio

import pytest

from tests.scenarios.harness import (
    PATH,
    asking,
    content_of,
    cut,
    data_of,
    no_lease_is_out,
    quick_gateway,
    raw_client,
)
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import Answer, Framing, ScriptedUpstream, Send, Wait, json_answer, stream_answer

WORDS = ["Zürich ", "— 東京 ", "🦆🏳️‍🌈", ' "quoted" \\ \n', "end"]
EVENTS = messages.message_events(
    messages.thinking_block("Let me think… 🤔"),
    messages.text_block(pieces=WORDS),
    messages.tool_block("toolu_1", "look_up", '{"city": "Zürich 🦆", "n": 12345678901234567890}'),
    stop_reason="tool_use",
)
STREAM = messages.encode(EVENTS)
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


def request() -> dict[str, object]:
    return asking(stream=True, tools=[TOOL], reasoning_effort="high", stream_options={"include_usage": True})


def without_time(body: bytes) -> list[object]:
    """The events of a body without the second at which they were made."""
    return [
        {name: value for name, value in event.items() if name != "created"} if isinstance(event, dict) else event
        for event in data_of(body.decode())
    ]


async def answered(upstream: ScriptedUpstream, *answers: Answer) -> list[bytes]:
    """What a client gets for each of these."""
    upstream.script(*answers)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        responses = [await http.post(PATH, json=request()) for _ in answers]
        await no_lease_is_out(running)
    return [response.content for response in responses]


async def test_one_byte_a_packet_gives_the_same_answer_as_all_at_once(upstream: ScriptedUpstream) -> None:
    whole, single = await answered(upstream, stream_answer(STREAM), stream_answer(STREAM, packet_size=1))

    assert without_time(single) == without_time(whole)
    assert content_of(data_of(whole.decode())) == "".join(WORDS)
    assert "[DONE]" in data_of(whole.decode())


async def test_a_chunk_for_each_byte_gives_the_same_answer_too(upstream: ScriptedUpstream) -> None:
    whole, single = await answered(upstream, stream_answer(STREAM), stream_answer(*cut(STREAM, 1)))

    assert without_time(single) == without_time(whole)


@pytest.mark.parametrize("character", ["ü", "東", "🦆", "…"])
async def test_a_cut_in_the_middle_of_a_character_changes_nothing(upstream: ScriptedUpstream, character: str) -> None:
    place = STREAM.index(character.encode())
    encoded = [bytes([byte]) for byte in character.encode()]
    pieces = [STREAM[:place], *encoded, STREAM[place + len(encoded) :]]

    whole, torn = await answered(upstream, stream_answer(STREAM), stream_answer(*pieces))

    assert without_time(torn) == without_time(whole)
    assert character in torn.decode()


@pytest.mark.parametrize("framing", ["chunked", "content-length", "close"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
async def test_framing_and_line_ends_do_not_matter(
    upstream: ScriptedUpstream, framing: Framing, newline: bytes
) -> None:
    expected, other = await answered(
        upstream,
        stream_answer(STREAM),
        stream_answer(*cut(messages.encode(EVENTS, newline), 7), framing=framing),
    )

    assert without_time(other) == without_time(expected)


async def test_an_unstreamed_answer_may_come_byte_by_byte(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message("Zürich 🦆")).in_packets(1))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking())

    assert response.json()["choices"][0]["message"]["content"] == "Zürich 🦆"


async def test_all_the_events_of_one_read_leave_in_one_write(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    events = messages.text_stream(pieces=["one ", "two ", "three ", "four"])
    upstream.script(stream_answer(b"".join(events[:4]), Wait(gate), b"".join(events[4:])))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        first = await client.chunk()
        gate.set()
        rest = await client.chunks()

    assert content_of(data_of(first.decode())) == "one two "
    assert len(rest) == 1
    assert content_of(data_of(rest[0].decode())) == "three four"
    assert rest[0].endswith(b"data: [DONE]\n\n")


async def test_so_do_those_that_upstream_framed_one_by_one(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    events = messages.text_stream(pieces=["one ", "two ", "three ", "four", " five"])
    head, *frames = stream_answer(*events).steps
    packet = b"".join(frame.data for frame in frames[4:6] if isinstance(frame, Send))
    upstream.script(Answer((head, *frames[:4], Wait(gate), Send(packet), *frames[6:])))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        said = content_of(data_of((await client.chunk()).decode()))
        while said != "one two ":
            said += content_of(data_of((await client.chunk()).decode()))
        gate.set()
        together = await client.chunk()
        await client.chunks()

    assert content_of(data_of(together.decode())) == "three four"


async def test_each_event_leaves_without_waiting_for_the_next(upstream: ScriptedUpstream) -> None:
    gates = [asyncio.Event() for _ in range(4)]
    events = messages.text_stream(pieces=["one ", "two ", "three ", "four"])
    steps = [step for event, gate in zip(events[2:6], gates, strict=True) for step in (event, Wait(gate))]
    upstream.script(stream_answer(*events[:2], *steps, *events[6:]))
    said = []
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        for gate in gates:
            said.append(content_of(data_of((await client.chunk()).decode())))
            gate.set()
        await client.chunks()

    assert said == ["one ", "two ", "three ", "four"]


async def test_the_connection_serves_the_next_request(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(STREAM))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        bodies = []
        for _ in range(3):
            client.send(request())
            await client.head()
            bodies.append(without_time(b"".join(await client.chunks())))

    assert bodies[0] == bodies[1] == bodies[2]
    # Three answers and the list of models need no more than two connections.
    assert upstream.connections_accepted <= 2
