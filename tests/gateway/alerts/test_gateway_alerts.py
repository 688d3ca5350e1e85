"""A running gateway tells its operator of lost keys and of failures, and its callers wait for nothing."""

from pathlib import Path
from typing import Any

import pytest

from gateway.accounts.rules.definition import Definition
from gateway.alerts import watch
from gateway.config import AccountsConfig, AlertsConfig
from gateway.secret import Secret
from tests.scenarios.harness import KEY_A, KEY_B, PATH, asking, quick_gateway
from tests.support import messages
from tests.support.gateway import Config, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer, scripted_upstream

ANSWER = json_answer(200, messages.message([{"type": "text", "text": "Hello"}]))


def alerted(upstream: ScriptedUpstream, url: str, **alerts: Any) -> Config:
    config = config_for(key(upstream.base_url, "first", KEY_A), key(upstream.base_url, "second", KEY_B))
    return with_settings(config, alerts=AlertsConfig(url=Secret(url), **alerts))


async def test_a_rejected_key_is_reported(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(401, "authentication_error", f"invalid x-api-key {KEY_A}"), api_key=KEY_A)
    upstream.always(ANSWER, api_key=KEY_B)
    async with scripted_upstream() as receiver:
        receiver.always(json_answer(200, {}))
        async with quick_gateway(config=alerted(upstream, receiver.base_url)) as running:
            client = running.http()
            answers = [await client.post(PATH, json=asking()) for _ in range(2)]
            await receiver.wait_for_requests(1)

    assert [answer.status_code for answer in answers] == [200, 200]
    (request,) = receiver.received
    assert request.json["type"] == "key_rejected"
    assert request.json["data"]["key"] == "first"
    assert KEY_A not in request.body.decode()


async def test_two_processes_report_a_rejected_key_once(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(error_answer(401, "authentication_error", "invalid x-api-key"), api_key=KEY_A)
    upstream.always(ANSWER, api_key=KEY_B)
    async with scripted_upstream() as receiver:
        receiver.always(json_answer(200, {}))
        config = with_settings(
            alerted(upstream, receiver.base_url), accounts=AccountsConfig(path=str(tmp_path / "accounts.db"))
        )
        async with quick_gateway(config=config) as first, quick_gateway(config=config) as second:
            for running in (first, second):
                for _ in range(2):
                    await running.http().post(PATH, json=asking())
            await receiver.wait_for_requests(1)

    assert len(receiver.received) == 1


async def test_what_was_spent_of_a_budget_is_reported(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    usage = {"input_tokens": 1_000, "output_tokens": 6_000}
    upstream.always(json_answer(200, messages.message([{"type": "text", "text": "Hello"}], usage=usage)))
    async with scripted_upstream() as receiver:
        receiver.always(json_answer(200, {}))
        rule = Definition(id="monthly", what="money", amount=0.1, window="month")
        config = with_settings(alerted(upstream, receiver.base_url), rules=(rule,))
        async with quick_gateway(config=config) as running:
            answer = await running.http().post(PATH, json=asking())
            await receiver.wait_for_requests(1)

    assert answer.status_code == 200
    data = receiver.received[0].json["data"]
    assert (data["rule"], data["percent"], data["limit_usd"]) == ("monthly", 50, "0.10")
    assert float(data["spent_usd"]) > 0.05


async def test_failures_that_last_are_reported(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(500, "api_error", "broken"))
    now = [1_796_000_000.0]
    async with scripted_upstream() as receiver:
        receiver.always(json_answer(200, {}))
        config = alerted(upstream, receiver.base_url, error_percent=20, window_seconds=50, min_requests=5)
        async with quick_gateway(config=config) as running:
            running.time.now = lambda: now[0]
            client = running.http()
            for _ in range(7):
                await client.post(PATH, json=asking())
                now[0] += 10
            await receiver.wait_for_requests(1)

    assert receiver.received[0].json["type"] == "errors"


async def test_a_receiver_that_is_away_delays_no_answer_and_no_end(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(401, "authentication_error", "invalid x-api-key"), api_key=KEY_A)
    upstream.always(ANSWER, api_key=KEY_B)
    async with quick_gateway(config=alerted(upstream, "http://127.0.0.1:9/hook")) as running:
        running.time.sleep = _nothing
        answer = await running.http().post(PATH, json=asking())

    assert answer.status_code == 200


async def _nothing(seconds: float) -> None:
    """A pause that takes no time."""
