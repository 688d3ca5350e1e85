"""The official OpenAI client's `responses` and `conversations`, unmodified, in front of the simulated upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from tests.support.gateway import RetriesConfig, RunningGateway, running_gateway, with_settings
from tests.support.loops import config_of, keeping
from tests.support.responses_grammar import event_violations, response_violations
from tests.support.upstream_rules import run_strict_upstream

T = TypeVar("T")
MODEL = "claude-sonnet-5-5"
STRICT: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
SQL: dict[str, Any] = {"type": "custom", "name": "sql", "description": "Runs SQL."}
CRM: dict[str, Any] = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [WEATHER]}
SETTINGS: dict[str, Any] = {
    "instructions": "Be brief.",
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 4000,
    "metadata": {"topic": "tides"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "a",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "somebody",
    "service_tier": "auto",
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]},
    "tools": [WEATHER, SQL, CRM],
    "truncation": "disabled",
}
ECHOED = SETTINGS.keys() - {"include", "tools", "service_tier"}


class Weather(BaseModel):
    city: str
    degrees: int


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with run_strict_upstream() as simulated:
        config = config_of(keeping(tmp_path, simulated.base_url))
        # What upstream refuses is refused at once here: repeating is tested elsewhere.
        async with running_gateway(config=with_settings(config, retries=RetriesConfig(max_attempts=1))) as gateway:
            yield gateway


@pytest.fixture
async def client(running: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    # Strict: what does not fit the client's own types raises instead of being passed through.
    async with AsyncOpenAI(base_url=running.base_url, api_key="any", **STRICT) as client:
        yield client


async def in_a_thread(running: RunningGateway, work: Callable[[OpenAI], T]) -> T:
    """What the blocking client gets."""

    def task() -> T:
        with OpenAI(base_url=running.base_url, api_key="any", **STRICT) as client:
            return work(client)

    return await asyncio.to_thread(task)


def as_dict(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = response.model_dump(mode="json", exclude_unset=True)
    return found


async def test_a_response_lives_from_its_creation_to_its_deletion(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="Hello!", **SETTINGS)
    again = await client.responses.retrieve(made.id, include=["reasoning.encrypted_content"])
    items = [item async for item in client.responses.input_items.list(made.id, limit=1)]
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)

    assert response_violations(as_dict(made)) == []
    assert {name: as_dict(made)[name] for name in ECHOED} == {name: SETTINGS[name] for name in ECHOED}
    assert as_dict(again) == as_dict(made)
    assert [item.type for item in items] == ["message"]


@pytest.mark.parametrize("prompt", ["Hello!", "[[think]] Hello!", "[[tools 1]] Hello!", "[[refuse]]", "[[empty]]"])
async def test_a_stream_and_its_end_say_the_same(client: AsyncOpenAI, prompt: str) -> None:
    tools: Any = [WEATHER]
    stream = await client.responses.create(model=MODEL, input=prompt, tools=tools, stream=True)
    events = [event.model_dump(mode="json", exclude_unset=True) async for event in stream]
    end = events[-1]["response"]
    kept = await client.responses.retrieve(end["id"])

    assert event_violations(events) == []
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == end["output"]
    assert as_dict(kept) == end


async def test_the_blocking_client_does_the_same(running: RunningGateway) -> None:
    def work(client: OpenAI) -> tuple[str, str, list[str]]:
        first = client.responses.create(model=MODEL, input="Hello!")
        with client.responses.stream(model=MODEL, input="And?", previous_response_id=first.id) as stream:
            kinds: list[str] = [event.type for event in stream]
            last = stream.get_final_response()
        items = [item.type for item in client.responses.input_items.list(last.id)]
        assert len(items) >= 3
        return first.output_text, last.output_text, kinds

    said, answered, kinds = await in_a_thread(running, work)

    assert "simulated upstream" in said
    assert "simulated upstream" in answered
    assert kinds[-1] == "response.completed"


async def test_a_form_is_parsed_streamed_and_whole(client: AsyncOpenAI) -> None:
    whole = await client.responses.parse(model=MODEL, input="Weather?", text_format=Weather)
    async with client.responses.stream(model=MODEL, input="Weather?", text_format=Weather) as stream:
        streamed = await stream.get_final_response()

    assert isinstance(whole.output_parsed, Weather)
    assert isinstance(streamed.output_parsed, Weather)


async def test_arguments_are_parsed(client: AsyncOpenAI) -> None:
    tool = openai.pydantic_function_tool(GetWeather)
    flat: Any = {"type": "function", **tool["function"]}

    found = await client.responses.parse(model=MODEL, input="[[tools 1]] Weather?", tools=[flat])

    (call,) = [item for item in found.output if item.type == "function_call"]
    assert isinstance(call.parsed_arguments, dict)
    assert call.parsed_arguments["city"]


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"type": "function", "name": "get_weather"}, "function_call"),
        ({"type": "custom", "name": "sql"}, "custom_tool_call"),
        ("required", "function_call"),
    ],
)
async def test_a_call_is_forced(client: AsyncOpenAI, choice: Any, kind: str) -> None:
    tools: Any = [WEATHER, SQL]
    found = await client.responses.create(model="claude-haiku-4-5", input="Weather?", tools=tools, tool_choice=choice)

    assert [item.type for item in found.output] == [kind]
    assert response_violations(as_dict(found)) == []


async def test_a_conversation_lives_from_its_creation_to_its_deletion(client: AsyncOpenAI) -> None:
    talk = await client.conversations.create(items=[{"role": "user", "content": "Before"}], metadata={"a": "b"})
    await client.responses.create(model=MODEL, input="First", conversation=talk.id)
    items = [item async for item in client.conversations.items.list(talk.id, order="asc", limit=1)]
    changed = await client.conversations.update(talk.id, metadata={"c": "d"})
    one = await client.conversations.items.retrieve(str(items[0].id), conversation_id=talk.id)
    await client.conversations.items.delete(str(items[0].id), conversation_id=talk.id)
    found = await client.conversations.retrieve(talk.id)
    await client.conversations.delete(talk.id)
    with pytest.raises(openai.NotFoundError):
        await client.conversations.retrieve(talk.id)

    assert [item.type for item in items][:2] == ["message", "message"]
    assert one == items[0]
    assert changed.metadata == found.metadata == {"c": "d"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("word", "kind", "code"),
    [
        ("[[error 400]]", openai.BadRequestError, None),
        ("[[error 404]]", openai.NotFoundError, None),
        ("[[error 429]]", openai.RateLimitError, "rate_limit_exceeded"),
        ("[[error 529]]", openai.InternalServerError, "server_is_overloaded"),
    ],
)
async def test_errors_are_those_of_openais_own_service(
    client: AsyncOpenAI, word: str, kind: type[openai.APIStatusError], code: str | None, stream: bool
) -> None:
    with pytest.raises(kind) as raised:
        await client.responses.create(model=MODEL, input=word, stream=stream)

    assert raised.value.code == code
    assert raised.value.request_id


@pytest.mark.parametrize("word", ["[[error 529 mid-stream]]", "[[cut]]"])
async def test_a_stream_that_breaks_raises(client: AsyncOpenAI, word: str) -> None:
    stream = await client.responses.create(model=MODEL, input=word, stream=True)
    kinds: list[str] = []

    async def read() -> None:
        async for event in stream:
            kinds.append(event.type)  # noqa: PERF401 - those before the failure count

    with pytest.raises(openai.APIError):
        await read()

    assert kinds[-1] == "response.failed"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0].call_id"),
        ({"input": "Hi", "previous_response_id": "resp_none"}, "previous_response_id"),
        ({"input": "Hi", "tools": [{"type": "nothing"}]}, "tools[0].type"),
        ({"input": "Hi", "text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ],
)
async def test_a_mistake_is_told_with_its_place(client: AsyncOpenAI, body: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.responses.create(model=MODEL, **body)

    assert raised.value.param == param
