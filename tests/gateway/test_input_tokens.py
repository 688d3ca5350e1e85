"""Counting the tokens of a response's input: by upstream, at no message's expense."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from gateway.demo import RunningUpstream
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support.gateway import RunningGateway, key
from tests.support.scripted import Answer, error_answer, json_answer, scripted_upstream
from tests.support.upstream_rules import run_strict_upstream

MODEL = "claude-sonnet-5-5"
PATH = "/v1/responses/input_tokens"
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
EVERYTHING: dict[str, Any] = {
    "model": MODEL,
    "input": [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Paris"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "Rain."},
    ],
    "instructions": "Be brief.",
    "tools": [TOOL],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}}},
}


@pytest.fixture
async def simulated() -> AsyncIterator[RunningUpstream]:
    async with run_strict_upstream() as upstream:
        yield upstream


@pytest.fixture
async def running(simulated: RunningUpstream) -> AsyncIterator[RunningGateway]:
    async with quick_gateway(key(simulated.base_url)) as gateway:
        yield gateway


async def test_the_count_is_that_of_the_request_as_it_would_be_sent(
    running: RunningGateway, simulated: RunningUpstream
) -> None:
    counted = await running.openai().responses.input_tokens.count(**EVERYTHING)

    response = await running.openai().responses.create(**EVERYTHING)
    assert counted.object == "response.input_tokens"
    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens > 0
    asked, sent = (received.body for received in simulated.received if received.method == "POST")
    assert isinstance(asked, dict)
    assert isinstance(sent, dict)
    assert asked == {name: value for name, value in sent.items() if name in asked}
    assert sent.keys() - asked.keys() == {"max_tokens", "stream"} & sent.keys()


async def test_what_stands_before_the_input_is_counted_as_well(running: RunningGateway) -> None:
    client = running.openai()
    before = await client.responses.create(model=MODEL, input="Say hello. " * 50)

    alone = await client.responses.input_tokens.count(model=MODEL, input="And now?")
    behind = await client.responses.input_tokens.count(model=MODEL, input="And now?", previous_response_id=before.id)

    assert behind.input_tokens > alone.input_tokens + 100


async def test_counting_is_no_usage(running: RunningGateway) -> None:
    await running.openai().responses.input_tokens.count(model=MODEL, input="Hello")

    assert running.gateway._totals.clients() == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b'{"model":"claude-sonnet-5-5"}', "input"),
        (b'{"input":"Hello"}', "model"),
        (b'{"model":"claude-sonnet-5-5","input":"Hi","previous_response_id":"resp_no"}', "previous_response_id"),
        (b'{"model":"claude-sonnet-5-5","input":[{"role":"nobody","content":"Hi"}]}', "input[0].role"),
    ],
    ids=["no JSON", "no input", "no model", "no such response", "a wrong role"],
)
async def test_what_is_wrong_with_a_request_is_told_as_elsewhere(
    running: RunningGateway, body: bytes, param: str | None
) -> None:
    client = running.http()
    counted = await client.post(PATH, content=body)
    created = await client.post("/v1/responses", content=body)

    assert counted.status_code == created.status_code
    assert counted.json() == created.json()
    assert counted.json()["error"]["param"] == param


async def test_a_limit_of_the_counter_is_none_of_the_model() -> None:
    limited = error_answer(429, "rate_limit_error", "Slow down.", headers={"retry-after": "60"})
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url)) as running:
        upstream.script(limited)
        with pytest.raises(openai.RateLimitError) as refused:
            await running.openai().responses.input_tokens.count(model=MODEL, input="Hello")

        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": "Hi."}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        upstream.script(json_answer(200, message))
        response = await running.openai().responses.create(model=MODEL, input="Hello", max_output_tokens=50)

    assert refused.value.code == "rate_limit_exceeded"
    assert response.output_text == "Hi."


@pytest.mark.parametrize("answer", [{}, {"input_tokens": -1}, {"input_tokens": "12"}, {"input_tokens": 10**13}, []])
async def test_what_is_no_count_is_a_failure_of_upstream(answer: Any) -> None:
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url)) as running:
        upstream.always(json_answer(200, answer))
        got = await running.http().post(PATH, json={"model": MODEL, "input": "Hello"})

    assert_error(got, 502, "server_error", "upstream_protocol_error")


async def test_a_lesson_of_the_counter_is_learned() -> None:
    def answer(request: Any) -> Answer:
        if request.json.get("output_config"):
            return error_answer(400, "invalid_request_error", "This model does not support the effort parameter.")
        return json_answer(200, {"input_tokens": 7})

    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url)) as running:
        upstream.always(answer)
        counted = await running.openai().responses.input_tokens.count(
            model=MODEL, input="Hello", reasoning={"effort": "high"}
        )

    assert counted.input_tokens == 7
    assert len(upstream.received) == 2
