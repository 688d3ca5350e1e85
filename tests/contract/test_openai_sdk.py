"""The official OpenAI client, unmodified, against the gateway in front of the simulated upstream."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.demo import Ending, RunningUpstream
from tests.scenarios.harness import no_lease_is_out, quick_gateway
from tests.support.gateway import RetriesConfig, RunningGateway, config_for, key, with_settings

T = TypeVar("T")
MODEL = "claude-sonnet-5-5"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}


@pytest.fixture
async def running(simulated: RunningUpstream) -> AsyncIterator[RunningGateway]:
    # What upstream refuses is refused at once here: repeating is tested elsewhere.
    config = with_settings(config_for(key(simulated.base_url)), retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config) as gateway:
        yield gateway


@pytest.fixture
async def client(running: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    # Strict: what does not fit the client's own types raises instead of being passed through.
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with AsyncOpenAI(base_url=running.base_url, api_key="any", **options) as client:
        yield client


def asking(text: Any = "Where is the bazaar?", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def text_of(completion: ChatCompletion) -> str:
    return completion.choices[0].message.content or ""


async def chunks_of(client: AsyncOpenAI, request: dict[str, Any]) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in await client.chat.completions.create(**request, stream=True)]


async def in_a_thread(running: RunningGateway, work: Callable[[OpenAI], T], **options: Any) -> T:
    """Run this with the client that blocks."""

    def run() -> T:
        with OpenAI(base_url=running.base_url, api_key="any", max_retries=0, **options) as client:
            return work(client)

    return await asyncio.to_thread(run)


# Answers.


async def test_a_completion_is_one_for_the_strict_client(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**asking())

    assert "“Where is the bazaar?”" in text_of(completion)
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-msg_")
    assert completion.model == MODEL
    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.refusal is None
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion.usage.completion_tokens > 0
    assert completion._request_id is not None
    assert completion._request_id.startswith("req_")


async def test_a_stream_says_the_same_as_an_answer_in_one_piece(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**asking())
    chunks = await chunks_of(client, asking())

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text_of(whole)
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant", *[None] * (len(chunks) - 1)]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert len(chunks) > 5


async def test_the_blocking_client_works_the_same(running: RunningGateway) -> None:
    def work(client: OpenAI) -> tuple[str, str]:
        whole = client.chat.completions.create(**asking())
        said = "".join(
            chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asking(), stream=True)
        )
        return text_of(whole), said

    whole, said = await in_a_thread(running, work, _strict_response_validation=True)

    assert whole == said
    assert "bazaar" in said


async def test_usage_comes_last_and_only_when_asked_for(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**asking())
    chunks = await chunks_of(client, asking(stream_options={"include_usage": True}))

    *others, last = chunks
    assert last.choices == []
    assert last.usage == whole.usage
    assert all(chunk.usage is None and chunk.choices for chunk in others)
    assert all("usage" in chunk.model_fields_set for chunk in others)


async def test_the_stream_helper_assembles_the_completion(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(**asking())
    async with client.chat.completions.stream(**asking(stream_options={"include_usage": True})) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()

    assert final.choices[0].message.content == text_of(whole)
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].finish_reason == "stop"
    assert final.usage == whole.usage
    assert kinds.count("content.done") == 1
    assert "content.delta" in kinds


async def test_the_blocking_stream_helper_works_too(running: RunningGateway) -> None:
    def work(client: OpenAI) -> str | None:
        with client.chat.completions.stream(**asking()) as stream:
            return stream.get_final_completion().choices[0].message.content

    assert "bazaar" in (await in_a_thread(running, work) or "")


async def test_a_limit_reads_as_length(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**asking("[[long 300]]", max_completion_tokens=150))
    chunks = await chunks_of(client, asking("[[long 300]]", max_tokens=150))

    assert completion.choices[0].finish_reason == "length"
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_a_refusal_reads_as_a_refusal(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**asking("[[refuse]]"))
    chunks = await chunks_of(client, asking("[[refuse]]"))

    assert completion.choices[0].finish_reason == "content_filter"
    assert "declined" in (completion.choices[0].message.refusal or "")
    assert "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks) == completion.choices[0].message.refusal


async def test_an_empty_answer_is_an_empty_text(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**asking("[[empty]]"))
    async with client.chat.completions.stream(**asking("[[empty]]")) as stream:
        final = await stream.get_final_completion()

    assert completion.choices[0].message.content == ""
    assert final.choices[0].message.content == ""


async def test_reasoning_is_in_a_field_of_its_own(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(**asking("[[think]] Hello", reasoning_effort="high"))
    chunks = await chunks_of(client, asking("[[think]] Hello", reasoning_effort="high"))

    reasoning = getattr(completion.choices[0].message, "reasoning_content", "")
    assert "simulated" in reasoning
    streamed = "".join(getattr(chunk.choices[0].delta, "reasoning_content", "") or "" for chunk in chunks)
    assert streamed == reasoning
    assert reasoning not in text_of(completion)


# Tools, images, conversations.


@pytest.mark.parametrize("streamed", [True, False])
async def test_parallel_calls_go_there_and_their_results_back(
    client: AsyncOpenAI, simulated: RunningUpstream, streamed: bool
) -> None:
    request = asking("What is the weather in both Paris and Rome?", tools=[WEATHER, CLOCK])
    if streamed:
        async with client.chat.completions.stream(**request) as stream:
            first: Any = await stream.get_final_completion()
    else:
        first = await client.chat.completions.create(**request)
    message = first.choices[0].message
    calls = message.tool_calls or []
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"sunny in {json.loads(call.function.arguments)['city']}"}
        for call in reversed(calls)
    ]
    history = [*request["messages"], message.model_dump(exclude_none=True), *results]
    second = await client.chat.completions.create(**{**request, "messages": history})

    assert first.choices[0].finish_reason == "tool_calls"
    assert len(calls) == 2
    assert len({call.id for call in calls}) == 2
    assert {call.function.name for call in calls} == {"get_weather"}
    assert all(json.loads(call.function.arguments)["unit"] for call in calls)
    for call in calls:
        assert f"sunny in {json.loads(call.function.arguments)['city']}" in text_of(second)
    sent = simulated.received[-1].body["messages"]
    assert [block["type"] for block in sent[-1]["content"]] == ["tool_result"] * len(calls)
    # In the order of the calls, whatever the order of the results.
    asked = [block["id"] for block in sent[-2]["content"] if block["type"] == "tool_use"]
    assert [block["tool_use_id"] for block in sent[-1]["content"]] == asked


async def test_several_calls_in_one_stream_have_their_own_indices(client: AsyncOpenAI) -> None:
    request = asking("Use both tools in parallel: get_weather and get_time.", tools=[WEATHER, CLOCK])
    chunks = await chunks_of(client, request)
    whole = await client.chat.completions.create(**request)

    heads = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or () if call.id]
    calls = whole.choices[0].message.tool_calls or []
    assert [head.index for head in heads] == list(range(len(calls)))
    assert len(calls) == 2
    assert [head.function.name for head in heads if head.function] == [call.function.name for call in calls]
    fragments = {
        index: "".join(
            (call.function.arguments or "") if call.function else ""
            for chunk in chunks
            for call in chunk.choices[0].delta.tool_calls or ()
            if call.index == index
        )
        for index in range(2)
    }
    assert [json.loads(fragments[index]) for index in range(2)] == [
        json.loads(call.function.arguments) for call in calls
    ]


async def test_a_forced_tool_is_called(client: AsyncOpenAI) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    completion = await client.chat.completions.create(
        **{**asking("Hello in Paris", tools=[CLOCK, WEATHER], tool_choice=choice), "model": "claude-haiku-5-5"}
    )

    calls = completion.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather"]
    assert completion.choices[0].finish_reason == "tool_calls"


async def test_an_image_is_seen(client: AsyncOpenAI) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    completion = await client.chat.completions.create(**asking(parts))

    assert "image/png image of 68 bytes" in text_of(completion)


async def test_a_conversation_is_remembered(client: AsyncOpenAI) -> None:
    history: list[Any] = [
        {"role": "system", "content": "Speak like a guide."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "And now?"},
    ]
    completion = await client.chat.completions.create(model=MODEL, messages=history)

    assert "“Speak like a guide.”" in text_of(completion)
    assert "3 turns" in text_of(completion)


async def test_an_answer_can_be_sent_back_as_it_came(client: AsyncOpenAI) -> None:
    first = await client.chat.completions.create(**asking())
    history = [*asking()["messages"], first.choices[0].message.model_dump(), {"role": "user", "content": "More."}]
    second = await client.chat.completions.create(model=MODEL, messages=history)

    assert "3 turns" in text_of(second)


# Names and addresses.


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-6-astra", "o3", "anthropic/claude-sonnet-5.5"])
async def test_openais_model_names_are_answered(client: AsyncOpenAI, model: str) -> None:
    completion = await client.chat.completions.create(**{**asking(), "model": model})

    assert completion.model.startswith("claude-")


async def test_models_are_listed_and_found(client: AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    found = await client.models.retrieve(MODEL)
    routed = await client.models.retrieve("anthropic/claude-sonnet-5-5")

    assert MODEL in [model.id for model in models]
    assert all(model.object == "model" and model.created > 0 for model in models)
    assert found.id == MODEL
    assert routed.id == "anthropic/claude-sonnet-5-5"


@pytest.mark.parametrize("model", ["claude-nonsense-9", "no/such:model", "a b", "ü"])
async def test_a_model_that_nobody_knows_is_not_found(client: AsyncOpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await client.models.retrieve(model)

    assert raised.value.code == "model_not_found"
    assert model in raised.value.message


async def test_the_blocking_client_lists_models(running: RunningGateway) -> None:
    ids = await in_a_thread(running, lambda client: [model.id for model in client.models.list()])

    assert MODEL in ids


async def test_a_base_url_without_v1_works_as_well(running: RunningGateway) -> None:
    async with AsyncOpenAI(base_url=running.url, api_key="any", max_retries=0) as client:
        completion = await client.chat.completions.create(**asking())
        models = await client.models.list()

    assert "bazaar" in text_of(completion)
    assert models.data


# Raw answers.


async def test_a_raw_response_shows_headers_and_parses(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(**asking(), seed=7, temperature=0.2)
    completion = raw.parse()

    assert raw.status_code == 200
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.headers["x-upstream-request-id"].startswith("req_")
    assert "seed" in raw.headers["x-gateway-adjusted"]
    assert "temperature" in raw.headers["x-gateway-adjusted"]
    assert "bazaar" in text_of(completion)


async def test_a_raw_stream_shows_headers_and_parses(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(**asking(), stream=True)
    said = "".join([chunk.choices[0].delta.content or "" async for chunk in raw.parse()])

    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "bazaar" in said


async def test_a_streaming_response_can_be_read_line_by_line(client: AsyncOpenAI) -> None:
    async with client.chat.completions.with_streaming_response.create(**asking(), stream=True) as response:
        lines = [line async for line in response.iter_lines() if line]

    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"


async def test_leaving_a_stream_in_the_middle_frees_everything(
    running: RunningGateway, simulated: RunningUpstream
) -> None:
    client = running.openai()
    stream = await client.chat.completions.create(**asking("[[long 100000]]"), stream=True)
    await anext(aiter(stream))
    await stream.close()
    await no_lease_is_out(running)
    async with asyncio.timeout(60):
        ending = await next(each for each in simulated.received if each.path == "/v1/messages").finished()

    assert ending is Ending.ABANDONED


# Errors.

ERRORS = [
    (400, openai.BadRequestError, 400, None),
    (401, openai.InternalServerError, 503, "upstream_key_rejected"),
    (402, openai.RateLimitError, 429, "insufficient_quota"),
    (403, openai.PermissionDeniedError, 403, None),
    (404, openai.NotFoundError, 404, None),
    (409, openai.ConflictError, 409, "conflict"),
    (413, openai.APIStatusError, 413, "request_too_large"),
    (429, openai.RateLimitError, 429, "rate_limit_exceeded"),
    (500, openai.InternalServerError, 500, "upstream_error"),
    (503, openai.InternalServerError, 503, "upstream_unavailable"),
    (504, openai.InternalServerError, 504, "upstream_timeout"),
    (529, openai.InternalServerError, 503, "server_is_overloaded"),
]


@pytest.mark.parametrize(("ordered", "kind", "status", "code"), ERRORS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_error_of_upstream_raises_the_clients_own_class(
    client: AsyncOpenAI, ordered: int, kind: type[openai.APIStatusError], status: int, code: str | None, streamed: bool
) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        await client.chat.completions.create(**asking(f"[[error {ordered}]]"), stream=streamed)

    error = raised.value
    assert type(error) is kind
    assert (error.status_code, error.code) == (status, code)
    assert error.request_id is not None
    assert error.request_id.startswith("req_")
    assert error.type
    assert " - " in str(error)


async def test_the_blocking_client_raises_the_same(running: RunningGateway) -> None:
    def work(client: OpenAI) -> str | None:
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(**asking("[[error 429]]"), stream=True)
        return raised.value.response.headers["retry-after"]

    assert await in_a_thread(running, work) == "1"


async def test_an_error_in_the_middle_raises_too(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**asking("[[error 529 mid-stream]]"), stream=True)
    with pytest.raises(openai.APIError) as raised:
        [chunk async for chunk in stream]

    assert raised.value.code == "server_is_overloaded"
    assert not isinstance(raised.value, openai.APIStatusError)


async def test_an_answer_that_was_cut_raises_too(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**asking("[[cut]]"), stream=True)
    with pytest.raises(openai.APIError) as in_the_stream:
        [chunk async for chunk in stream]
    with pytest.raises(openai.InternalServerError) as whole:
        await client.chat.completions.create(**asking("[[cut]]"))

    assert in_the_stream.value.code == "upstream_disconnected"
    assert whole.value.code == "upstream_disconnected"


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"model": MODEL, "messages": []}, "messages"),
        ({"model": MODEL, "messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        (asking(temperature=3), "temperature"),
        (asking(n=0), "n"),
        (asking(max_tokens=-1), "max_tokens"),
        (asking(modalities=["text", "audio"], audio={"voice": "alloy", "format": "mp3"}), "modalities"),
        (asking(tools=[{"type": "function", "function": {"name": ""}}]), "tools[0].function.name"),
        (
            {"model": MODEL, "messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
            "messages[0]",
        ),
    ],
)
async def test_a_callers_mistake_names_its_place(client: AsyncOpenAI, request_: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(**request_)

    assert raised.value.type == "invalid_request_error"
    assert (raised.value.param or "").startswith(param)


async def test_an_unknown_url_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await client.embeddings.create(model="text-embedding-3-small", input="x")

    assert raised.value.code == "unknown_url"


async def test_a_callers_own_key_that_is_wrong_raises_authentication_error(simulated: RunningUpstream) -> None:
    config = config_for()
    async with quick_gateway(config=config, callers_base_url=simulated.base_url) as running:
        with pytest.raises(openai.AuthenticationError) as raised:
            await running.openai(api_key="sk-ant-invalid").chat.completions.create(**asking())
        with pytest.raises(openai.AuthenticationError):
            await running.openai(api_key="sk-proj-openai").chat.completions.create(**asking())
        completion = await running.openai(api_key="sk-ant-fine").chat.completions.create(**asking())

    assert raised.value.code == "invalid_api_key"
    assert "bazaar" in text_of(completion)


# The client's own retries.


async def counted(work: Awaitable[Any], simulated: RunningUpstream) -> int:
    with pytest.raises(openai.APIStatusError):
        await work
    return sum(received.path == "/v1/messages" for received in simulated.received)


async def test_the_client_does_not_repeat_what_it_is_told_not_to(
    running: RunningGateway, simulated: RunningUpstream
) -> None:
    client = running.openai(max_retries=2)

    assert await counted(client.chat.completions.create(**asking("[[error 401]]")), simulated) == 1
