"""The outermost layer: every answer has OpenAI's shape and an id, whatever was asked, and web pages stay outside."""

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.edge.outermost import Edge, is_loopback_name
from gateway.edge.responder import responder_of, retry_headers
from tests.scenarios.harness import (
    PATH,
    asking,
    assert_error,
    no_lease_is_out,
    quick_gateway,
    raw_client,
)
from tests.support import messages
from tests.support.gateway import ClientConfig, Config, Secret, ServerConfig, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, json_answer
from translators.errors import ErrorKind, Failure

SERVED = json_answer(200, messages.message())


async def test_a_path_is_cut_and_cannot_write_to_the_terminal_of_who_reads_the_log(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        await http.get(f"/{'x' * 5000}")
        await http.get("/a%1b[2J%0a%c2%9b%e2%80%ae" + "%00" * 1000)

    long, odd = [line for line in read_log().splitlines() if " GET /" in line]
    assert f" GET /{'x' * 199}... (5001 characters) 404 " in long
    assert r" GET /a\x1b[2J\n\x9b\u202e\x00" in odd
    assert odd.isprintable()
    assert len(odd) < 1200


def serving(upstream: ScriptedUpstream, **server: object) -> Config:
    return with_settings(config_for(key(upstream.base_url)), server=ServerConfig(port=0, **server))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/", "/v1/realtime", "/v1/chat/completions/", "/v2/models", "//"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_url_is_404_in_openais_shape(upstream: ScriptedUpstream, method: str, path: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running, httpx2.AsyncClient(trust_env=False) as http:
        response = await http.request(method, running.url + path)

    error = assert_error(response, 404, "invalid_request_error", "unknown_url")
    assert f"{method} {path}" in error["message"]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
async def test_a_websocket_is_refused_with_a_426_that_clients_fall_back_on(
    upstream: ScriptedUpstream, path: str
) -> None:
    handshake = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().get(path, headers=handshake)

    assert "POST" in assert_error(response, 426, "invalid_request_error", "websocket_not_supported")["message"]
    assert response.headers["upgrade"] == "HTTP/1.1"


async def test_v1_twice_is_told_in_so_many_words(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post("/v1/v1/chat/completions", json=asking())

    assert "base_url" in assert_error(response, 404, "invalid_request_error", "unknown_url")["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PATH),
        ("GET", "/chat/completions"),
        ("PUT", PATH),
        ("DELETE", PATH),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/claude-sonnet-5-5"),
        ("POST", "/"),
        ("POST", "/health"),
        ("OPTIONS", PATH),
    ],
)
async def test_a_wrong_method_is_405_and_says_which_are_right(
    upstream: ScriptedUpstream, method: str, path: str
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().request(method, path)

    assert_error(response, 405, "invalid_request_error", "method_not_supported")
    assert response.headers["allow"]


async def test_every_route_is_served_with_and_without_v1(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        answers = [await http.post(f"{prefix}/chat/completions", json=asking()) for prefix in ("", "/v1")]
        answers += [await http.get(f"{prefix}/models") for prefix in ("", "/v1")]
        answers += [await http.get(f"{prefix}/models/claude-sonnet-5-5") for prefix in ("", "/v1")]

    assert [answer.status_code for answer in answers] == [200] * 6


async def test_a_body_that_announces_too_much_is_413_before_it_is_read(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=serving(upstream, max_body_bytes=1000)) as running, raw_client(running) as client:
        # Announced, and never sent.
        client.send({}, headers={"content-length": "1001"})
        await client.head()

    assert client.status == 413


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large_is_413_in_openais_shape(upstream: ScriptedUpstream, chunked: bool) -> None:
    body = json.dumps(asking("x" * 100_000)).encode()

    async def pieces() -> object:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async with quick_gateway(config=serving(upstream, max_body_bytes=50_000)) as running:
        response = await running.http().post(PATH, content=pieces() if chunked else body)  # type: ignore[arg-type]

    error = assert_error(response, 413, "invalid_request_error", "request_too_large")
    assert "50000" in error["message"]
    assert upstream.received == []


async def test_a_body_of_exactly_the_limit_is_taken(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    body = json.dumps(asking()).encode()
    async with quick_gateway(config=serving(upstream, max_body_bytes=len(body))) as running:
        http = running.http()
        exact = await http.post(PATH, content=body)
        larger = await http.post(PATH, content=body + b" ")

    assert (exact.status_code, larger.status_code) == (200, 413)


@pytest.mark.parametrize("encoding", ["br", "compress"])
async def test_a_body_in_another_coding_is_415(upstream: ScriptedUpstream, encoding: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(), headers={"content-encoding": encoding})

    assert_error(response, 415, "invalid_request_error", "unsupported_content_encoding")


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_a_body_that_says_it_is_not_compressed_is_read(upstream: ScriptedUpstream, encoding: str) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(), headers={"content-encoding": encoding})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"model":"m"}',
        b'{"messages":[]}',
        b'{"model":"m","messages":[]}',
        b'{"model":7,"messages":[{"role":"user","content":"Hi"}]}',
        b'{"model":"m","messages":"Hi"}',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}',
        b'{"model":"m","messages":' + b"[" * 100_000,
        b'{"model":"m","messages":[{"role":"user","content":' + b'[{"type":"text","text":' * 5000,
        b"\x00\x01\x02",
        b"--boundary\r\ncontent-disposition: form-data\r\n",
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}]} trailing',
        b'{"model":"m","messages":[{"role":"nobody","content":"Hi"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":"yes"}',
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"max_tokens":1e400}',
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":NaN}',
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream_options":[]}',
        b'{"model":"m","messages":[null]}',
    ],
)
async def test_a_body_that_is_no_request_is_400_in_openais_shape(upstream: ScriptedUpstream, body: bytes) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, content=body)

    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert {"message", "type", "param", "code"} <= error.keys()
    assert response.headers["x-request-id"]
    assert upstream.received == []


async def test_the_content_type_of_a_request_does_not_matter(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        body = json.dumps(asking())
        answers = [
            await http.post(PATH, content=body, headers={"content-type": kind})
            for kind in ("text/plain", "application/json; charset=utf-8", "application/x-www-form-urlencoded")
        ]

    assert [answer.status_code for answer in answers] == [200] * 3


async def test_a_failure_of_the_gateway_is_500_with_the_id_that_the_log_has(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    def broken() -> float:
        raise ZeroDivisionError("sk-ant-secret-in-the-text")

    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        running.time.now = broken
        response = await running.http().post(PATH, json=asking())
        await no_lease_is_out(running)
    log = read_log()

    error = assert_error(response, 500, "server_error", "internal_error")
    assert "sk-ant-secret" not in response.text
    assert error["param"] is None
    assert response.headers["x-request-id"] in log
    assert "ZeroDivisionError" in log


async def test_a_failure_of_the_gateway_in_a_stream_gives_the_lease_back(upstream: ScriptedUpstream) -> None:
    def broken() -> float:
        raise ZeroDivisionError

    async with quick_gateway(key(upstream.base_url)) as running:
        running.time.now = broken
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)

    assert_error(response, 500, "server_error", "internal_error")


async def through_edge(app: Callable[[Scope, Receive, Send], object]) -> list[Message]:
    """What is sent when an application inside the edge behaves like this."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await Edge(app, guards_loopback=lambda: False)(scope, receive, send)  # type: ignore[arg-type]
    return sent


async def test_a_failure_after_the_head_is_told_in_the_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        responder = responder_of(scope)
        await responder.begin_stream()
        await responder.write(b"data: {}\n\n")
        raise ZeroDivisionError

    start, first, last = await through_edge(app)

    assert start["status"] == 200
    assert first["body"] == b"data: {}\n\n"
    assert json.loads(last["body"].removeprefix(b"data: "))["error"]["code"] == "internal_error"
    assert last["more_body"] is False


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Failure(ErrorKind.RATE_LIMITED, "no"), {"retry-after": "1", "retry-after-ms": "1000"}),
        (
            Failure(ErrorKind.RATE_LIMITED, "no", retry_after_seconds=1.2),
            {"retry-after": "2", "retry-after-ms": "1200"},
        ),
        (Failure(ErrorKind.GATEWAY_BUSY, "no"), {"retry-after": "1", "retry-after-ms": "1000"}),
        (Failure(ErrorKind.OVERLOADED, "no"), {}),
        (Failure(ErrorKind.SPEND_LIMIT, "no"), {"x-should-retry": "false"}),
    ],
)
def test_clients_are_told_when_to_come_back_in_whole_seconds(failure: Failure, told: dict[str, str]) -> None:
    assert retry_headers(failure) == told


async def test_a_failure_after_the_end_is_told_to_nobody() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        responder = responder_of(scope)
        await responder.begin_stream()
        await responder.finish(b"data: [DONE]\n\n")
        raise ZeroDivisionError

    sent = await through_edge(app)

    assert [message.get("body") for message in sent] == [None, b"data: [DONE]\n\n"]


async def test_a_cancelled_request_stays_cancelled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await through_edge(app)


async def test_ids_differ_and_callers_do_not_choose_them(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        ids = [(await http.get("/health", headers={"x-request-id": "mine"})).headers["x-request-id"] for _ in range(3)]

    assert len(set(ids)) == 3
    assert "mine" not in ids


async def test_the_front_door_says_where_to_go(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        page, head, health, health_head = [
            await http.get("/"),
            await http.head("/"),
            await http.get("/health"),
            await http.head("/health"),
        ]

    assert sorted(page.json()["endpoints"]) == [
        "DELETE /admin/keys/{key}",
        "DELETE /admin/rules/{rule}",
        "DELETE /admin/session",
        "DELETE /v1/conversations/{conversation_id}",
        "DELETE /v1/conversations/{conversation_id}/items/{item_id}",
        "DELETE /v1/responses/{response_id}",
        "GET /admin/audit",
        "GET /admin/clients",
        "GET /admin/keys",
        "GET /admin/keys/{key}",
        "GET /admin/models",
        "GET /admin/overview",
        "GET /admin/pool",
        "GET /admin/requests",
        "GET /admin/requests/{request_id}",
        "GET /admin/requests/{request_id}/wire",
        "GET /admin/rules",
        "GET /admin/rules/standings",
        "GET /admin/session",
        "GET /admin/settings",
        "GET /admin/store",
        "GET /admin/usage",
        "GET /console",
        "GET /health",
        "GET /livez",
        "GET /metrics",
        "GET /readyz",
        "GET /v1/conversations/{conversation_id}",
        "GET /v1/conversations/{conversation_id}/items",
        "GET /v1/conversations/{conversation_id}/items/{item_id}",
        "GET /v1/key",
        "GET /v1/models",
        "GET /v1/models/{model}",
        "GET /v1/organization/costs",
        "GET /v1/organization/usage/completions",
        "GET /v1/responses",
        "GET /v1/responses/{response_id}",
        "GET /v1/responses/{response_id}/input_items",
        "PATCH /admin/keys/{key}",
        "POST /admin/keys",
        "POST /admin/keys/{key}/disable",
        "POST /admin/keys/{key}/enable",
        "POST /admin/keys/{key}/rotate",
        "POST /admin/pool/{key}/{order}",
        "POST /admin/rules",
        "POST /admin/session",
        "POST /admin/settings/check",
        "POST /v1/chat/completions",
        "POST /v1/completions",
        "POST /v1/conversations",
        "POST /v1/conversations/{conversation_id}",
        "POST /v1/conversations/{conversation_id}/items",
        "POST /v1/messages",
        "POST /v1/messages/count_tokens",
        "POST /v1/responses",
        "POST /v1/responses/compact",
        "POST /v1/responses/input_tokens",
        "POST /v1/responses/{response_id}/cancel",
    ]
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(page.content))
    assert health.json() == {"status": "ok"}
    assert (health_head.status_code, health_head.content) == (200, b"")


# The guard of an open port.

OURS = [
    "localhost",
    "localhost:8080",
    "LOCALHOST:8080",
    "127.0.0.1",
    "127.0.0.1:65535",
    "127.1.2.3",
    "[::1]",
    "[::1]:8080",
    "gateway.localhost",
    "gateway.localhost:80",
]
NOT_OURS = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io",
    "evil.localhost.example",
    "notlocalhost",
    "169.254.169.254",
    "192.168.1.1",
    "10.0.0.1:8080",
    "0.0.0.0",
    "128.0.0.1",
    "[2001:db8::1]",
    "[fe80::1]",
    "[::ffff:10.0.0.1]",
    "127.0.0.256",
    "127.0.0",
    "",
]
# These are not even names.
NOT_HOSTS = [
    "[",
    "evil.example@localhost",
    "evil.example\\@localhost",
    "localhost evil.example",
    "evil.example/localhost",
    "evil.example#localhost",
    "evil.example?localhost",
    "evil.example\\localhost",
    "evil.example@localhost",
]


async def status_of(upstream: ScriptedUpstream, config: Config, **headers: str) -> tuple[int, str]:
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(), headers=headers)
        await client.head()
        return client.status, client.headers.get("x-request-id", "")


@pytest.mark.parametrize("host", OURS)
async def test_names_of_this_machine_may_ask(upstream: ScriptedUpstream, host: str) -> None:
    upstream.always(SERVED)

    assert (await status_of(upstream, config_for(key(upstream.base_url)), host=host))[0] == 200


@pytest.mark.parametrize("host", NOT_HOSTS)
async def test_what_is_no_name_at_all_is_refused_before(upstream: ScriptedUpstream, host: str) -> None:
    status, request_id = await status_of(upstream, config_for(key(upstream.base_url)), host=host)

    assert status == 400
    assert request_id.startswith("req_")
    assert upstream.received == []


@pytest.mark.parametrize("host", NOT_OURS)
async def test_other_names_mean_rebinding_and_are_refused(upstream: ScriptedUpstream, host: str) -> None:
    upstream.always(SERVED)

    status, request_id = await status_of(upstream, config_for(key(upstream.base_url)), host=host)

    assert status == 403
    assert request_id.startswith("req_")
    assert upstream.received == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("host.docker.internal", 200),
        ("HOST.docker.internal:8080", 200),
        ("localhost", 200),
        ("evil.example", 403),
        ("evil.host.docker.internal", 403),
        ("host.docker.internal.evil.example", 403),
    ],
)
async def test_names_that_the_operator_allows_may_ask(upstream: ScriptedUpstream, host: str, status: int) -> None:
    upstream.always(SERVED)
    config = serving(upstream, allowed_hosts=("host.docker.internal",))

    assert (await status_of(upstream, config, host=host))[0] == status


async def test_a_page_from_elsewhere_is_not_let_in_by_an_allowed_name(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    config = serving(upstream, allowed_hosts=("host.docker.internal",))
    headers = {"host": "host.docker.internal", "origin": "http://host.docker.internal:3000"}

    assert (await status_of(upstream, config, **headers))[0] == 403


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://localhost",
        "http://127.0.0.1:8080",
        "http://[::1]:5173",
        "http://app.localhost",
    ],
)
async def test_pages_of_this_machine_may_ask(upstream: ScriptedUpstream, origin: str) -> None:
    upstream.always(SERVED)

    assert (await status_of(upstream, config_for(key(upstream.base_url)), origin=origin))[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example:8080",
        "null",
        "file://",
        "http://192.168.1.1",
        "http://[2001:db8::1]",
        "chrome-extension://abcdefghijklmnop",
        "http://",
        "http://[",
        "https://evil.example/http://localhost",
        "https://localhost@evil.example",
    ],
)
async def test_pages_from_elsewhere_are_refused(upstream: ScriptedUpstream, origin: str) -> None:
    upstream.always(SERVED)

    status, _ = await status_of(upstream, config_for(key(upstream.base_url)), origin=origin)

    assert status == 403
    assert upstream.received == []


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/nowhere"])
async def test_the_guard_stands_before_every_door(upstream: ScriptedUpstream, path: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().get(path, headers={"origin": "https://evil.example"})

    assert_error(response, 403, "invalid_request_error", "origin_not_allowed")


async def test_with_client_keys_any_name_may_ask(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    config = config_for(key(upstream.base_url), clients=[ClientConfig(name="app", api_key=Secret("app-key"))])

    headers = {"host": "gateway.example", "origin": "https://chat.example", "authorization": "Bearer app-key"}
    assert (await status_of(upstream, config, **headers))[0] == 200


async def test_callers_with_keys_of_their_own_are_guarded_as_well(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        response = await running.http().get("/v1/models", headers={"origin": "https://evil.example"})

    assert response.status_code == 403


@pytest.mark.parametrize("name", [None, "", "127.0.0.1.", "127.0.0.-1", "::2", "localhost."])
def test_what_only_looks_like_this_machine_is_not(name: str | None) -> None:
    assert not is_loopback_name(name)


# CORS.

PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang,x-anything",
}


async def test_a_preflight_is_answered_for_a_configured_page(upstream: ScriptedUpstream) -> None:
    config = serving(upstream, cors_origins=("https://chat.example",))
    async with quick_gateway(config=config) as running:
        http = running.http()
        preflight = await http.options(PATH, headers={"origin": "https://chat.example", **PREFLIGHT})
        other = await http.options(PATH, headers={"origin": "https://evil.example", **PREFLIGHT})

    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == "https://chat.example"
    assert {"POST", "DELETE"} <= {*preflight.headers["access-control-allow-methods"].split(", ")}
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "x-stainless-lang", "x-anything"))
    assert "access-control-allow-origin" not in other.headers


async def test_a_configured_page_is_served_and_may_read_the_id(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    config = serving(upstream, cors_origins=("https://chat.example",))
    async with quick_gateway(config=config) as running:
        http = running.http()
        served = await http.post(PATH, json=asking(), headers={"origin": "https://chat.example"})
        refused = await http.post(PATH, json=asking(), headers={"origin": "https://evil.example"})

    assert served.status_code == 200
    assert served.headers["access-control-allow-origin"] == "https://chat.example"
    exposed = served.headers["access-control-expose-headers"].lower()
    assert exposed == "*" or "x-request-id" in exposed
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


async def test_every_page_may_ask_where_the_operator_says_so_but_not_under_every_name(
    upstream: ScriptedUpstream,
) -> None:
    upstream.always(SERVED)
    config = serving(upstream, cors_origins=("*",))

    assert (await status_of(upstream, config, origin="https://any.example"))[0] == 200
    assert (await status_of(upstream, config, origin="null"))[0] == 200
    assert (await status_of(upstream, config, host="evil.example"))[0] == 403


async def test_an_error_can_be_read_by_a_configured_page(upstream: ScriptedUpstream) -> None:
    config = serving(upstream, cors_origins=("https://chat.example",))
    async with quick_gateway(config=config) as running:
        response = await running.http().post(PATH, content=b"{", headers={"origin": "https://chat.example"})

    assert response.status_code == 400
    assert response.headers["access-control-allow-origin"] == "https://chat.example"


async def test_pages_of_this_machine_may_read_answers_of_a_gateway_that_is_open_to_it(
    upstream: ScriptedUpstream,
) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        preflight = await http.options(PATH, headers={"origin": "http://localhost:3000", **PREFLIGHT})
        served = await http.post(PATH, json=asking(), headers={"origin": "http://localhost:3000"})
        foreign = await http.options(PATH, headers={"origin": "http://localhost.evil.example", **PREFLIGHT})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert served.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in foreign.headers


async def test_with_client_keys_no_page_is_told_that_it_may_unless_it_is_configured(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    config = config_for(key(upstream.base_url), clients=[ClientConfig(name="app", api_key=Secret("app-key"))])
    async with quick_gateway(config=config) as running:
        preflight = await running.http().options(PATH, headers={"origin": "http://localhost:3000", **PREFLIGHT})

    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


async def test_a_configured_page_may_ask_from_the_internet_for_a_private_network(upstream: ScriptedUpstream) -> None:
    asks = {"access-control-request-private-network": "true", **PREFLIGHT}
    async with quick_gateway(config=serving(upstream, cors_origins=("https://chat.example",))) as running:
        http = running.http()
        allowed = await http.options(PATH, headers={"origin": "https://chat.example", **asks})
        other = await http.options(PATH, headers={"origin": "https://evil.example", **asks})

    assert allowed.headers["access-control-allow-private-network"] == "true"
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


async def test_a_log_line_cannot_be_forged_by_a_path(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send({}, path="/v1/x%0a2026-11-21T00:00:00.000+00:00%20error%20forged%1b[2J")
        await client.head()
    log = read_log()

    assert client.status == 404
    assert "\x1b" not in log
    assert not [line for line in log.splitlines() if line.startswith("2026-11-21T00:00:00.000+00:00 error")]
