"""Keys are asked whose they are before anybody needs to know."""

import asyncio
from collections.abc import Callable

import pytest

from tests.scenarios.harness import KEY_A, KEY_B, PATH, asking, quick_gateway, soon, until
from tests.support import messages
from tests.support.gateway import RunningGateway, config_for, key
from tests.support.scripted import Answer, Reached, ReceivedRequest, ScriptedUpstream, Wait, error_answer, json_answer

ORGANIZATION = {"anthropic-organization-id": "org-1"}


def organizations(running: RunningGateway) -> list[str]:
    return [state.organization.name for state in running.gateway.services.pool.states]


async def test_keys_of_one_organization_are_found_to_be_kin_before_they_are_used(upstream: ScriptedUpstream) -> None:
    upstream.models(json_answer(200, {"data": []}, headers=ORGANIZATION))
    config = config_for(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(config=config) as running:
        await until(lambda: organizations(running) == ["org-1", "org-1"])

    assert upstream.received == []


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_key_that_cannot_be_asked_is_left_to_its_first_answer(upstream: ScriptedUpstream, status: int) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if request.api_key == KEY_A:
            return error_answer(status, "api_error", "No.", headers=ORGANIZATION)
        return json_answer(200, {"data": []}, headers=ORGANIZATION)

    upstream.models(answer)
    config = config_for(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(config=config) as running:
        await until(lambda: organizations(running)[1] == "org-1")

        assert organizations(running)[0] == "key a"
        assert not next(iter(running.gateway.services.pool.states)).is_rejected


@pytest.mark.parametrize("others", [True, False], ids=["one of several", "the only one"])
async def test_a_key_that_upstream_does_not_know_is_told_before_a_request_meets_it(
    upstream: ScriptedUpstream, read_log: Callable[[], str], others: bool
) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if request.api_key == KEY_A:
            return error_answer(401, "authentication_error", "invalid x-api-key")
        return json_answer(200, {"data": []}, headers=ORGANIZATION)

    upstream.models(answer)
    keys = [key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)]
    async with quick_gateway(config=config_for(*keys if others else keys[:1])) as running:
        await until(lambda: next(iter(running.gateway.services.pool.states)).is_rejected)
        told = [line for line in read_log().splitlines() if "rejects a key" in line]

    assert len(told) == 1
    assert " warning " in told[0]
    assert " key=a" in told[0]
    assert "dragoman doctor" in told[0]
    assert upstream.received == []


async def test_a_key_that_has_just_served_is_not_rejected_for_a_list(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message()))
    upstream.models(error_answer(404, "not_found_error", "No."))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking())
        [state] = running.gateway.services.pool.states
        running.gateway.services.dispatcher.refused(state.key.name)

        assert not state.is_rejected


async def test_what_a_key_was_is_not_taken_for_what_its_name_stands_for_now(upstream: ScriptedUpstream) -> None:
    asked, told, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    old = json_answer(200, {"data": []}, headers=ORGANIZATION)

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
        await until(lambda: organizations(running)[1] == "org-2")
        for _ in range(100):
            await asyncio.sleep(0)

        assert organizations(running)[0] != "org-1"
