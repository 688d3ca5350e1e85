"""Upstream refuses what the gateway itself had chosen: it is taken back, and remembered for a day."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.service.forms import MAX_LESSONS
from gateway.service.lessons import EVERYBODY, LESSON_SECONDS, Lessons, LessonScope
from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    Clock,
    assert_error,
    assert_whole,
    no_lease_is_out,
    quick_gateway,
    without_pauses,
)
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    RetriesConfig,
    RunningGateway,
    Secret,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import Answer, ScriptedUpstream, error_answer, json_answer, scripted_upstream, stream_answer
from translators.hosts import HostProfile
from translators.models import model_table

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])

USE_ADAPTIVE = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
NO_TEMPERATURE = "`temperature` is deprecated for this model."
NO_XHIGH = "This model does not support effort level 'xhigh'. Supported levels: low, medium, high, max"
NO_SYSTEM = (
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter,'
    ' not "system" as an input message role.'
)
NO_PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
NO_DISABLED = f'"thinking.type.disabled" is not supported for this model. {USE_ADAPTIVE}'
NO_FORCE = "tool_choice: forced tool use ('tool') is not supported for this model. Use 'auto'."
USER = {"role": "user", "content": "Hi"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


MARK = {"type": "ephemeral"}
CITY = TOOL["function"]["parameters"]
PLAIN: dict[str, Any] = {"model": "claude-opus-5", "messages": [USER], "max_tokens": 2000}


def refusing(message: str) -> Answer:
    return error_answer(400, "invalid_request_error", message)


def served(stream: bool = False) -> Answer:
    return stream_answer(*messages.text_stream()) if stream else json_answer(200, messages.message())


def warm(**more: Any) -> dict[str, Any]:
    """A request with a temperature, for a model of which the table says that it honours one."""
    return {"model": "claude-sonnet-4-6", "messages": [USER], "max_tokens": 2000, "temperature": 0.5, **more}


def bodies(upstream: ScriptedUpstream) -> list[Any]:
    return [request.json for request in upstream.received]


def with_clock(running: RunningGateway) -> Clock:
    """Let what was learned grow old by a clock of the test's own."""
    return without_pauses(running)


def of_system(body: Any) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


# What is refused, the request that has it, and what of a body tells whether it is there.
LESSONS: dict[str, tuple[str, dict[str, Any], Callable[[Any], Any], str | None]] = {
    "temperature": (NO_TEMPERATURE, warm(), lambda body: "temperature" in body, "temperature=dropped:model"),
    "effort": (
        NO_XHIGH,
        {"model": "claude-opus-5", "messages": [USER], "max_tokens": 2000, "reasoning_effort": "xhigh"},
        lambda body: body["output_config"]["effort"] == "xhigh",
        "reasoning_effort=xhigh->high:model",
    ),
    "system-message": (
        NO_SYSTEM,
        {
            "model": "claude-opus-5-5",
            "messages": [USER, {"role": "assistant", "content": "Yes?"}, USER, {"role": "system", "content": "Brief."}],
            "max_tokens": 2000,
        },
        of_system,
        None,
    ),
    "prefill": (
        NO_PREFILL,
        {
            "model": "claude-opus-4-5",
            "messages": [USER, {"role": "assistant", "content": "It is"}],
            "max_tokens": 2000,
        },
        lambda body: body["messages"][-1]["role"] == "assistant",
        "messages=prefill->continue:model",
    ),
    "thinking-disabled": (
        NO_DISABLED,
        {"model": "claude-haiku-5-5", "messages": [USER], "max_tokens": 2000, "reasoning_effort": "none"},
        lambda body: "thinking" in body,
        "reasoning_effort=none->low:model",
    ),
    "max-tokens": (
        "max_tokens: 20000 > 8192, which is the maximum allowed number of output tokens for claude-opus-5",
        {"model": "claude-opus-5", "messages": [USER], "max_tokens": 20000},
        lambda body: body["max_tokens"] > 8192,
        "max_tokens=20000->8192:model",
    ),
    "effort-as-such": (
        "This model does not support the effort parameter.",
        # A model that nobody knows gets the newest row; a small limit makes the gateway choose an effort.
        {"model": "claude-nova-3", "messages": [USER], "max_tokens": 100},
        lambda body: "output_config" in body,
        None,
    ),
    "effort-of-the-callers": (
        "output_config.effort: Extra inputs are not permitted",
        {**PLAIN, "output_config": {"effort": "low"}},
        lambda body: "output_config" in body,
        "output_config.effort=dropped:model",
    ),
    "thinking-as-such": (
        "thinking: Extra inputs are not permitted",
        {**PLAIN, "reasoning_effort": "low"},
        lambda body: "thinking" in body,
        None,
    ),
    "display": (
        "thinking.adaptive.display: Extra inputs are not permitted",
        {**PLAIN, "reasoning_effort": "low"},
        lambda body: "display" in body["thinking"],
        None,
    ),
    "display-of-the-callers": (
        "Unexpected value(s) `thinking-display-updates-2026-08-18` for the `anthropic-beta` header.",
        {**PLAIN, "thinking": {"type": "adaptive", "display": "updates"}},
        lambda body: "display" in body["thinking"],
        "thinking.display=dropped:model",
    ),
    "form": (
        "This model does not support structured outputs.",
        {**PLAIN, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": CITY}}},
        lambda body: "output_config" in body,
        "response_format=json_schema->tool:model",
    ),
    "strict": (
        "tools.0.custom.strict: Extra inputs are not permitted",
        {**PLAIN, "tools": [{"type": "function", "function": {**TOOL["function"], "strict": True}}]},
        lambda body: "strict" in body["tools"][0],
        "tools.strict=dropped:model",
    ),
    "marks": (
        "system.0.cache_control: Extra inputs are not permitted",
        {**PLAIN, "messages": [{"role": "system", "content": "Be brief.", "cache_control": MARK}, USER]},
        lambda body: "cache_control" in str(body),
        "cache_control=dropped:model",
    ),
    "lifetime-of-a-mark": (
        "messages.0.content.0.text.cache_control.ephemeral.ttl: Extra inputs are not permitted",
        {**PLAIN, "messages": [{**USER, "cache_control": {**MARK, "ttl": "1h"}}]},
        lambda body: "ttl" in str(body),
        "cache_control=1h->5m:model",
    ),
    "context-management": (
        "context_management: Extra inputs are not permitted",
        {**PLAIN, "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        lambda body: "context_management" in body,
        "context_management=dropped:model",
    ),
    "service-tier": (
        "`service_tier` is not supported for this model.",
        {**PLAIN, "service_tier": "default"},
        lambda body: "service_tier" in body,
        "service_tier=dropped:model",
    ),
    "user": (
        "metadata: Extra inputs are not permitted",
        {**PLAIN, "user": "u-1"},
        lambda body: "metadata" in body,
        "user=dropped:model",
    ),
    "stop": (
        "stop_sequences: Extra inputs are not permitted",
        {**PLAIN, "stop": ["END"]},
        lambda body: "stop_sequences" in body,
        "stop=dropped:model",
    ),
    "one-call-at-a-time": (
        "tool_choice.auto.disable_parallel_tool_use: Extra inputs are not permitted",
        {**PLAIN, "tools": [TOOL], "parallel_tool_calls": False},
        lambda body: "tool_choice" in body,
        "parallel_tool_calls=dropped:model",
    ),
}


@both
@pytest.mark.parametrize("name", LESSONS)
async def test_what_the_gateway_chose_is_taken_back_and_the_caller_notices_nothing(
    upstream: ScriptedUpstream, name: str, stream: bool
) -> None:
    message, request, has_it, adjusted = LESSONS[name]
    upstream.script(refusing(message), served(stream), served(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)
        http = running.http()

        response = await http.post(PATH, json={**request, "stream": stream})
        again = await http.post(PATH, json={**request, "stream": stream})
        await no_lease_is_out(running)

    assert response.status_code == 200, response.text
    assert again.status_code == 200
    if stream:
        assert_whole(response.text)
    assert [has_it(body) for body in bodies(upstream)] == [True, False, False]
    # It is named, as in any other adjusted request; and nobody had to wait.
    assert response.headers.get("x-gateway-adjusted") == again.headers.get("x-gateway-adjusted") == adjusted
    assert clock.pauses == []


@both
async def test_a_forced_tool_that_is_refused_becomes_a_schema(upstream: ScriptedUpstream, stream: bool) -> None:
    answer = '{"city":"Fez"}'
    whole = json_answer(200, messages.message(answer))
    upstream.script(refusing(NO_FORCE), stream_answer(*messages.text_stream(answer)) if stream else whole)
    choice = {"type": "function", "function": {"name": "get_weather"}}
    asked = {"model": "claude-haiku-5-5", "messages": [USER], "max_tokens": 2000, "tools": [TOOL], "stream": stream}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json={**asked, "tool_choice": choice})

    first, second = bodies(upstream)
    assert response.status_code == 200, response.text
    assert first["tool_choice"]["type"] == "tool"
    assert second["tool_choice"]["type"] == "none"
    assert second["output_config"]["format"]["type"] == "json_schema"
    assert '"name":"get_weather"' in response.text


async def test_a_form_that_is_refused_where_no_tool_can_be_forced_becomes_words(upstream: ScriptedUpstream) -> None:
    upstream.script(
        refusing("output_config.format: Extra inputs are not permitted"), stream_answer(*messages.text_stream())
    )
    asked = {**PLAIN, "model": "claude-opus-5-5", "tools": [TOOL], "tool_choice": "required", "stream": True}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asked)

    first, second = bodies(upstream)
    assert response.status_code == 200, response.text
    assert first["output_config"]["format"]["type"] == "json_schema"
    assert "output_config" not in second
    assert response.headers["x-gateway-adjusted"] == "tool_choice=required->auto:model"


async def test_a_model_that_nobody_knows_and_that_lacks_much_is_answered_from_then_on(
    upstream: ScriptedUpstream,
) -> None:
    def older(request: Any) -> Answer:
        body = request.json
        if "effort" in body.get("output_config", {}):
            return refusing("This model does not support the effort parameter.")
        if "output_config" in body:
            return refusing("This model does not support structured outputs.")
        if "adaptive" in str(body.get("thinking")):
            return refusing("adaptive thinking is not supported on this model")
        return served()

    upstream.always(older)
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": CITY}}
    asked = {"model": "claude-nova-3", "messages": [USER], "max_tokens": 500, "response_format": schema}
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        answers = [await http.post(PATH, json={**asked, "reasoning_effort": "low"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(upstream.received) == 3 + 3


async def test_the_second_body_is_the_first_without_the_field(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(NO_TEMPERATURE), served())
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=warm())

    first, second = bodies(upstream)
    assert {name: value for name, value in first.items() if name != "temperature"} == second
    # Section 1.4: the old version is for requests with sampling fields only.
    assert [request.headers["anthropic-version"] for request in upstream.received] == ["2023-06-01", "2026-10-21"]


@both
@pytest.mark.parametrize(
    "message",
    [
        "temperature: range: 0..1",
        "messages.9.content: Input should be a valid string",
        "tools.0.custom.input_schema.type: Field required",
        "messages: text content blocks must contain non-whitespace text",
        "Thinking may not be enabled when tool_choice forces tool use.",
        "No.",
    ],
)
async def test_a_400_about_what_the_caller_wrote_is_passed_on_at_once(
    upstream: ScriptedUpstream, message: str, stream: bool
) -> None:
    upstream.always(refusing(message))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        response = await running.http().post(PATH, json=warm(stream=stream))

    assert assert_error(response, 400, "invalid_request_error", None)["message"] == message
    assert len(upstream.received) == 1


@both
async def test_a_refusal_that_does_not_go_away_reaches_the_caller(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(refusing(NO_TEMPERATURE))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=warm(stream=stream))

    error = assert_error(response, 400, "invalid_request_error", None)
    assert (error["message"], error["param"]) == (NO_TEMPERATURE, "temperature")
    assert len(upstream.received) == 2


@both
async def test_several_lessons_may_be_learned_for_one_request(upstream: ScriptedUpstream, stream: bool) -> None:
    request = {
        "model": "claude-opus-4-5",
        "messages": [USER, {"role": "assistant", "content": "It is"}],
        "max_tokens": 20_000,
        "temperature": 0.5,
        "stream": stream,
    }
    refusals = [NO_TEMPERATURE, NO_PREFILL, "max_tokens: 20000 > 9000, which is the maximum allowed number"]
    upstream.script(*map(refusing, refusals), served(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request)

    assert response.status_code == 200, response.text
    assert len(upstream.received) == MAX_LESSONS + 1
    last = bodies(upstream)[-1]
    assert "temperature" not in last
    assert last["max_tokens"] == 9000
    assert last["messages"][-1]["role"] == "user"


async def test_no_more_lessons_than_the_limit_are_learned_for_one_request(upstream: ScriptedUpstream) -> None:
    def always_less(request: Any) -> Answer:
        limit = request.json["max_tokens"]
        return refusing(f"max_tokens: {limit} > {limit - 1}, which is the maximum allowed number of output tokens")

    upstream.always(always_less)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=warm())

    assert_error(response, 400, "invalid_request_error", None)
    assert [body["max_tokens"] for body in bodies(upstream)] == [2000, 1999, 1998, 1997]
    assert len(upstream.received) == MAX_LESSONS + 1


@both
async def test_a_lesson_is_learned_even_where_nothing_is_repeated(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.script(refusing(NO_TEMPERATURE), served(stream))
    config = with_settings(config_for(key(upstream.base_url)), retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config) as running:
        response = await running.http().post(PATH, json=warm(stream=stream))

    assert response.status_code == 200


# How long it is known, and of whom.


async def test_a_lesson_is_kept_for_a_day(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(NO_TEMPERATURE))
    upstream.always(served())
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = with_clock(running)
        http = running.http()
        await http.post(PATH, json=warm())
        clock.now += 24 * 3600 - 1
        await http.post(PATH, json=warm())
        clock.now += 2
        await http.post(PATH, json=warm())

    assert LESSON_SECONDS == 24 * 3600
    assert ["temperature" in body for body in bodies(upstream)] == [True, False, False, True]


async def test_a_lesson_can_be_learned_anew_when_it_was_forgotten(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(NO_TEMPERATURE), served(), refusing(NO_TEMPERATURE), served(), served())
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = with_clock(running)
        http = running.http()
        answers = [await http.post(PATH, json=warm())]
        clock.now += LESSON_SECONDS + 1
        answers += [await http.post(PATH, json=warm()) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert ["temperature" in body for body in bodies(upstream)] == [True, False, True, False, False]


async def test_a_lesson_holds_for_its_model_only(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(NO_TEMPERATURE))
    upstream.always(served())
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        await http.post(PATH, json=warm())
        await http.post(PATH, json=warm(model="claude-opus-4-6"))

    assert ["temperature" in body for body in bodies(upstream)] == [True, False, True]


async def test_a_lesson_holds_for_all_keys_of_its_host(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(NO_TEMPERATURE))
    upstream.always(served())
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        http = running.http()
        for _ in range(4):
            assert (await http.post(PATH, json=warm())).status_code == 200

    assert {request.api_key for request in upstream.received[1:]} == {KEY_A, KEY_B}
    assert ["temperature" in body for body in bodies(upstream)] == [True, *[False] * 4]


async def test_a_lesson_does_not_hold_for_another_host(upstream: ScriptedUpstream) -> None:
    async with scripted_upstream() as other:
        upstream.script(refusing(NO_TEMPERATURE))
        upstream.always(served())
        other.always(served())
        async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(other.base_url, "b", KEY_B)) as running:
            http = running.http()
            while not (upstream.received and other.received):
                assert (await http.post(PATH, json=warm())).status_code == 200
            for _ in range(4):
                assert (await http.post(PATH, json=warm())).status_code == 200

    assert len(bodies(upstream)) > 2
    assert ["temperature" in body for body in bodies(upstream)] == [True, *[False] * (len(bodies(upstream)) - 1)]
    assert all("temperature" in body for body in bodies(other))


async def test_a_callers_own_key_is_taught_the_same(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(NO_TEMPERATURE), served())
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        headers = {"authorization": f"Bearer {KEY_A}"}
        response = await running.http().post(PATH, json=warm(), headers=headers)

    assert response.status_code == 200, response.text
    assert ["temperature" in body for body in bodies(upstream)] == [True, False]


async def test_requests_that_do_not_have_the_field_are_written_as_before(upstream: ScriptedUpstream) -> None:
    plain = {name: value for name, value in warm().items() if name != "temperature"}
    upstream.script(served(), refusing(NO_TEMPERATURE), served(), served())
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        for request in (plain, warm(), plain):
            await http.post(PATH, json=request)

    assert upstream.received[0].body == upstream.received[-1].body


async def test_what_is_learned_is_logged(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    upstream.script(refusing(NO_TEMPERATURE), served(), served())
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        for _ in range(2):
            await http.post(PATH, json=warm())

    lines = [line for line in read_log().splitlines() if "An upstream error has corrected" in line]
    assert len(lines) == 1
    assert "claude-sonnet-4-6" in lines[0]


# Several at once.


@both
async def test_choices_that_are_refused_together_learn_together(upstream: ScriptedUpstream, stream: bool) -> None:
    def answer(request: Any) -> Answer:
        return refusing(NO_TEMPERATURE) if "temperature" in request.json else served(stream)

    upstream.always(answer)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=warm(n=3, stream=stream))

    assert response.status_code == 200, response.text
    assert '"index":2' in response.text


@both
@pytest.mark.parametrize("size", [3_000, 100_000], ids=["small", "large"])
async def test_choices_that_wait_for_the_first_are_sent_as_it_has_learned(
    upstream: ScriptedUpstream, stream: bool, size: int
) -> None:
    def answer(request: Any) -> Answer:
        return refusing(NO_TEMPERATURE) if "temperature" in request.json else served(stream)

    upstream.always(answer)
    long = [{"type": "text", "text": "Hello. " * size, "cache_control": MARK}]
    asked = warm(n=3, stream=stream, messages=[{"role": "user", "content": long}])
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asked)

    assert response.status_code == 200, response.text
    assert ["temperature" in body for body in bodies(upstream)] == [True, False, False, False]


async def test_callers_who_are_refused_at_the_same_time_are_all_served(upstream: ScriptedUpstream) -> None:
    def answer(request: Any) -> Answer:
        return refusing(NO_TEMPERATURE) if "temperature" in request.json else served()

    upstream.always(answer)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        answers = await asyncio.gather(*(http.post(PATH, json=warm(user=str(number))) for number in range(6)))

    assert [response.status_code for response in answers] == [200] * 6


# Where the operator, or the caller, wants no adjustments.


@both
@pytest.mark.parametrize("choices", [1, 2])
async def test_who_wants_no_adjustments_is_told_of_what_was_learned(
    upstream: ScriptedUpstream, stream: bool, choices: int
) -> None:
    upstream.always(refusing(NO_TEMPERATURE))
    headers = {"x-gateway-on-unsupported": "reject"}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=warm(stream=stream, n=choices), headers=headers)
        asked = len(upstream.received)
        again = await running.http().post(PATH, json=warm(stream=stream, n=choices), headers=headers)

    assert response.status_code == again.status_code == 400
    assert response.json()["error"]["param"] == again.json()["error"]["param"] == "temperature"
    # Of several choices the first refusal ends the others, which may not have been asked by then.
    assert 1 <= len(upstream.received) == asked <= choices


# What must not be learned.


async def test_one_callers_odd_combination_does_not_change_what_others_get(upstream: ScriptedUpstream) -> None:
    # Haiku 5.5 takes `disabled`, but not beside an effort above high (section 11.2). Of the levels that it knows, the
    # gateway sends none above; one of tomorrow goes out as it is, and was the caller's own.
    upstream.script(refusing(f"\"thinking.type.disabled\" is not supported with effort 'ultra'. {USE_ADAPTIVE}"))
    upstream.always(served())
    quiet = {"model": "claude-haiku-5-5", "messages": [USER], "max_tokens": 2000, "reasoning_effort": "none"}
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        await http.post(PATH, json={**quiet, "output_config": {"effort": "ultra"}})
        await http.post(PATH, json=quiet)

    first, *_, last = bodies(upstream)
    assert (first["thinking"], first["output_config"]) == ({"type": "disabled"}, {"effort": "ultra"})
    assert last["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    "message",
    [
        "tools.0.custom.input_schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        "tools.0.custom.input_schema: Schema type 'oneOf' is not supported",
    ],
)
async def test_a_strict_schema_that_is_refused_is_sent_unstrict_and_remembered(
    upstream: ScriptedUpstream, message: str
) -> None:
    # `strict` goes out where the gateway believes that the schema it wrote is in the subset (section 1.3 of the design:
    # "A schema that is refused is remembered by its hash").
    upstream.script(refusing(message), served(), served())
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    request = {"model": "claude-sonnet-5-5", "messages": [USER], "max_tokens": 2000, "tools": [strict]}
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        answers = [await http.post(PATH, json=request) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [body["tools"][0].get("strict", False) for body in bodies(upstream)] == [True, False, False]


def strict_tool(name: str) -> dict[str, Any]:
    """A tool whose schema is like no other's."""
    properties = {name: {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": [name], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "strict": True, "parameters": schema}}


def loose_tool(name: str) -> dict[str, Any]:
    tool = strict_tool(name)
    tool["function"]["strict"] = False
    return tool


def with_tools(*tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5-5", "messages": [USER], "max_tokens": 2000, "tools": [*tools], **more}


def strict_in(body: Any) -> list[str]:
    return [tool["name"] for tool in body["tools"] if tool.get("strict")]


REFUSED = "tools.{}.custom.input_schema: Schema type 'oneOf' is not supported"
TOO_MANY_UNIONS = "Schemas contains too many parameters with union types (17 parameters with type arrays or anyOf)."
TOO_LARGE = "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas."
TOO_MUCH = "Schema is too complex for compilation. Try reducing the number of tools or simplify tool schemas."


async def test_only_the_schema_that_is_named_counts_as_refused(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(REFUSED.format(1)))
    upstream.always(served())
    tools = [strict_tool(name) for name in ("first", "second", "third")]
    async with quick_gateway(key(upstream.base_url)) as running:
        for _ in range(2):
            assert (await running.http().post(PATH, json=with_tools(*tools))).status_code == 200

    assert [strict_in(body) for body in bodies(upstream)] == [
        ["first", "second", "third"],
        ["first", "third"],
        ["first", "third"],
    ]


async def test_a_broken_schema_that_is_the_callers_own_teaches_nothing(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(REFUSED.format(1)))
    upstream.always(served())
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        refused = await http.post(PATH, json=with_tools(strict_tool("first"), loose_tool("broken")))
        await http.post(PATH, json=with_tools(strict_tool("first")))

    assert refused.status_code == 400
    assert [strict_in(body) for body in bodies(upstream)] == [["first"], ["first"]]


@pytest.mark.parametrize("message", [REFUSED.format(0), TOO_MUCH, TOO_MANY_UNIONS, TOO_LARGE])
async def test_one_callers_refused_schemas_change_nothing_for_others(upstream: ScriptedUpstream, message: str) -> None:
    upstream.script(refusing(message))
    upstream.always(served())
    clients = [ClientConfig(name=name, api_key=Secret(f"{name}-key-0123456789")) for name in ("one", "two")]
    tools = [strict_tool(name) for name in ("first", "second")]
    async with quick_gateway(config=config_for(key(upstream.base_url), clients=clients)) as running:
        for name in ("one", "two", "one"):
            headers = {"authorization": f"Bearer {name}-key-0123456789"}
            assert (await running.http().post(PATH, json=with_tools(*tools), headers=headers)).status_code == 200

    first, again, other, later = [strict_in(body) for body in bodies(upstream)]
    assert first == other == ["first", "second"]
    assert again == later != first


async def test_schemas_that_are_refused_without_a_name_are_refused_together_only(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(TOO_MUCH))
    upstream.always(served())
    first, second = strict_tool("first"), strict_tool("second")
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = with_clock(running)
        http = running.http()
        for tools in ([first, second], [first, second], [first], [second], [first, strict_tool("third")]):
            assert (await http.post(PATH, json=with_tools(*tools))).status_code == 200
        clock.now += LESSON_SECONDS + 1
        await http.post(PATH, json=with_tools(first, second))

    both_of_them = ["first", "second"]
    alone = [["first"], ["second"], ["first", "third"]]
    assert [strict_in(body) for body in bodies(upstream)] == [both_of_them, [], [], *alone, both_of_them]


async def test_a_large_request_is_written_without_what_is_refused_together(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(TOO_MUCH))
    upstream.always(served())
    asked = with_tools(strict_tool("first"), strict_tool("second"), user="x" * 100)
    asked["messages"] = [{"role": "user", "content": "Hi. " * 100_000}]
    async with quick_gateway(key(upstream.base_url)) as running:
        for _ in range(2):
            assert (await running.http().post(PATH, json=asked)).status_code == 200

    assert [strict_in(body) for body in bodies(upstream)] == [["first", "second"], [], []]


async def test_the_form_of_an_answer_is_refused_by_its_name(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing("output_config.format.schema: Schema type 'oneOf' is not supported"))
    upstream.always(served())
    schema = strict_tool("answer")["function"]["parameters"]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with quick_gateway(key(upstream.base_url)) as running:
        asked = with_tools(strict_tool("first"), response_format=form)
        assert (await running.http().post(PATH, json=asked)).status_code == 200

    assert ["format" in body.get("output_config", {}) for body in bodies(upstream)] == [True, False]
    assert [strict_in(body) for body in bodies(upstream)] == [["first"], ["first"]]


@both
async def test_a_form_that_is_too_large_becomes_a_tool_and_then_words(upstream: ScriptedUpstream, stream: bool) -> None:
    schema = strict_tool("answer")["function"]["parameters"]
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = served(stream)
    refused = "tools.0.custom.input_schema: JSON schema is invalid."
    upstream.script(refusing(f"output_config.format.schema: Invalid schema: {TOO_LARGE}"), refusing(refused), answer)
    async with quick_gateway(key(upstream.base_url)) as running:
        asked = {**with_tools(response_format=form), "model": "claude-haiku-4-5", "stream": stream}
        del asked["tools"]
        response = await running.http().post(PATH, json=asked)

    first, second, third = bodies(upstream)
    assert response.status_code == 200, response.text
    assert "format" in first["output_config"]
    assert second["tool_choice"] == {"type": "tool", "name": "answer", "disable_parallel_tool_use": True}
    assert "JSON Schema" in third["system"][-1]["text"]
    assert "tools" not in third


# What is remembered, without a network.


HOST = HostProfile(name="https://one.test")


def test_what_else_becomes_known_of_a_model_counts_beside_a_lesson() -> None:
    # The lesson is about one field (section 1.3 of the design); the list of models is fetched again every hour.
    lessons, row = Lessons(Clock()), model_table().row("claude-sonnet-4-6")
    lessons.learn(HOST, row.id, row, NO_TEMPERATURE)

    table = model_table()
    table.override(row.id, {"max_output": 1000})
    now = lessons.row(HOST, row.id, table.row(row.id))

    assert (now.sampling, now.max_output) == ("none", 1000)


def test_a_later_lesson_does_not_prolong_an_earlier_one() -> None:
    clock = Clock()
    lessons, row = Lessons(clock), model_table().row("claude-opus-4-5")
    lessons.learn(HOST, row.id, row, NO_TEMPERATURE)
    clock.now += LESSON_SECONDS / 2
    lessons.learn(HOST, row.id, row, NO_PREFILL)
    clock.now += LESSON_SECONDS / 2 + 1

    now = lessons.row(HOST, row.id, row)

    assert (now.sampling, now.prefill) == ("honoured", False)


def test_names_that_callers_make_up_do_not_fill_the_memory() -> None:
    lessons, row = Lessons(Clock()), model_table().row("claude-sonnet-4-6")

    for number in range(10_000):
        lessons.learn(HOST, f"model-{number}", row, NO_TEMPERATURE)

    assert lessons.row(HOST, "model-9999", row).sampling == "none"
    assert lessons.row(HOST, "model-0", row).sampling == "honoured"


def test_the_schemas_that_callers_write_do_not_fill_the_memory() -> None:
    lessons = Lessons(Clock())
    circles = [LessonScope(b"caller %d" % number) for number in range(2_000)]

    for circle in circles:
        for number in range(50):
            lessons.learn_schemas(HOST, "m" * 256, REFUSED.format(0), {"tools.0": f"{number:064}"}, circle)

    assert sum(map(len, lessons._schemas.values())) < 10_000
    assert lessons.refused_schemas(HOST, "m" * 256, circles[0]) == frozenset()
    assert f"{49:064}" in lessons.refused_schemas(HOST, "m" * 256, circles[-1])


def test_upstreams_words_do_not_fill_the_memory() -> None:
    lessons, row = Lessons(Clock()), model_table().row("claude-sonnet-4-6")

    for limit in range(1000, 0, -1):
        more = "x" * 60_000
        lessons.learn(HOST, row.id, row, f"max_tokens: 1001 > {limit}, which is the maximum {more}")

    (learned,) = lessons._learned.values()
    assert sum(map(len, learned.messages)) < 10_000
    assert lessons.row(HOST, row.id, row).max_output == 1


def test_whoever_brings_a_key_teaches_nobody_else() -> None:
    # Its account may have limits of its own.
    lessons, row = Lessons(Clock()), model_table().row("claude-sonnet-4-6")
    lessons.learn(HOST, row.id, row, NO_TEMPERATURE, LessonScope(b"key 1", owner=b"key 1"))

    assert lessons.row(HOST, row.id, row, LessonScope(b"key 1", owner=b"key 1")).sampling == "none"
    assert lessons.row(HOST, row.id, row, LessonScope(b"key 2", owner=b"key 2")) == row
    assert lessons.row(HOST, row.id, row, EVERYBODY) == row
