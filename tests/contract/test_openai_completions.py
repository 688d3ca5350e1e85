"""The official OpenAI client's legacy completions, against the gateway in front of the simulated upstream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Completion

from gateway.demo import RunningUpstream
from tests.scenarios.harness import quick_gateway
from tests.support.gateway import RetriesConfig, RunningGateway, config_for, key, with_settings

MODEL = "claude-sonnet-5-5"
PROMPT = "Where is the bazaar?"


@pytest.fixture
async def running(simulated: RunningUpstream) -> AsyncIterator[RunningGateway]:
    config = with_settings(config_for(key(simulated.base_url)), retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config) as gateway:
        yield gateway


@pytest.fixture
async def client(running: RunningGateway) -> AsyncIterator[AsyncOpenAI]:
    # Strict: what does not fit the client's own types raises instead of being passed through.
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with AsyncOpenAI(base_url=running.base_url, api_key="any", **options) as client:
        yield client


async def whole(client: AsyncOpenAI, prompt: Any = PROMPT, **more: Any) -> Completion:
    completion = await client.completions.create(model=MODEL, prompt=prompt, **more)
    assert isinstance(completion, Completion)
    return completion


async def chunks_of(running: RunningGateway, prompt: Any = PROMPT, **more: Any) -> list[Completion]:
    # Not strict: the reason that is null in all chunks but the last is not in the client's type (section 7).
    stream = await running.openai().completions.create(model=MODEL, prompt=prompt, stream=True, **more)
    return [chunk async for chunk in stream]


def texts_of(chunks: list[Completion]) -> dict[int, str]:
    """What each choice says in a stream."""
    texts: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    return texts


def reasons_of(chunks: list[Completion]) -> list[str]:
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


async def test_a_completion_is_one_for_the_strict_client(client: AsyncOpenAI) -> None:
    completion = await whole(client)

    assert PROMPT in completion.choices[0].text
    assert completion.object == "text_completion"
    assert completion.id.startswith("cmpl-msg_")
    assert completion.model == MODEL
    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].logprobs is None
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion._request_id is not None


async def test_a_stream_says_the_same_as_an_answer_in_one_piece(client: AsyncOpenAI, running: RunningGateway) -> None:
    completion = await whole(client)
    chunks = await chunks_of(running)

    assert texts_of(chunks) == {0: completion.choices[0].text}
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert chunks[0].object == "text_completion"
    assert all(chunk.usage is None for chunk in chunks)
    assert len(chunks) > 5


async def test_the_blocking_client_works_the_same(running: RunningGateway) -> None:
    def work() -> tuple[str, str]:
        with OpenAI(base_url=running.base_url, api_key="any", max_retries=0) as client:
            completion = client.completions.create(model=MODEL, prompt=PROMPT)
            stream = client.completions.create(model=MODEL, prompt=PROMPT, stream=True)
            return completion.choices[0].text, "".join(chunk.choices[0].text for chunk in stream)

    completion, streamed = await asyncio.to_thread(work)

    assert completion == streamed
    assert PROMPT in completion


async def test_usage_comes_last_and_only_when_asked_for(client: AsyncOpenAI, running: RunningGateway) -> None:
    completion = await whole(client)
    *others, last = await chunks_of(running, stream_options={"include_usage": True})

    assert last.choices == []
    assert last.usage == completion.usage
    assert all(chunk.usage is None and chunk.choices for chunk in others)


async def test_several_prompts_and_several_answers_are_in_their_order(
    client: AsyncOpenAI, running: RunningGateway
) -> None:
    prompts = ["First question", "Second question"]

    completion = await whole(client, prompts, n=2)
    chunks = await chunks_of(running, prompts, n=2, stream_options={"include_usage": True})

    expected = [prompts[0], prompts[0], prompts[1], prompts[1]]
    assert [choice.index for choice in completion.choices] == [0, 1, 2, 3]
    assert all(prompt in choice.text for prompt, choice in zip(expected, completion.choices, strict=True))
    texts = texts_of(chunks)
    assert list(texts) == [0, 1, 2, 3]
    assert all(prompt in texts[index] for index, prompt in enumerate(expected))
    assert reasons_of(chunks) == ["stop"] * 4
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].id.startswith("cmpl-")
    assert chunks[-1].usage == completion.usage


async def test_each_prompt_is_counted_once_and_each_answer(client: AsyncOpenAI) -> None:
    prompts = ["First question", "A second and much longer question, about something else altogether"]
    alone = [(await whole(client, prompt)).usage for prompt in prompts]
    together = (await whole(client, prompts, n=3)).usage

    assert together is not None
    assert together.prompt_tokens == sum(usage.prompt_tokens for usage in alone if usage)
    assert together.completion_tokens == 3 * sum(usage.completion_tokens for usage in alone if usage)


async def test_the_prompt_is_echoed_where_that_is_asked_for(client: AsyncOpenAI, running: RunningGateway) -> None:
    plain = await whole(client, ["One", "Two"])
    echoed = await whole(client, ["One", "Two"], echo=True)
    chunks = await chunks_of(running, ["One", "Two"], echo=True)

    expected = ["One" + plain.choices[0].text, "Two" + plain.choices[1].text]
    assert [choice.text for choice in echoed.choices] == expected
    assert texts_of(chunks) == dict(enumerate(expected))


async def test_an_empty_answer_is_an_empty_text(client: AsyncOpenAI, running: RunningGateway) -> None:
    assert (await whole(client, "[[empty]]")).choices[0].text == ""
    assert texts_of(await chunks_of(running, "[[empty]]")) == {0: ""}
    assert texts_of(await chunks_of(running, "[[empty]]", echo=True)) == {0: "[[empty]]"}


async def test_a_stop_sequence_ends_the_answer(client: AsyncOpenAI, running: RunningGateway) -> None:
    completion = await whole(client, stop="bazaar")
    chunks = await chunks_of(running, stop=["bazaar"])

    assert "bazaar" not in completion.choices[0].text
    assert completion.choices[0].finish_reason == "stop"
    assert texts_of(chunks) == {0: completion.choices[0].text}


async def test_a_limit_reads_as_length_and_a_refusal_as_a_filter(client: AsyncOpenAI, running: RunningGateway) -> None:
    limited = await whole(client, "[[long 300]]", max_tokens=150)
    refused = await whole(client, "[[refuse]]")

    assert limited.choices[0].finish_reason == "length"
    assert refused.choices[0].finish_reason == "content_filter"
    assert reasons_of(await chunks_of(running, "[[long 300]]", max_tokens=150)) == ["length"]
    assert reasons_of(await chunks_of(running, "[[refuse]]")) == ["content_filter"]


async def test_thinking_is_never_shown(client: AsyncOpenAI, running: RunningGateway) -> None:
    completion = await whole(client, "[[think]] Why?")
    chunks = await chunks_of(running, "[[think]] Why?")

    assert texts_of(chunks) == {0: completion.choices[0].text}
    assert not [chunk for chunk in chunks if "reasoning" in chunk.to_json()]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"suffix": " the end."}, "suffix"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"n": 100}, "n"),
        ({"n": 0}, "n"),
        ({"temperature": 5}, "temperature"),
    ],
)
async def test_what_cannot_be_done_is_a_bad_request_with_its_place(
    client: AsyncOpenAI, simulated: RunningUpstream, more: dict[str, Any], param: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(**{"model": MODEL, "prompt": PROMPT, "stream": stream, **more})

    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert isinstance(caught.value.body, dict)
    assert len(caught.value.body["message"]) > 20
    assert not [request for request in simulated.received if request.path.startswith("/v1/messages")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (529, openai.InternalServerError)],
)
async def test_upstreams_errors_are_raised(
    client: AsyncOpenAI, status: int, raised: type[openai.APIStatusError], stream: bool
) -> None:
    request: dict[str, Any] = {"model": MODEL, "prompt": f"[[error {status}]]", "stream": stream}

    with pytest.raises(raised):
        await client.completions.create(**request)


async def test_an_error_in_the_stream_is_raised(running: RunningGateway) -> None:
    seen: list[str] = []
    stream = await running.openai().completions.create(
        model=MODEL, prompt="[[error 529 mid-stream]]", stream=True, max_tokens=2000
    )

    async def read() -> None:
        async for chunk in stream:
            text = chunk.choices[0].text
            seen.append(text)

    with pytest.raises(openai.APIError):
        await read()
    assert "".join(seen)


async def test_an_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.completions.create(model="claude-nonsense-9", prompt=PROMPT)

    assert caught.value.code == "model_not_found"


async def test_a_legacy_model_of_openai_is_answered_by_its_alias(client: AsyncOpenAI) -> None:
    completion = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt=PROMPT)

    assert completion.model == MODEL


async def test_what_was_adjusted_is_named_in_a_header(running: RunningGateway) -> None:
    raw = await running.openai().completions.with_raw_response.create(
        model=MODEL, prompt=PROMPT, temperature=0.3, seed=5, logprobs=2, frequency_penalty=0
    )

    assert raw.headers["x-gateway-adjusted"] == (
        "temperature=dropped:model; seed=dropped:unsupported; logprobs=dropped:unsupported"
    )
