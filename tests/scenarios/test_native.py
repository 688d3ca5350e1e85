"""Native requests: with the pool's key and the model's alias, everything else as it came."""

import json
from typing import Any

import pytest

from gateway.config import TranslationConfig
from tests.scenarios.harness import KEY_A, KEY_B, no_lease_is_out, quick_gateway
from tests.scenarios.native_harness import COUNT_PATH, PATH, asking_natively, assert_native_error
from tests.support import messages
from tests.support.gateway import ClientConfig, Config, Secret, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, json_answer

ANSWER = messages.message("Good day")
RESTRICTED: list[tuple[str, Any]] = [
    ("speed", "fast"),
    ("inference_geo", "us"),
    ("mcp_servers", [{"type": "url", "url": "https://example.com/mcp", "name": "x"}]),
    ("container", "container_1"),
]


async def test_a_body_goes_and_comes_byte_for_byte(upstream: ScriptedUpstream) -> None:
    body = b'{ "model":"claude-sonnet-5-5", "max_tokens": 1e3,"messages":[],"of_tomorrow": {"b":1,"a":2}}\n'
    upstream.script(json_answer(200, ANSWER))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, content=body)
        await no_lease_is_out(running)

    assert upstream.received[0].body == body
    assert response.status_code == 200
    assert response.json() == ANSWER
    assert response.headers["request-id"] != response.headers["x-request-id"]


async def test_an_alias_is_the_only_thing_that_changes(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, ANSWER))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, content=b'{"x": {"model": "gpt-5"}, "model" : "gpt-5", "n":1.0}')

    assert upstream.received[0].body == b'{"x": {"model": "gpt-5"}, "model" : "claude-sonnet-5-5", "n":1.0}'


async def test_version_and_betas_go_on_and_the_callers_key_does_not(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, ANSWER))
    config = config_for(
        key(upstream.base_url, "a", KEY_A), clients=[ClientConfig(name="app", api_key=Secret("the-key-of-the-app"))]
    )
    headers = {"x-api-key": "the-key-of-the-app", "anthropic-version": "2023-06-01", "anthropic-beta": "one, two"}
    async with quick_gateway(config=config) as running:
        response = await running.http().post(PATH, json=asking_natively(), headers=headers)

    assert response.status_code == 200
    sent = upstream.received[0]
    assert sent.api_key == KEY_A
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.headers["anthropic-beta"].replace(" ", "") == "one,two"
    assert "the-key-of-the-app" not in json.dumps(dict(sent.headers))


async def test_counting_tokens_has_its_own_path_upstream(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, {"input_tokens": 12}))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(COUNT_PATH, json={"model": "gpt-5", "messages": []})

    assert response.json() == {"input_tokens": 12}
    assert upstream.received[0].path == COUNT_PATH
    assert upstream.received[0].json == {"model": "claude-sonnet-5-5", "messages": []}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 1}', b'{"messages": []}', b"\xff"])
async def test_what_cannot_be_read_is_refused_in_anthropics_shape(upstream: ScriptedUpstream, body: bytes) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, content=body)

    assert_native_error(response, 400, "invalid_request_error")
    assert upstream.received == []


async def test_a_wrong_method_and_a_wrong_address_have_anthropics_shape(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        assert_native_error(await running.http().get(PATH), 405, "invalid_request_error")
        assert_native_error(await running.http().post(PATH + "/batches", json={}), 404, "not_found_error")
        # The other endpoint is not changed by that.
        assert "code" in (await running.http().post("/v1/chat/completions", json={})).json()["error"]


@pytest.mark.parametrize(("name", "value"), RESTRICTED)
async def test_what_costs_or_reaches_out_is_refused_until_it_is_allowed(
    upstream: ScriptedUpstream, name: str, value: Any
) -> None:
    upstream.always(json_answer(200, ANSWER))
    allowed: Any = (name,)
    config: Config = with_settings(
        config_for(key(upstream.base_url)), translation=TranslationConfig(allow_native=allowed)
    )
    async with quick_gateway(key(upstream.base_url)) as running:
        refused = await running.http().post(PATH, json={**asking_natively(), name: value})
        absent = await running.http().post(PATH, json={**asking_natively(), name: None})
    async with quick_gateway(config=config) as running:
        passed = await running.http().post(PATH, json={**asking_natively(), name: value})

    assert name in assert_native_error(refused, 400, "invalid_request_error")["message"]
    assert (absent.status_code, passed.status_code) == (200, 200)
    assert upstream.received[-1].json[name] == value


async def test_with_a_key_of_their_own_callers_may_use_everything(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, ANSWER))
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        response = await running.http().post(
            PATH, json=asking_natively(speed="fast"), headers={"x-api-key": KEY_B, "anthropic-version": "2023-06-01"}
        )

    assert response.status_code == 200
    assert upstream.received[0].api_key == KEY_B
