"""Keys are asked whose they are before anybody needs to know."""

import asyncio

import pytest

from tests.scenarios.harness import KEY_A, KEY_B, quick_gateway, soon, until
from tests.support.gateway import RunningGateway, config_for, key
from tests.support.scripted import Answer, Reached, ReceivedRequest, ScriptedUpstream, Wait, error_answer, json_answer

ORGANISATION = {"anthropic-organization-id": "org-1"}


def organisations(running: RunningGateway) -> list[str]:
    return [state.organisation.name for state in running.gateway.services.pool.states]


async def test_keys_of_one_organisation_are_found_to_be_kin_before_they_are_used(upstream: ScriptedUpstream) -> None:
    upstream.models(json_answer(200, {"data": []}, headers=ORGANISATION))
    config = config_for(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(config=config) as running:
        await until(lambda: organisations(running) == ["org-1", "org-1"])

    assert upstream.received == []


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_key_that_cannot_be_asked_is_left_to_its_first_answer(upstream: ScriptedUpstream, status: int) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if request.api_key == KEY_A:
            return error_answer(status, "api_error", "No.", headers=ORGANISATION)
        return json_answer(200, {"data": []}, headers=ORGANISATION)

    upstream.models(answer)
    config = config_for(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(config=config) as running:
        await until(lambda: organisations(running)[1] == "org-1")

        assert organisations(running)[0] == "key a"
        assert not next(iter(running.gateway.services.pool.states)).is_rejected


async def test_what_a_key_was_is_not_taken_for_what_its_name_stands_for_now(upstream: ScriptedUpstream) -> None:
    asked, told, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    old = json_answer(200, {"data": []}, headers=ORGANISATION)

    def answer(request: ReceivedRequest) -> Answer:
        if request.api_key == KEY_A:
            return Answer((Reached(asked), Wait(told), *old.steps, Reached(done)))
        return json_answer(200, {"data": []}, headers={"anthropic-organization-id": "org-2"})

    upstream.models(answer)
    before = config_for(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B))
    after = config_for(key(upstream.base_url, "a", KEY_A[::-1]), key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(config=before) as running:
        await soon(asked)
        running.gateway.reload(after)
        told.set()
        await soon(done)
        await until(lambda: organisations(running)[1] == "org-2")
        for _ in range(100):
            await asyncio.sleep(0)

        assert organisations(running)[0] != "org-1"
