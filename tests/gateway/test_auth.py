"""Who is calling, in which header the key may stand, and whose key goes upstream."""

from collections.abc import Callable

import openai
import pytest

from gateway.accounts.auth import presented_key
from tests.scenarios.harness import PATH, asking, assert_error, quick_gateway, raw_client, without_pauses
from tests.support import messages
from tests.support.gateway import ClientConfig, Secret, config_for, key
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer

POOL_KEY = "sk-ant-api03-of-the-pool-" + "p" * 20
OWN_KEY = "sk-ant-api03-of-the-caller-" + "c" * 20
OAUTH = "sk-ant-oat01-" + "o" * 20
CLIENT_KEY = "my-app-key-0123456789"
CLIENTS = (ClientConfig(name="app", api_key=Secret(CLIENT_KEY)), ClientConfig(name="ops", api_key=Secret("key of ops")))
SERVED = json_answer(200, messages.message())


def scope(*headers: tuple[str, str]) -> dict[str, object]:
    return {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers]}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ((), None),
        ((("authorization", "Bearer abc"),), "abc"),
        ((("authorization", "bearer abc"),), "abc"),
        ((("authorization", "BEARER  abc "),), "abc"),
        ((("authorization", "Bearer My API Key"),), "My API Key"),
        ((("authorization", "Basic abc"),), None),
        ((("authorization", "Bearer "),), None),
        ((("authorization", "Bearer"),), None),
        ((("authorization", "abc"),), None),
        ((("x-api-key", "abc"),), "abc"),
        ((("api-key", "abc"),), "abc"),
        ((("api-key", ""),), None),
        ((("api-key", "c"), ("x-api-key", "b"), ("authorization", "Bearer a")), "a"),
        ((("api-key", "c"), ("x-api-key", "b")), "b"),
        ((("authorization", "Basic x"), ("api-key", "c")), "c"),
        ((("authorization", "Bearer "), ("x-api-key", "b")), "b"),
    ],
)
def test_a_key_is_found_where_clients_put_it(headers: tuple[tuple[str, str], ...], found: str | None) -> None:
    assert presented_key(scope(*headers)) == found


async def test_without_clients_and_with_a_key_of_its_own_the_gateway_serves_anybody(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url, api_key=POOL_KEY)) as running:
        http = running.http()
        answers = [
            await http.post(PATH, json=asking()),
            await http.post(PATH, json=asking(), headers={"authorization": "Bearer anything"}),
            await http.post(PATH, json=asking(), headers={"authorization": f"Bearer {OWN_KEY}"}),
        ]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {request.api_key for request in upstream.received} == {POOL_KEY}
    assert not [request for request in upstream.received if OWN_KEY in str(request.headers)]


HEADERS: dict[str, Callable[[str], dict[str, str]]] = {
    "bearer": lambda token: {"authorization": f"Bearer {token}"},
    "x-api-key": lambda token: {"x-api-key": token},
    "api-key": lambda token: {"api-key": token},
}


@pytest.mark.parametrize("how", HEADERS)
async def test_a_client_shows_its_key_and_upstream_gets_the_pools(upstream: ScriptedUpstream, how: str) -> None:
    upstream.always(SERVED)
    config = config_for(key(upstream.base_url, api_key=POOL_KEY), clients=CLIENTS)
    async with quick_gateway(config=config) as running:
        http = running.http()
        app = await http.post(PATH, json=asking(), headers=HEADERS[how](CLIENT_KEY))
        ops = await http.post(PATH, json=asking(), headers=HEADERS[how]("key of ops"))

    assert (app.status_code, ops.status_code) == (200, 200)
    for request in upstream.received:
        assert request.headers["x-api-key"] == POOL_KEY
        assert "authorization" not in request.headers
        assert CLIENT_KEY not in str(request.headers)


@pytest.mark.parametrize(
    "token", ["wrong-key-0123456789abcdef", OWN_KEY, POOL_KEY, CLIENT_KEY[:-1], CLIENT_KEY + "x", "x"]
)
async def test_a_wrong_key_is_401_in_openais_words_and_nobody_is_asked(
    upstream: ScriptedUpstream, read_log: Callable[[], str], token: str
) -> None:
    config = config_for(key(upstream.base_url, api_key=POOL_KEY), clients=CLIENTS)
    async with quick_gateway(config=config) as running:
        with pytest.raises(openai.AuthenticationError) as raised:
            await running.openai(api_key=token).models.list()
        response = await running.http().post(PATH, json=asking(), headers={"x-api-key": token})
    log = read_log()

    error = assert_error(response, 401, "invalid_request_error", "invalid_api_key")
    assert error["message"].startswith("Incorrect API key provided: ")
    assert raised.value.code == "invalid_api_key"
    assert upstream.received == []
    if len(token) > 1:
        assert token not in response.text
        assert token not in log


async def test_a_missing_key_is_401(upstream: ScriptedUpstream) -> None:
    config = config_for(key(upstream.base_url, api_key=POOL_KEY), clients=CLIENTS)
    async with quick_gateway(config=config) as running:
        http = running.http()
        answers = [await http.post(PATH, json=asking()), await http.get("/v1/models"), await http.get("/models/x")]
        health = await http.get("/health")

    for answer in answers:
        assert_error(answer, 401, "invalid_request_error", None)
    assert health.status_code == 200
    assert upstream.received == []


async def test_a_caller_is_refused_before_its_body_is_read(upstream: ScriptedUpstream) -> None:
    config = config_for(key(upstream.base_url, api_key=POOL_KEY), clients=CLIENTS)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        # The body is announced and never sent.
        client.send({}, headers={"content-length": "100000"})
        await client.head()

    assert client.status == 401


@pytest.mark.parametrize("how", HEADERS)
async def test_a_caller_who_brings_an_anthropic_key_is_served_with_that_one(
    upstream: ScriptedUpstream, read_log: Callable[[], str], how: str
) -> None:
    upstream.always(SERVED)
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        response = await running.http().post(PATH, json=asking(), headers=HEADERS[how](OWN_KEY))
    log = read_log()

    assert response.status_code == 200
    assert [request.api_key for request in upstream.received] == [OWN_KEY]
    assert OWN_KEY not in log


async def test_a_token_of_oauth_goes_where_oauth_tokens_go(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        await running.http().post(PATH, json=asking(), headers={"authorization": f"Bearer {OAUTH}"})

    (request,) = upstream.received
    assert request.headers["authorization"] == f"Bearer {OAUTH}"
    assert "x-api-key" not in request.headers
    assert "oauth-2025-04-20" in request.headers["anthropic-beta"]


@pytest.mark.parametrize("token", ["sk-proj-0123456789abcdefghij", "anything", "SK-ANT-api03-x", "xsk-ant-api03"])
async def test_what_is_no_anthropic_key_never_leaves_the_gateway(upstream: ScriptedUpstream, token: str) -> None:
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        response = await running.http().post(PATH, json=asking(), headers={"x-api-key": token})

    assert response.status_code == 401
    assert "ANTHROPIC_API_KEY" in response.json()["error"]["message"]
    assert upstream.received == []
    if len(token) > 10:
        assert token not in response.text


@pytest.mark.parametrize("token", [b"sk-ant-caf\xc3\xa9", b"sk-ant-\xff", b"sk-ant-tab\there", b"sk-ant-two words"])
async def test_a_key_that_no_header_can_carry_is_the_callers_mistake(upstream: ScriptedUpstream, token: bytes) -> None:
    upstream.always(error_answer(401, "authentication_error", "invalid x-api-key"))
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking(), headers=[(b"x-api-key", token)])

    assert_error(response, 401, "invalid_request_error", "invalid_api_key")


@pytest.mark.parametrize(
    ("status", "error_type", "expected"),
    [
        (401, "authentication_error", (401, "invalid_request_error", "invalid_api_key")),
        (402, "billing_error", (429, "insufficient_quota", "insufficient_quota")),
        (403, "permission_error", (403, "invalid_request_error", None)),
        (429, "rate_limit_error", (429, "rate_limit_error", "rate_limit_exceeded")),
    ],
)
async def test_what_is_wrong_with_a_key_that_the_caller_brought_is_the_callers_to_know(
    upstream: ScriptedUpstream, status: int, error_type: str, expected: tuple[int, str, str | None]
) -> None:
    upstream.always(error_answer(status, error_type, "No."))
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking(), headers={"x-api-key": OWN_KEY})

    error = assert_error(response, *expected)
    assert "gateway's own key" not in error["message"]
    assert len(upstream.received) == 1


async def test_one_callers_bad_key_is_no_mark_against_anothers(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(401, "authentication_error", "invalid x-api-key"), api_key=OWN_KEY)
    upstream.always(SERVED, api_key="sk-ant-good")
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        http = running.http()
        bad = await http.post(PATH, json=asking(), headers={"x-api-key": OWN_KEY})
        good = await http.post(PATH, json=asking(), headers={"x-api-key": "sk-ant-good"})
        mended = json_answer(200, messages.message())
        upstream.by_key(OWN_KEY, mended)
        again = await http.post(PATH, json=asking(), headers={"x-api-key": OWN_KEY})

    assert [bad.status_code, good.status_code, again.status_code] == [401, 200, 200]
