"""The official Anthropic client, unmodified, against the gateway in front of the simulated upstream."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, TextBlock, ToolUseBlock

from gateway.demo import RunningUpstream
from tests.scenarios.harness import no_lease_is_out, quick_gateway, without_pauses
from tests.support.gateway import (
    ClientConfig,
    RetriesConfig,
    RunningGateway,
    Secret,
    config_for,
    key,
    with_settings,
)
from tests.support.recordings import Recording, recording_params
from tests.support.scripted import error_answer, scripted_upstream, stream_answer

T = TypeVar("T")
MODEL = "claude-sonnet-5-5"
CLIENT_KEY = "key-of-the-application"
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
async def running(simulated: RunningUpstream) -> AsyncIterator[RunningGateway]:
    clients = (ClientConfig(name="app", api_key=Secret(CLIENT_KEY)),)
    config = with_settings(config_for(key(simulated.base_url), clients=clients), retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config) as gateway:
        yield gateway


@pytest.fixture
async def client(running: RunningGateway) -> AsyncIterator[AsyncAnthropic]:
    # Strict: what does not fit the client's own types raises instead of being passed through.
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with AsyncAnthropic(base_url=running.url, api_key=CLIENT_KEY, **options) as client:
        yield client


def asking(text: Any = "Where is the bazaar?", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if isinstance(block, TextBlock))


async def in_a_thread(running: RunningGateway, work: Callable[[Anthropic], T], **options: Any) -> T:
    """Run this with the client that blocks."""

    def run() -> T:
        with Anthropic(**{"base_url": running.url, "api_key": CLIENT_KEY, "max_retries": 0, **options}) as client:
            return work(client)

    return await asyncio.to_thread(run)


async def test_a_message_is_answered(client: AsyncAnthropic, simulated: RunningUpstream) -> None:
    message = await client.messages.create(**asking())

    assert "“Where is the bazaar?”" in text_of(message)
    assert message.model == MODEL
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    assert message._request_id is not None
    assert message._request_id.startswith("req_")
    assert simulated.received[-1].headers["x-api-key"] == "sk-ant-test"
    assert CLIENT_KEY not in str(simulated.received[-1].headers)


async def test_a_stream_says_the_same_as_an_answer_in_one_piece(client: AsyncAnthropic) -> None:
    whole = await client.messages.create(**asking())
    async with client.messages.stream(**asking()) as stream:
        said = [text async for text in stream.text_stream]
        final = await stream.get_final_message()

    assert "".join(said) == text_of(final) == text_of(whole)
    assert len(said) > 5
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert stream.request_id is not None


async def test_the_blocking_client_works_the_same(running: RunningGateway) -> None:
    def work(client: Anthropic) -> tuple[str, str, int]:
        whole = client.messages.create(**asking())
        with client.messages.stream(**asking()) as stream:
            said = "".join(stream.text_stream)
        counted = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
        return text_of(whole), said, counted.input_tokens

    whole, said, counted = await in_a_thread(running, work, _strict_response_validation=True)

    assert whole == said
    assert counted > 0


async def test_a_token_instead_of_a_key_opens_the_door_as_claude_code_does_it(running: RunningGateway) -> None:
    options: dict[str, Any] = {"api_key": None, "auth_token": CLIENT_KEY}

    assert "bazaar" in text_of(await in_a_thread(running, lambda client: client.messages.create(**asking()), **options))


@pytest.mark.parametrize("streamed", [True, False])
async def test_tools_go_there_and_their_results_back(client: AsyncAnthropic, streamed: bool) -> None:
    request = asking("What is the weather in both Paris and Rome?", tools=[WEATHER])
    if streamed:
        async with client.messages.stream(**request) as stream:
            first = await stream.get_final_message()
    else:
        first = await client.messages.create(**request)
    calls = [block for block in first.content if isinstance(block, ToolUseBlock)]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"sunny in {call.input['city']}"} for call in calls
    ]
    history = [
        *request["messages"],
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": results},
    ]
    second = await client.messages.create(**{**request, "messages": history})

    assert first.stop_reason == "tool_use"
    assert len(calls) == 2
    for call in calls:
        assert f"sunny in {call.input['city']}" in text_of(second)


async def test_thinking_passes_with_its_signature(client: AsyncAnthropic) -> None:
    async with client.messages.stream(**asking("[[think]] Hello")) as stream:
        final = await stream.get_final_message()

    assert [block.type for block in final.content] == ["thinking", "text"]
    assert getattr(final.content[0], "signature", "")


async def test_tokens_are_counted(client: AsyncAnthropic, simulated: RunningUpstream) -> None:
    short = await client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    long = await client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hi " * 500}])

    assert 0 < short.input_tokens < long.input_tokens
    assert simulated.received[-1].path == "/v1/messages/count_tokens"


async def test_betas_reach_upstream(client: AsyncAnthropic, simulated: RunningUpstream) -> None:
    betas: list[Any] = ["context-1m-2025-08-07", "fast-mode-2026-02-01"]
    await client.beta.messages.create(**asking(), betas=betas)

    assert simulated.received[-1].headers["anthropic-beta"] == ",".join(betas)
    assert simulated.received[-1].headers["anthropic-version"] in ("2023-06-01", "2026-10-21")


async def test_aliases_hold_for_native_requests_too(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**{**asking(), "model": "gpt-5-mini"})

    assert message.model == "claude-haiku-5-5"


async def test_models_are_listed(client: AsyncAnthropic) -> None:
    models = [model.id async for model in client.models.list()]
    found = await client.models.retrieve(MODEL)
    with pytest.raises(anthropic.NotFoundError) as raised:
        await client.models.retrieve("claude-nonsense-9")

    assert MODEL in models
    assert found.id == MODEL
    assert raised.value.type == "not_found_error"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("status", "kind", "type_"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.ServiceUnavailableError, "api_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (413, anthropic.ContentTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (504, anthropic.GatewayTimeoutError, "timeout_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
async def test_an_error_is_the_exception_that_the_client_has_for_it(
    client: AsyncAnthropic, status: int, kind: type[anthropic.APIStatusError], type_: str, streamed: bool
) -> None:
    with pytest.raises(kind) as raised:
        await client.messages.create(**asking(f"[[error {status}]]"), stream=streamed)

    assert type(raised.value) is kind
    assert raised.value.type == type_
    assert raised.value.api_message
    assert raised.value.request_id is not None
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["request_id"] == raised.value.request_id


async def test_a_wrong_key_is_an_authentication_error(running: RunningGateway) -> None:
    with pytest.raises(anthropic.AuthenticationError) as raised:
        await in_a_thread(running, lambda client: client.messages.create(**asking()), api_key="sk-ant-wrong")

    assert raised.value.type == "authentication_error"


async def test_a_mistake_in_the_request_is_told_in_upstreams_words(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens") as raised:
        await client.messages.create(**{**asking(), "max_tokens": 10_000_000}, timeout=10)

    assert raised.value.type == "invalid_request_error"


async def test_an_error_in_the_middle_of_a_stream_is_raised(client: AsyncAnthropic) -> None:
    said: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        await _listen(client, "[[error 529 mid-stream]]", said)

    assert said
    assert raised.value.type == "overloaded_error"


async def test_a_cut_in_the_middle_of_a_stream_is_raised(client: AsyncAnthropic) -> None:
    said: list[str] = []
    with pytest.raises(anthropic.APIStatusError, match="before the answer was complete") as raised:
        await _listen(client, "[[cut]]", said)

    assert said
    assert raised.value.type == "api_error"


async def _listen(client: AsyncAnthropic, text: str, said: list[str]) -> None:
    async with client.messages.stream(**asking(text)) as stream:
        async for piece in stream.text_stream:
            # Not by a comprehension, which would forget them all when the stream breaks.
            said.append(piece)  # noqa: PERF401


async def test_the_client_does_not_repeat_what_is_pointless(caplog: pytest.LogCaptureFixture) -> None:
    # Its list of models is fine: were that refused as well, the key would sometimes be out before it is asked.
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url)) as running:
        upstream.always(error_answer(401, "authentication_error", "invalid x-api-key"))
        without_pauses(running)
        with pytest.raises(anthropic.ServiceUnavailableError):
            await in_a_thread(running, lambda client: client.messages.create(**asking()), max_retries=2)

        await no_lease_is_out(running)
    assert len(upstream.received) == 1
    assert [line for line in caplog.messages if line.startswith("POST")] == ["POST /v1/messages 503"]


@pytest.mark.parametrize("recording", recording_params(streamed=True, status=200, kind="messages"))
async def test_the_client_makes_the_same_of_a_recorded_stream_with_and_without_the_gateway(
    recording: Recording,
) -> None:
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url)) as running:
        upstream.always(stream_answer(recording.response))
        finals = [await _final(url) for url in (upstream.base_url, running.url)]

    assert finals[0] == finals[1]


async def _final(url: str) -> dict[str, Any]:
    async with (
        AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client,
        client.beta.messages.stream(**asking()) as stream,
    ):
        final = await stream.get_final_message()
    return final.to_dict(warnings=False)
