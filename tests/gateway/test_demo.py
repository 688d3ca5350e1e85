"""What the simulated upstream answers, seen through the official client and on the bare wire."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message

from gateway.demo import ORDERS, Ending, RunningUpstream, run_simulated_upstream
from tests.support.upstream_rules import StrictReader

OPUS = "claude-opus-5-5"
QUIET = "claude-opus-4-8"
OLD = "claude-sonnet-4-6"

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer"},
            "note": {"type": "string"},
        },
        "required": ["city", "unit", "days"],
    },
}
CLOCK: dict[str, Any] = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture(params=["demo", "strict"])
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[RunningUpstream]:
    """As it is shipped, and with the rules that the tests plug in: both answer alike."""
    reader = StrictReader() if request.param == "strict" else None
    async with run_simulated_upstream(pace_seconds=0, reader=reader) as running:
        yield running


@pytest.fixture
async def wire(upstream: RunningUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"x-api-key": "any", "anthropic-version": "2026-10-21"}
    # Nothing here is encrypted, and reading the system's certificates takes longer than a test.
    async with httpx2.AsyncClient(base_url=upstream.base_url, headers=headers, verify=False) as client:
        yield client


@pytest.fixture
def client(upstream: RunningUpstream, wire: httpx2.AsyncClient) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=upstream.base_url, api_key="any", max_retries=0, http_client=wire)


def asking(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": QUIET, "max_tokens": 1000, "messages": [{"role": "user", "content": text}], **more}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def streamed(client: AsyncAnthropic, request: dict[str, Any]) -> Message:
    async with client.messages.stream(**request) as stream:
        return await stream.get_final_message()


def without_ids(message: Message) -> Any:
    return message.model_dump(mode="json", exclude={"id": True, "content": {"__all__": {"id", "parsed_output"}}})


async def test_plain_text_is_repeated_together_with_what_else_was_understood(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("Where is the bazaar?", system="Speak like a guide."))

    assert "“Where is the bazaar?”" in text_of(message)
    assert "“Speak like a guide.”" in text_of(message)
    assert message.stop_reason == "end_turn"
    assert message.id.startswith("msg_")
    assert message.usage.input_tokens > 0


@pytest.mark.parametrize(
    "request_",
    [
        asking("Hello"),
        asking("Hello", model=OPUS),
        asking("Hello", model=OLD, thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2000),
        asking("Hello", model=OPUS, thinking={"type": "adaptive", "display": "summarized"}),
        asking("What is the weather in Paris and in Rome? Ask both.", tools=[WEATHER, CLOCK]),
        asking("What is the weather in Paris?", tools=[WEATHER], max_tokens=20),
        asking("Hello", stop_sequences=["upstream"]),
        asking("[[long 300]]", max_tokens=100),
        asking("[[refuse]]"),
        asking("[[empty]]"),
        asking("[[think]] Hello"),
        asking([{"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}]),
    ],
    ids=lambda request: str(request["messages"][0]["content"])[:30],
)
async def test_a_stream_assembles_to_the_message_that_is_not_streamed(
    client: AsyncAnthropic, request_: dict[str, Any]
) -> None:
    whole = await client.messages.create(**request_)

    assert without_ids(await streamed(client, request_)) == without_ids(whole)


async def test_the_same_request_gets_the_same_words(client: AsyncAnthropic) -> None:
    first, second = [await client.messages.create(**asking("Twice")) for _ in range(2)]

    assert without_ids(first) == without_ids(second)
    assert first.id != second.id


async def test_a_stream_is_framed_as_upstream_frames_it(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/messages", json=asking("Hello", stream=True))
    events = [event.split("\n") for event in response.text.removesuffix("\n\n").split("\n\n")]
    values = [json.loads(data.removeprefix("data: ")) for _, data in events]

    assert response.headers["content-type"].startswith("text/event-stream")
    assert [name.removeprefix("event: ") for name, _ in events] == [value["type"] for value in values]
    kinds = [value["type"] for value in values if value["type"] != "content_block_delta"]
    assert kinds == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert any(data.endswith(" }") for _, data in events)
    assert "[DONE]" not in response.text
    assert values[0]["message"]["content"] == []
    assert values[-2]["usage"]["output_tokens"] > values[0]["message"]["usage"]["output_tokens"]


async def test_every_answer_carries_anthropics_headers(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/messages", json=asking("Hello"))

    assert response.headers["request-id"].startswith("req_")
    assert response.headers["anthropic-organization-id"]
    for bucket in ("requests", "tokens", "input-tokens", "output-tokens"):
        for what in ("limit", "remaining", "reset"):
            assert response.headers[f"anthropic-ratelimit-{bucket}-{what}"]


async def test_a_tool_is_called_with_arguments_that_fit_its_schema(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("What is the weather in New York in 3 days?", tools=[WEATHER]))
    preamble, call = message.content

    assert message.stop_reason == "tool_use"
    assert preamble.type == "text"
    assert call.type == "tool_use"
    assert call.name == "get_weather"
    assert call.input == {"city": "New York", "unit": "celsius", "days": 3}


async def test_a_tool_loop_ends_in_words_that_quote_the_results(client: AsyncAnthropic) -> None:
    request = asking("What is the weather in Paris?", model=OPUS, tools=[WEATHER])
    call = await client.messages.create(**request)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "19 degrees"}
        for block in call.content
        if block.type == "tool_use"
    ]
    request["messages"] += [
        {"role": "assistant", "content": call.content},
        {"role": "user", "content": results},
    ]

    answer = await client.messages.create(**request)

    assert answer.stop_reason == "end_turn"
    assert "get_weather answered “19 degrees”" in text_of(answer)


@pytest.mark.parametrize(
    ("text", "more", "calls"),
    [
        ("Use get_time and get weather", {}, ["get_time", "get_weather"]),
        ("Weather in both Paris and Rome", {}, ["get_weather:Paris", "get_weather:Rome"]),
        ("Try the tools in parallel", {}, ["get_weather", "get_time"]),
        ("Try a tool", {}, ["get_weather"]),
        (
            "Use get_time and get_weather",
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            ["get_time"],
        ),
        ("Weather, please", {"tool_choice": {"type": "none"}}, []),
        ("Good morning", {}, []),
        ("Good morning", {"tool_choice": {"type": "any"}}, ["get_weather"]),
        ("Good morning", {"tool_choice": {"type": "tool", "name": "get_time"}}, ["get_time"]),
    ],
)
async def test_the_words_of_a_prompt_decide_which_tools_are_called(
    client: AsyncAnthropic, text: str, more: dict[str, Any], calls: list[str]
) -> None:
    message = await client.messages.create(**asking(text, tools=[WEATHER, CLOCK], **more))
    made = [block for block in message.content if block.type == "tool_use"]

    assert [block.name for block in made] == [call.partition(":")[0] for call in calls]
    assert [block.input["city"] for block in made if "city" in block.input] == [
        call.partition(":")[2] or "Paris" for call in calls if call.startswith("get_weather")
    ]


async def test_no_words_precede_a_forced_call(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("Hello", tools=[CLOCK], tool_choice={"type": "any"}))

    assert [block.type for block in message.content] == ["tool_use"]


async def test_a_call_without_arguments_streams_none(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/messages", json=asking("Use get_time", tools=[CLOCK], stream=True))

    assert response.text.count('"partial_json"') == 1
    assert '"partial_json":""' in response.text


async def test_a_thought_is_kept_back_where_that_is_the_default(client: AsyncAnthropic) -> None:
    thought, text = (await client.messages.create(**asking("Hello", model=OPUS))).content

    assert thought.type == "thinking"
    assert thought.thinking == ""
    assert thought.signature
    assert text.type == "text"


async def test_a_thought_is_shown_when_a_summary_is_asked_for(client: AsyncAnthropic) -> None:
    thinking = {"type": "adaptive", "display": "summarized"}
    message = await client.messages.create(**asking("Hello", model=OPUS, thinking=thinking))

    assert message.content[0].type == "thinking"
    assert "“Hello”" in message.content[0].thinking
    assert message.usage.output_tokens_details is not None
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


async def test_a_model_that_may_be_quiet_is_quiet(client: AsyncAnthropic) -> None:
    request = asking("Hello", model="claude-haiku-5-5", thinking={"type": "disabled"})

    assert [block.type for block in (await client.messages.create(**request)).content] == ["text"]


@pytest.mark.parametrize(
    ("block", "seen"),
    [
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            f"1. image/png image of {len(PNG)} bytes",
        ),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": b"%PDF-1.7"}},
            "1. application/pdf document of 8 bytes",
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
            "1. text/plain document of 7 bytes",
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}, "at https://a.example/b.png"),
    ],
)
async def test_attachments_are_described_by_type_and_size(
    client: AsyncAnthropic, block: dict[str, Any], seen: str
) -> None:
    data = block["source"].get("data")
    if isinstance(data, bytes):
        block = {**block, "source": {**block["source"], "data": base64.b64encode(data).decode()}}

    message = await client.messages.create(**asking([block, {"type": "text", "text": "What is this?"}]))

    assert "I see 1 attachment:" in text_of(message)
    assert seen in text_of(message)


async def test_structured_output_fits_its_schema(client: AsyncAnthropic) -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "size": {"$ref": "#/$defs/size"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "mayor": {"anyOf": [{"type": "null"}, {"type": "string", "format": "email"}]},
            "rank": {"type": ["integer", "null"]},
        },
        "$defs": {"size": {"enum": ["big", "small"]}},
        "required": ["city", "size", "tags", "mayor", "rank"],
        "additionalProperties": False,
    }
    output = {"format": {"type": "json_schema", "schema": schema}}

    message = await client.messages.create(**asking("A city of Rome with 7 hills", output_config=output))

    assert json.loads(text_of(message)) == {
        "city": "Rome",
        "size": "big",
        "tags": ["A city of Rome with 7 hills"],
        "mayor": "someone@example.com",
        "rank": 7,
    }


async def test_a_stop_sequence_ends_the_text_and_is_named(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("one two three", stop_sequences=["three", "two"]))

    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "two")
    assert text_of(message) == "You said: “one "


async def test_max_tokens_ends_the_text(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("Hello", model=OPUS, max_tokens=16))

    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 16
    assert [block.type for block in message.content] == ["thinking", "text"]


async def test_max_tokens_can_cut_a_call_in_its_arguments(client: AsyncAnthropic) -> None:
    request = asking("Weather in Paris", tools=[WEATHER], max_tokens=15)
    message = await client.messages.create(**request)

    assert message.stop_reason == "max_tokens"
    assert message.content[-1].type == "tool_use"
    assert message.content[-1].input == {"city": "Paris"}


async def test_no_tokens_only_write_the_cache(client: AsyncAnthropic) -> None:
    message = await client.messages.create(
        **asking("word " * 3000, max_tokens=0), cache_control={"type": "ephemeral", "ttl": "1h"}
    )

    assert message.content == []
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 0
    assert message.usage.cache_creation is not None
    assert message.usage.cache_creation.ephemeral_1h_input_tokens > 3000


async def test_marked_history_reads_as_cached_and_all_counts_add_up(client: AsyncAnthropic) -> None:
    mark = {"type": "ephemeral"}
    messages = [
        {"role": "user", "content": "word " * 3000},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": "more " * 1000, "cache_control": mark}]},
        {"role": "assistant", "content": "Go on."},
        {"role": "user", "content": "end " * 100},
    ]
    usage = (await client.messages.create(model=QUIET, max_tokens=100, messages=messages[:3])).usage  # type: ignore[arg-type]
    later = (await client.messages.create(model=QUIET, max_tokens=100, messages=messages)).usage  # type: ignore[arg-type]
    counted = await client.messages.count_tokens(model=QUIET, messages=messages)  # type: ignore[arg-type]

    assert usage.cache_read_input_tokens == 3754
    assert usage.cache_creation_input_tokens == 1259
    assert (later.cache_read_input_tokens, later.cache_creation_input_tokens) == (5013, 0)
    assert later.input_tokens + 5013 == counted.input_tokens


async def test_a_prompt_below_the_models_minimum_is_not_cached(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("short", cache_control={"type": "ephemeral"}))

    assert message.usage.cache_creation_input_tokens == 0


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_can_be_ordered(wire: httpx2.AsyncClient, status: int, error_type: str, stream: bool) -> None:
    response = await wire.post("/v1/messages", json=asking(f"Now [[error {status}]]", stream=stream))
    body = response.json()

    assert response.status_code == status
    assert (body["type"], body["error"]["type"]) == ("error", error_type)
    assert body["request_id"] == response.headers["request-id"]
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)


async def test_only_the_last_user_text_gives_orders(client: AsyncAnthropic) -> None:
    messages = [
        {"role": "user", "content": "[[error 500]]"},
        {"role": "assistant", "content": "[[error 500]]"},
        {"role": "user", "content": "And now?"},
    ]
    message = await client.messages.create(**asking("", messages=messages))

    assert message.stop_reason == "end_turn"


async def test_an_error_can_break_a_stream_off(wire: httpx2.AsyncClient, client: AsyncAnthropic) -> None:
    request = asking("[[error 529 mid-stream]]")
    events = (await wire.post("/v1/messages", json={**request, "stream": True})).text

    assert "content_block_delta" in events
    assert "content_block_stop" not in events
    assert events.rpartition("event: ")[2].startswith("error")
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        await streamed(client, request)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_drops_the_connection_without_a_word_in_the_log(
    wire: httpx2.AsyncClient, upstream: RunningUpstream, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await wire.post("/v1/messages", json=asking("[[cut]]", stream=stream))

    assert await upstream.received[-1].finished() is Ending.CUT
    assert not [record for record in caplog.records if record.levelname != "INFO"]


async def test_a_refusal_can_be_ordered(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("[[refuse]]"))

    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.category == "general_harms"


async def test_silence_can_be_ordered(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("[[empty]]", model=OPUS))

    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "end_turn", 2)


async def test_length_can_be_ordered(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("[[long 500]]"))

    assert message.usage.output_tokens == 500
    assert len(text_of(message)) == 2000


async def test_a_thought_can_be_ordered_from_a_model_that_would_not_think(client: AsyncAnthropic) -> None:
    message = await client.messages.create(**asking("[[think]]"))

    assert message.content[0].type == "thinking"


async def test_a_client_that_leaves_is_noticed_in_the_middle_of_a_pause(
    wire: httpx2.AsyncClient, upstream: RunningUpstream
) -> None:
    async with wire.stream("POST", "/v1/messages", json=asking("[[slow]]", stream=True)) as response:
        assert response.status_code == 200

    assert await upstream.received[-1].finished() is Ending.ABANDONED


@pytest.mark.parametrize("sent", [1.0, 0.5])
async def test_a_client_that_leaves_is_noticed_while_its_answer_or_its_body_is_awaited(
    upstream: RunningUpstream, caplog: pytest.LogCaptureFixture, sent: float
) -> None:
    body = json.dumps(asking("[[slow]]")).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: any\r\nanthropic-version: 2026-10-21\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(*upstream.base_url.removeprefix("http://").split(":"))
    writer.write(head.encode() + body[: int(len(body) * sent)])
    while not upstream.received:  # noqa: ASYNC110
        await asyncio.sleep(0)
    writer.close()

    assert await upstream.received[-1].finished() is Ending.ABANDONED
    assert not caplog.records


async def test_the_end_of_the_upstream_hangs_up_on_those_who_still_listen() -> None:
    async with httpx2.AsyncClient(verify=False) as client:
        async with run_simulated_upstream() as upstream:
            headers = {"x-api-key": "any", "anthropic-version": "2026-10-21"}
            request = client.build_request(
                "POST", f"{upstream.base_url}/v1/messages", json=asking("[[slow]]", stream=True), headers=headers
            )
            response = await client.send(request, stream=True)
        with pytest.raises(httpx2.TransportError):
            await response.aread()

    assert upstream.received[-1].ending is Ending.ABANDONED


async def test_requests_are_kept_for_inspection(wire: httpx2.AsyncClient, upstream: RunningUpstream) -> None:
    await wire.post("/v1/messages", json=asking("Remember me"), headers={"x-custom": "yes"})
    received = upstream.received[-1]

    assert (received.method, received.path) == ("POST", "/v1/messages")
    assert received.headers["x-custom"] == "yes"
    assert received.body == asking("Remember me")
    assert await received.finished() is Ending.COMPLETE


async def test_the_front_page_says_what_this_is(wire: httpx2.AsyncClient) -> None:
    page = (await wire.get("/")).json()

    assert "simulated" in page["name"]
    assert page["orders"] == ORDERS


async def test_models_are_listed_page_by_page(client: AsyncAnthropic) -> None:
    first = await client.models.list(limit=5)
    everything = [model async for model in client.models.list(limit=5)]

    assert len(first.data) == 5
    assert first.has_more
    assert [model.id for model in everything][:5] == [model.id for model in first.data]
    assert len({model.id for model in everything}) == len(everything) > 15


async def test_a_models_page_can_end_before_a_model(client: AsyncAnthropic) -> None:
    everything = (await client.models.list(limit=100)).data
    page = await client.models.list(limit=2, before_id=everything[4].id)

    assert [model.id for model in page.data] == [model.id for model in everything[2:4]]
    assert page.has_more


async def test_a_model_tells_what_it_can_do_also_under_its_alias(client: AsyncAnthropic) -> None:
    model = await client.models.retrieve("claude-haiku-4-5")

    assert model.id == "claude-haiku-4-5-20251001"
    assert model.max_tokens == 64_000
    assert model.capabilities is not None
    assert not model.capabilities.effort.supported
    assert model.capabilities.thinking.types.enabled.supported
    assert not model.capabilities.thinking.types.adaptive.supported


async def test_an_unknown_model_is_not_found(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: claude-none"):
        await client.models.retrieve("claude-none")


async def test_an_unknown_path_is_not_found(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/complete", json={})

    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"
