"""What the openai SDK, unmodified and strict, makes of the writer's bytes over a real socket."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.support.messages import Block, encode, error_event, message_events, text_block, thinking_block, tool_block
from tests.support.responses_door import frame, streamed, unstreamed
from tests.support.scripted import ScriptedUpstream, json_answer, scripted_upstream, stream_answer
from translators.responses.answer import read_response
from translators.responses.events import failure_events
from translators.responses.stream import ResponsesStream

LOOP = (
    thinking_block("Which city?"),
    text_block("I'll look it up."),
    tool_block("toolu_1", "get_weather", '{"city": "Paris"}'),
)


class Weather(BaseModel):
    city: str
    degrees: int


@pytest.fixture
async def server() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server


@pytest.fixture
async def client(server: ScriptedUpstream) -> AsyncIterator[AsyncOpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="any", **options) as client:
        yield client


def said(*blocks: Block, stop_reason: str = "end_turn") -> bytes:
    return encode(message_events(*blocks, stop_reason=stop_reason))


async def test_a_stream_is_assembled_as_it_is_written(server: ScriptedUpstream, client: AsyncOpenAI) -> None:
    output, _ = streamed([said(*LOOP, stop_reason="tool_use")])
    server.script(stream_answer(output))
    async with client.responses.stream(model="m", input="Hi") as stream:
        kinds = [event.type async for event in stream]
        response = await stream.get_final_response()

    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert response.output_text == "I'll look it up."
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]


async def test_raw_events_pass_the_strict_types(server: ScriptedUpstream, client: AsyncOpenAI) -> None:
    output, _ = streamed([said(*LOOP, stop_reason="tool_use")])
    server.script(stream_answer(output))
    events = [event async for event in await client.responses.create(model="m", input="Hi", stream=True)]

    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_structured_output_is_parsed_where_the_answer_is(server: ScriptedUpstream, client: AsyncOpenAI) -> None:
    answer = text_block('{"city": "Paris", "degrees": 20}')
    body = said(text_block("Let me think."), thinking_block(), answer)
    message = unstreamed(body)
    assert message is not None
    server.script(
        json_answer(200, read_response(message, frame()).response()), stream_answer(streamed([said(answer)])[0])
    )
    whole = await client.responses.parse(model="m", input="Hi", text_format=Weather)
    async with client.responses.stream(model="m", input="Hi", text_format=Weather) as stream:
        final = await stream.get_final_response()

    assert whole.output_parsed == Weather(city="Paris", degrees=20)
    assert final.output_parsed == Weather(city="Paris", degrees=20)


async def test_a_failure_in_the_stream_is_raised_with_its_code(server: ScriptedUpstream, client: AsyncOpenAI) -> None:
    shared = frame()
    stream = ResponsesStream(shared)
    output = stream.feed(encode(message_events(text_block("Hello"))[:-3])) + stream.feed(error_event())
    assert stream.failure is not None
    server.script(stream_answer(output + failure_events(shared, stream.failure)))

    with pytest.raises(openai.APIError) as raised:
        _ = [event async for event in await client.responses.create(model="m", input="Hi", stream=True)]

    assert raised.value.code == "server_error"
    assert "Overloaded" in raised.value.message


async def test_a_whole_response_passes_the_strict_types(server: ScriptedUpstream, client: AsyncOpenAI) -> None:
    message = unstreamed(said(*LOOP, stop_reason="tool_use"))
    assert message is not None
    server.script(json_answer(200, read_response(message, frame()).response()))
    response = await client.responses.create(model="m", input="Hi")

    (call,) = [item for item in response.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Paris"}
