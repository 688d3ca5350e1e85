"""`GET /admin/pool`: for the admin and for nobody else, and never a secret."""

import json
from contextlib import AsyncExitStack

import httpx2
import pytest

from gateway.config import AdminConfig, StoreConfig
from tests.scenarios.harness import KEY_A, KEY_B, PATH, asking, assert_error, no_lease_is_out, quick_gateway
from tests.support import messages
from tests.support.commands import started
from tests.support.gateway import ClientConfig, Config, Secret, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer

POOL = "/admin/pool"
ADMIN = "admin-key-of-the-operator"
CLIENT = "client-key-of-an-application"
HEADERS = {"anthropic-organization-id": "org-1", "anthropic-workspace-id": "wrkspc-1"}
LOOK = {"type": "function", "function": {"name": "look"}}
LIMITS = {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49"}

# An answer whose thinking its client will not send back.
THOUGHTFUL = json_answer(
    200,
    messages.message(
        [
            {"type": "thinking", "thinking": "Secretly.", "signature": "EqQB"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        ],
        stop_reason="tool_use",
    ),
)


def administered(upstream: ScriptedUpstream, admin_key: str | None = ADMIN) -> Config:
    """Two keys, an admin and a client."""
    config = config_for(
        key(upstream.base_url, "first", KEY_A),
        key(upstream.base_url, "second", KEY_B),
        clients=[ClientConfig(name="shop", api_key=Secret(CLIENT))],
    )
    return with_settings(config, admin=AdminConfig(api_key=Secret(admin_key) if admin_key else None))


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {ADMIN}"}, {"authorization": f"bearer  {ADMIN}"}, {"x-api-key": ADMIN}]
)
async def test_the_admin_sees_the_pool(upstream: ScriptedUpstream, headers: dict[str, str]) -> None:
    async with quick_gateway(config=administered(upstream)) as running:
        answer = await running.http().get(POOL, headers=headers)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["worker"] == {"number": 1, "count": 1}
    assert (answer.json()["workers"], answer.json()["missing"]) == ([1], [])
    assert [found["name"] for found in answer.json()["pool"]["keys"]] == ["first", "second"]


@pytest.mark.parametrize("token", [CLIENT, KEY_A, ADMIN[:-1], f"{ADMIN}x", "\xff"])
async def test_another_key_than_the_admins_is_refused(upstream: ScriptedUpstream, token: str) -> None:
    async with quick_gateway(config=administered(upstream)) as running:
        answer = await running.http().get(POOL, headers={b"x-api-key": token.encode("latin-1")})

    error = assert_error(answer, 401, "invalid_request_error", "invalid_api_key")
    assert "admin" in error["message"]
    assert token not in error["message"]


@pytest.mark.parametrize("path", [POOL, "/admin/clients", "/admin/store"])
async def test_who_shows_no_key_is_told_how(upstream: ScriptedUpstream, path: str) -> None:
    async with quick_gateway(config=administered(upstream)) as running:
        answer = await running.http().get(path)

    assert "x-api-key" in assert_error(answer, 401, "invalid_request_error", None)["message"]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": CLIENT}, {"x-api-key": ""}])
async def test_without_an_admin_key_nobody_sees_it_and_the_answer_says_what_to_set(
    upstream: ScriptedUpstream, headers: dict[str, str]
) -> None:
    async with quick_gateway(config=administered(upstream, None)) as running:
        answer = await running.http().get(POOL, headers=headers)

    error = assert_error(answer, 403, "invalid_request_error", "admin_key_not_set")
    assert "admin.api_key" in error["message"]
    assert "DRAGOMAN_ADMIN_KEY" in error["message"]


async def test_the_admins_key_is_no_clients_key(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(upstream)) as running:
        answer = await running.http().post(PATH, json=asking(), headers={"authorization": f"Bearer {ADMIN}"})

    assert_error(answer, 401, "invalid_request_error", "invalid_api_key")


async def test_nothing_can_be_posted_there(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(upstream)) as running:
        answer = await running.http().post(POOL, headers={"x-api-key": ADMIN})

    assert_error(answer, 405, "invalid_request_error", "method_not_supported")


async def test_it_shows_what_the_answers_of_upstream_have_told_and_no_secret(upstream: ScriptedUpstream) -> None:
    upstream.script(
        error_answer(401, "authentication_error", f"invalid x-api-key {KEY_A}"),
        json_answer(200, messages.message(), headers={**HEADERS, **LIMITS}),
    )
    async with quick_gateway(config=administered(upstream)) as running:
        answer = await running.http().post(PATH, json=asking(), headers={"x-api-key": CLIENT})
        await no_lease_is_out(running)
        shown = await running.http().get(POOL, headers={"x-api-key": ADMIN})

    assert answer.status_code == 200
    first, second = shown.json()["pool"]["keys"]
    assert (first["standing"]["state"], first["last_error"], first["refusals"]) == ("rejected", "key_rejected", 1)
    assert (second["standing"]["state"], second["organisation"], second["workspace"]) == ("ready", "org-1", "wrkspc-1")
    (limited,) = [found for found in shown.json()["pool"]["organisations"] if found["name"] == "org-1"]
    assert limited["allowances"][0]["buckets"]["requests"]["limit"] == 50
    assert not [secret for secret in (KEY_A, KEY_B, ADMIN, CLIENT) if secret in shown.text]
    assert json.loads(shown.text)["pool"]["hosts"][0]["url"] == upstream.base_url


async def test_a_reload_changes_who_the_admin_is(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(upstream)) as running:
        running.gateway.reload(administered(upstream, "another-admin-key"))
        old = await running.http().get(POOL, headers={"x-api-key": ADMIN})
        new = await running.http().get(POOL, headers={"x-api-key": "another-admin-key"})

    assert (old.status_code, new.status_code) == (401, 200)


async def test_each_of_several_workers_answers_for_all_and_says_which_one_it_is(upstream: ScriptedUpstream) -> None:
    environment = {"ANTHROPIC_API_KEY": KEY_A, "ANTHROPIC_BASE_URL": upstream.base_url, "DRAGOMAN_ADMIN_KEY": ADMIN}
    async with started("serve", "--workers", "2", **environment) as running, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx2.AsyncClient(base_url=running.url)) for _ in range(2)]
        answers = [(await client.get(POOL, headers={"x-api-key": ADMIN})).json() for client in clients]

    assert sorted(answer["worker"]["number"] for answer in answers) == [1, 2]
    assert {answer["worker"]["count"] for answer in answers} == {2}
    assert all((answer["workers"], answer["missing"]) == ([1, 2], []) for answer in answers)
    assert {answer["pool"]["share"] for answer in answers} == {1.0}


async def test_the_admin_sees_what_is_kept_of_conversations(upstream: ScriptedUpstream) -> None:
    upstream.script(THOUGHTFUL)
    async with quick_gateway(config=administered(upstream)) as running:
        body = asking(tools=[LOOK])
        await running.http().post(PATH, json=body, headers={"authorization": f"Bearer {CLIENT}"})
        answer = await running.http().get("/admin/store", headers={"x-api-key": ADMIN})

    assert answer.json()["turns"] == {"kept": 1, "restored": 0, "left_out": {}}
    assert answer.json()["store"]["place"] == "memory"
    # The turn, and what leads to it by its place.
    assert answer.json()["store"]["entries"] == 2
    assert 320 < answer.json()["store"]["bytes"] < 1000
    assert "Secretly" not in answer.text


async def test_of_a_store_that_is_off_the_admin_sees_that_nothing_is_kept(upstream: ScriptedUpstream) -> None:
    upstream.script(THOUGHTFUL)
    async with quick_gateway(config=with_settings(administered(upstream), store=StoreConfig(kind="off"))) as running:
        await running.http().post(PATH, json=asking(tools=[LOOK]), headers={"authorization": f"Bearer {CLIENT}"})
        answer = await running.http().get("/admin/store", headers={"x-api-key": ADMIN})

    assert answer.json()["turns"] == {"kept": 0, "restored": 0, "left_out": {}}
    assert answer.json()["store"]["place"] == "off"
    assert answer.json()["store"]["counts"] == {"unreadable": 0, "refused": 0, "not_written": 0}
