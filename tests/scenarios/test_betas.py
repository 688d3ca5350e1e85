"""`anthropic-beta` on endpoints of OpenAI's: what the operator allows goes on, the rest is named."""

from typing import Any

import pytest

from tests.scenarios.harness import KEY_A, PATH, assert_error, quick_gateway
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import json_answer, scripted_upstream

CHAT: dict[str, Any] = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2000}


async def test_allowed_betas_go_on_behind_those_that_the_request_needs() -> None:
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        upstream.always(json_answer(200, messages.message()))
        body = {**CHAT, "context_management": {"edits": []}}
        headers = [
            ("anthropic-beta", "context-1m-2025-08-07, context-management-2025-06-27"),
            ("anthropic-beta", "pdfs"),
        ]
        answer = await gateway.http().post(PATH, json=body, headers=headers)

    assert answer.status_code == 200
    assert "x-gateway-adjusted" not in answer.headers
    sent = upstream.received[0].headers["anthropic-beta"]
    assert sent == "context-management-2025-06-27,context-1m-2025-08-07,pdfs"


@pytest.mark.parametrize("path", [PATH, "/v1/completions"])
async def test_betas_that_are_not_allowed_are_named_and_stay_here(path: str) -> None:
    body = CHAT if path == PATH else {"model": "claude-opus-5", "prompt": "Hi", "max_tokens": 2000}
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        upstream.always(json_answer(200, messages.message()))
        answer = await gateway.http().post(path, json=body, headers={"anthropic-beta": "tomorrow-2027-01-01,pdfs"})

    assert answer.headers["x-gateway-adjusted"] == "anthropic-beta.tomorrow-2027-01-01=dropped:not-allowed"
    assert upstream.received[0].headers["anthropic-beta"] == "pdfs"


async def test_a_beta_that_cannot_be_sent_is_a_mistake_where_nothing_may_be_adjusted() -> None:
    headers = {"anthropic-beta": "tomorrow-2027-01-01", "x-gateway-on-unsupported": "reject"}
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        answer = await gateway.http().post(PATH, json=CHAT, headers=headers)

    assert_error(answer, 400, "invalid_request_error", "unsupported_parameter")
    assert answer.json()["error"]["param"] == "anthropic-beta.tomorrow-2027-01-01"
    assert upstream.received == []


async def test_what_is_no_name_of_a_beta_is_the_callers_mistake() -> None:
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        answer = await gateway.http().post(PATH, json=CHAT, headers={"anthropic-beta": "a b"})

    assert_error(answer, 400, "invalid_request_error", None)
