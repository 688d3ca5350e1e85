"""Native requests at the door: who may ask, what goes upstream, and the shape of every failure."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import NativeConfig, TranslationConfig
from gateway.edge.shapes import ANTHROPIC, OPENAI, shape_for
from tests.scenarios.harness import PATH as CHAT_PATH
from tests.scenarios.harness import quick_gateway
from tests.scenarios.native_harness import COUNT_PATH, PATH, asking_natively, assert_native_error, messages_of
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    RetriesConfig,
    Secret,
    ServerConfig,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import REQUEST_ID, ScriptedUpstream, error_answer, json_answer, stream_answer
from translators.errors import RULES, ErrorKind, Failure, TranslationError
from translators.native.errors import NATIVE_RULES, error_event
from translators.native.errors import error_answer as native_error_answer
from translators.native.request import place_of_file_id, read_native, with_model
from translators.native.stream import NativeStream, WholeEvents
from translators.sse import EventTooLargeError

POOL_KEY = "sk-ant-api03-of-the-pool-" + "p" * 20
OWN_KEY = "sk-ant-api03-of-the-caller-" + "c" * 20
CLIENT_KEY = "my-app-key-0123456789"
CLIENTS = (ClientConfig(name="app", api_key=Secret(CLIENT_KEY)),)
SERVED = json_answer(200, messages.message())
PATHS = (PATH, "/messages", COUNT_PATH, "/messages/count_tokens")

# What Anthropic's SDKs make of a status (section 8.2 of the Messages reference).
TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
}


def spelled(text: str) -> str:
    """The same text in JSON, with every character escaped."""
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


# The request.


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b' { "model" :\n\t"a" , "x" : 1.0 } ', b' { "model" :\n\t"b" , "x" : 1.0 } '),
        (b'{"x":{"model":"a"},"model":"a"}', b'{"x":{"model":"a"},"model":"b"}'),
        (b'{"x":"\\"model\\":\\"a\\"","model":"a"}', b'{"x":"\\"model\\":\\"a\\"","model":"b"}'),
        (
            b'{"x":"model","y":["model",{"model":"a"}],"model":"a"}',
            b'{"x":"model","y":["model",{"model":"a"}],"model":"b"}',
        ),
        (b'{"x":"}]{[","model":"\\u0061"}', b'{"x":"}]{[","model":"b"}'),
        (b'{"x\\\\":1e2,"model":"a","max_tokens":1}', b'{"x\\\\":1e2,"model":"b","max_tokens":1}'),
        ('{"é":"ü","model":"a"}'.encode(), '{"é":"ü","model":"b"}'.encode()),
    ],
)
def test_only_the_model_is_exchanged(before: bytes, after: bytes) -> None:
    assert with_model(before, "b") == after


def test_a_member_is_known_by_its_name_however_it_is_spelled() -> None:
    body = f'{{"y": 1, {spelled("model")}: {spelled("a")}, "z": 2}}'.encode()

    assert with_model(body, "b") == f'{{"y": 1, {spelled("model")}: "b", "z": 2}}'.encode()


def test_two_models_in_one_body_are_a_mistake() -> None:
    with pytest.raises(TranslationError, match="several"):
        with_model(b'{"model":"a","model":"a"}', "b")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("model"), inner),
        max_leaves=20,
    ),
    st.text(min_size=1, max_size=256),
    st.sampled_from([None, 1]),
)
def test_any_body_keeps_everything_but_its_model(extra: Any, model: str, indent: int | None) -> None:
    body = json.dumps({"messages": extra, "model": "a", "tail": extra}, indent=indent).encode()
    changed = with_model(body, model)

    assert json.loads(changed) == {"messages": extra, "model": model, "tail": extra}
    prefix = body[: body.rindex(b'"a"', 0, len(body) - len(json.dumps(extra, indent=indent)))]
    assert changed.startswith(prefix)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"model":null}',
        b'{"model":7}',
        b'{"model":["a"]}',
        b'{"messages":[]}',
        b'{"model":"a"} x',
        b'{"model":"a","stream":"yes"}',
        b'{"model":"a","x":"\xff"}',
        b'{"model":"\\ud83d"}',
        b'{"model":"a","x":' + b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("path", [PATH, COUNT_PATH])
async def test_a_body_that_is_no_request_is_400(upstream: ScriptedUpstream, path: str, body: bytes) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(path, content=body)

    assert_native_error(response, 400, "invalid_request_error")
    assert upstream.received == []


def test_only_true_means_a_stream() -> None:
    asked = [read_native(b'{"model":"a"%b}' % more) for more in (b"", b',"stream":null', b',"stream":false')]

    assert [found.streams for found in asked] == [False] * 3
    assert read_native(b'{"stream":true,"model":"a"}').streams


@pytest.mark.parametrize("path", PATHS)
async def test_the_very_bytes_of_the_client_go_upstream(upstream: ScriptedUpstream, path: str) -> None:
    upstream.always(SERVED)
    message = '{"role":"user","content":"\\u00e9é","z":1,"z":2}'
    body = f'{{ "top_p":1.50, "model":"claude-sonnet-5-5",\n"messages":[{message}],"top_k":2e0}}'.encode()
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(path, content=body)

    assert response.status_code == 200
    (request,) = upstream.received
    assert request.body == body
    assert request.path == (COUNT_PATH if "count" in path else PATH)


@pytest.mark.parametrize("path", PATHS)
async def test_a_models_alias_is_the_only_thing_that_changes(upstream: ScriptedUpstream, path: str) -> None:
    upstream.always(SERVED)
    body = b'{ "metadata":[1.0, {"model": "gpt-5"}], "model":"gpt-5-mini",\n"messages":[] }'
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(path, content=body)

    assert upstream.received[0].body == body.replace(b"gpt-5-mini", b"claude-haiku-5-5")


async def test_version_betas_and_profile_pass_and_nothing_else(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    headers = [
        ("authorization", "Bearer of-the-client"),
        ("x-api-key", "of-the-client"),
        ("cookie", "a=b"),
        ("user-agent", "claude-cli/9"),
        ("x-stainless-lang", "python"),
        ("x-forwarded-for", "10.0.0.1"),
        ("anthropic-workspace-id", "wrkspc_1"),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "context-1m-2026-01-01, effort-2026-01-01"),
        ("anthropic-beta", "effort-2026-01-01,compact-2026-01-01"),
        ("anthropic-user-profile-id", "prof_1"),
    ]
    async with quick_gateway(key(upstream.base_url, api_key=POOL_KEY)) as running:
        await running.http().post(PATH, json=asking_natively(), headers=headers)

    (request,) = upstream.received
    sent = dict(request.headers)
    assert sent.pop("x-api-key") == POOL_KEY
    assert sent.pop("anthropic-version") == "2026-10-21"
    assert sent.pop("anthropic-beta") == "context-1m-2026-01-01,effort-2026-01-01,compact-2026-01-01"
    assert sent.pop("anthropic-user-profile-id") == "prof_1"
    assert sent.pop("user-agent") == "dragoman"
    assert set(sent) == {"host", "accept", "accept-encoding", "content-type", "content-length"}


async def test_who_names_no_version_gets_the_old_one(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking_natively())

    assert upstream.received[0].headers["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in upstream.received[0].headers


@pytest.mark.parametrize("name", ["anthropic-version", "anthropic-beta", "anthropic-user-profile-id"])
async def test_a_header_that_cannot_go_on_is_the_callers_mistake(upstream: ScriptedUpstream, name: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(), headers={name.encode(): b"\xe9"})

    assert name in assert_native_error(response, 400, "invalid_request_error")["message"]
    assert upstream.received == []


async def test_the_query_stays_behind(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(f"{PATH}?beta=true", json=asking_natively())

    assert response.status_code == 200
    assert upstream.received[0].path == PATH


# Who is asking.


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_clients_key_opens_the_door_and_stays_there(upstream: ScriptedUpstream, path: str, name: str) -> None:
    upstream.always(SERVED)
    value = f"Bearer {CLIENT_KEY}" if name == "authorization" else CLIENT_KEY
    config = config_for(key(upstream.base_url, api_key=POOL_KEY), clients=CLIENTS)
    async with quick_gateway(config=config) as running:
        response = await running.http().post(path, json=asking_natively(), headers={name: value})

    assert response.status_code == 200
    assert upstream.received[0].api_key == POOL_KEY
    assert CLIENT_KEY not in str(upstream.received[0])


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"authorization": f"Bearer {OWN_KEY}"}])
@pytest.mark.parametrize("path", PATHS)
async def test_without_a_clients_key_it_is_401(upstream: ScriptedUpstream, path: str, headers: dict[str, str]) -> None:
    async with quick_gateway(config=config_for(key(upstream.base_url), clients=CLIENTS)) as running:
        response = await running.http().post(path, json=asking_natively(), headers=headers)

    assert_native_error(response, 401, "authentication_error")
    assert upstream.received == []


async def test_a_callers_own_key_goes_upstream(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        http = running.http()
        own = await http.post(PATH, json=asking_natively(), headers={"authorization": f"Bearer {OWN_KEY}"})
        foreign = await http.post(PATH, json=asking_natively(), headers={"authorization": "Bearer sk-openai"})

    assert own.status_code == 200
    assert [request.api_key for request in upstream.received] == [OWN_KEY]
    assert_native_error(foreign, 401, "authentication_error")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 500, 529])
async def test_what_is_said_of_a_callers_own_key_passes_as_it_is(upstream: ScriptedUpstream, status: int) -> None:
    upstream.always(error_answer(status, "some_error", "About your account.", details={"error_code": "x"}))
    config = with_settings(config_for(), retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config, callers_base_url=upstream.base_url) as running:
        response = await running.http().post(
            PATH, json=asking_natively(), headers={"authorization": f"Bearer {OWN_KEY}"}
        )

    assert response.status_code == status
    assert response.json()["error"] == {
        "type": "some_error",
        "message": "About your account.",
        "details": {"error_code": "x"},
    }
    assert response.headers["request-id"] == REQUEST_ID


@pytest.mark.parametrize("field", ["speed", "inference_geo", "mcp_servers", "container"])
async def test_what_spends_or_reaches_more_than_tokens_takes_the_operators_leave_or_a_key_of_ones_own(
    upstream: ScriptedUpstream, field: Any
) -> None:
    upstream.always(SERVED)
    body = asking_natively() | {field: "x"}
    allowing = with_settings(config_for(key(upstream.base_url)), translation=TranslationConfig(allow_native=(field,)))
    own = {"authorization": f"Bearer {OWN_KEY}"}
    async with quick_gateway(key(upstream.base_url)) as running:
        refused = await running.http().post(PATH, json=body)
        absent = await running.http().post(PATH, json=body | {field: None})
    async with quick_gateway(config=allowing) as running:
        allowed = await running.http().post(PATH, json=body)
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        owned = await running.http().post(PATH, json=body, headers=own)

    assert field in assert_native_error(refused, 400, "invalid_request_error")["message"]
    assert (absent.status_code, allowed.status_code, owned.status_code) == (200, 200, 200)
    assert [request.json[field] for request in upstream.received] == [None, "x", "x"]


def with_blocks(*blocks: Any) -> bytes:
    """A request whose second message has these blocks."""
    return json.dumps({"model": "a", "messages": [{"role": "user", "content": "x"}, {"content": blocks}]}).encode()


UPLOADED = {"type": "file", "file_id": "file_1"}
IMAGE = {"type": "image", "source": UPLOADED}
MADE_OF_BLOCKS = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}, IMAGE]}}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (with_blocks(IMAGE), "messages.1.content.0.source.file_id"),
        (
            with_blocks({"type": "text"}, {"type": "document", "source": UPLOADED}),
            "messages.1.content.1.source.file_id",
        ),
        (with_blocks({"type": "container_upload", "file_id": "file_1"}), "messages.1.content.0.file_id"),
        (with_blocks({"type": "tool_result", "content": [IMAGE]}), "messages.1.content.0.content.0.source.file_id"),
        (with_blocks(MADE_OF_BLOCKS), "messages.1.content.0.source.content.1.source.file_id"),
        (with_blocks(IMAGE).replace(b'"file_id"', rb'"\u0066ile\u005fid"'), "messages.1.content.0.source.file_id"),
        (with_blocks(IMAGE).replace(b'"file"', rb'"fil\u0065"'), "messages.1.content.0.source.file_id"),
        (
            with_blocks(IMAGE).replace(b'"source"', rb'"s\u006furce"').replace(b"file_id", rb"file\u005Fid"),
            "messages.1.content.0.source.file_id",
        ),
        (with_blocks({"type": "text", "text": 'What is a "file_id"?'}), None),
        (with_blocks({"type": "text", "text": "\x0e \u00e9 \\u0066"}), None),
        (with_blocks({"type": "tool_use", "input": {"type": "file", "file_id": "mine"}}), None),
        (with_blocks({"type": "tool_result", "content": 'file_id: "x"'}), None),
        (with_blocks({"type": "image", "source": {"type": "url", "url": "https://a/?file_id=1"}}), None),
        (with_blocks(None, 5, "file_id", [IMAGE], {"type": 5, "source": [UPLOADED], "content": 7}), None),
        (b'{"model":"a","messages":"file_id"}', None),
        (b'{"model":"a","messages":[["file_id"]],"file_id":1}', None),
        (b'{"model":"a","tools":[{"input_schema":{"properties":{"file_id":{"type":"file"}}}}]}', None),
    ],
)
def test_the_id_of_a_file_is_found_where_it_counts(body: bytes, place: str | None) -> None:
    read_native(body)

    assert place_of_file_id(body) == place


def test_what_only_seems_to_have_no_ids_is_refused() -> None:
    body = with_blocks(IMAGE).replace(b'"image"', b'"image","\\ud83d":1')

    with pytest.raises(TranslationError):
        place_of_file_id(body)


@pytest.mark.parametrize("path", PATHS)
async def test_ids_of_files_take_the_operators_leave_or_a_key_of_ones_own(
    upstream: ScriptedUpstream, path: str
) -> None:
    upstream.always(SERVED)
    body = asking_natively(messages=[{"role": "user", "content": [IMAGE]}])
    allowing = config_for(key(upstream.base_url))
    allowing = with_settings(allowing, translation=TranslationConfig(allow_native=("file_ids",)))
    async with quick_gateway(key(upstream.base_url)) as running:
        refused = await running.http().post(path, json=body)
        received = len(upstream.received)
    async with quick_gateway(config=allowing) as running:
        allowed = await running.http().post(path, json=body)
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        owned = await running.http().post(path, json=body, headers={"authorization": f"Bearer {OWN_KEY}"})

    message = assert_native_error(refused, 400, "invalid_request_error")["message"]
    assert message.startswith("messages.0.content.0.source.file_id: ")
    assert received == 0
    assert (allowed.status_code, owned.status_code) == (200, 200)
    assert upstream.received[-1].json == body


# The shape of failures.


def test_every_kind_of_error_has_a_status_and_a_type_of_anthropics() -> None:
    assert set(NATIVE_RULES) == set(ErrorKind)
    assert {rule.type for rule in NATIVE_RULES.values()} <= TYPES


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_is_written_in_anthropics_shape(kind: ErrorKind) -> None:
    failure = Failure(kind, "Because \ud83d.")
    written = native_error_answer(failure, "req_1")
    error = {"type": NATIVE_RULES[kind].type, "message": "Because ?."}

    assert written.status == NATIVE_RULES[kind].status
    assert json.loads(written.body) == {"type": "error", "error": error, "request_id": "req_1"}
    assert error_event(failure, "req_1") == b"event: error\ndata: " + written.body + b"\n\n"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_method_is_405_in_anthropics_shape(upstream: ScriptedUpstream, path: str, method: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().request(method, path)

    assert_native_error(response, 405, "invalid_request_error")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", [f"{PATH}/", f"{PATH}/batches", "/messages/x", f"/v1{PATH}", f"{COUNT_PATH}/more"])
async def test_an_address_that_is_not_offered_is_404_in_anthropics_shape(upstream: ScriptedUpstream, path: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running, httpx2.AsyncClient(trust_env=False) as http:
        response = await http.post(running.url + path, json=asking_natively())

    message = assert_native_error(response, 404, "not_found_error")["message"]
    assert f"POST {PATH}" in message
    assert ("twice" in message) == path.startswith("/v1/v1/")


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        (PATH, [], ANTHROPIC),
        ("/messages", [], ANTHROPIC),
        ("/messages-of-mine", [], OPENAI),
        ("/x/messages", [], OPENAI),
        ("/v1/models", [], OPENAI),
        ("/v1/models", [(b"anthropic-version", b"2023-06-01")], ANTHROPIC),
        ("/models/x", [(b"anthropic-version", b"2023-06-01")], ANTHROPIC),
        (CHAT_PATH, [(b"anthropic-version", b"2023-06-01")], OPENAI),
        ("/", [], OPENAI),
    ],
)
def test_the_address_decides_the_shape(path: str, headers: list[tuple[bytes, bytes]], shape: object) -> None:
    assert shape_for({"path": path, "headers": headers}) is shape


async def test_a_body_that_is_too_large_is_413(upstream: ScriptedUpstream) -> None:
    config = with_settings(config_for(key(upstream.base_url)), server=ServerConfig(port=0, max_body_bytes=1000))
    async with quick_gateway(config=config) as running:
        response = await running.http().post(PATH, json=asking_natively("x" * 1000))

    assert_native_error(response, 413, "request_too_large")


async def test_a_body_in_another_coding_is_400_as_at_anthropics(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(), headers={"content-encoding": "br"})

    assert_native_error(response, 400, "invalid_request_error")


async def test_a_page_from_elsewhere_is_403_in_anthropics_shape(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(), headers={"origin": "https://evil.example"})

    assert_native_error(response, 403, "permission_error")


async def test_a_failure_of_the_gateway_itself_is_500_in_anthropics_shape(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_body: bytes) -> None:
        raise ZeroDivisionError("sk-ant-secret-in-the-text")

    monkeypatch.setattr("gateway.doors.messages.read_native", broken)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively())

    assert "secret" not in assert_native_error(response, 500, "api_error")["message"]


async def test_a_model_that_is_not_listed_is_told_to_anthropics_sdk_in_its_shape(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        headers = {"anthropic-version": "2023-06-01"}
        response = await running.http().get("/v1/models/claude-nonsense-9", headers=headers)

    assert_native_error(response, 404, "not_found_error")


def test_the_page_on_native_requests_holds_the_table_of_the_code() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/native.md").read_text("utf-8")
    rows: dict[tuple[int, str], list[str]] = {}
    for kind, rule in NATIVE_RULES.items():
        pointless = " (`x-should-retry: false`)" if RULES[kind].sdk_retry is False else ""
        rows.setdefault((rule.status, rule.type), []).append(kind.name.lower().replace("_", " ") + pointless)
    table = [f"| {status} | `{type_}` | {', '.join(kinds)} |" for (status, type_), kinds in sorted(rows.items())]

    assert re.findall(r"^\| \d.*\|$", page, re.MULTILINE) == table


def test_what_differs_from_chat_completions_is_on_the_page() -> None:
    page = " ".join((Path(__file__).resolve().parents[2] / "docs/native.md").read_text("utf-8").split())
    sides = {kind: (RULES[kind].status, NATIVE_RULES[kind].status) for kind in ErrorKind}
    differing = {kind: statuses for kind, statuses in sides.items() if statuses[0] != statuses[1]}

    assert differing == {
        ErrorKind.CALLER_QUOTA: (429, 402),
        ErrorKind.OVER_BUDGET: (429, 402),
        ErrorKind.LINKED_ACCOUNT: (429, 402),
        ErrorKind.COMPACTION_UNAVAILABLE: (503, 529),
        ErrorKind.UNSUPPORTED_ENCODING: (415, 400),
        ErrorKind.OVERLOADED: (503, 529),
        ErrorKind.UPSTREAM_REQUEST_TIMEOUT: (408, 504),
    }
    for kind, (chat, native) in differing.items():
        assert f"{kind.name.lower().replace('_', ' ')} {native} (chat completions: {chat})" in page


# The stream.


@given(stream=messages.messages_streams(), newline=messages.newlines, padding=messages.paddings, data=st.data())
def test_a_stream_passes_untouched_however_the_network_cuts_it(
    stream: list[dict[str, Any]], newline: bytes, padding: list[int], data: st.DataObject
) -> None:
    whole = messages.encode(stream, newline, padding)
    native = NativeStream()
    pieces = [native.feed(piece) for piece in data.draw(messages.cuts(whole)) if not native.is_done]

    assert native.is_done
    assert native.failure is None
    # A CR LF at the very end may be cut in two, and its CR alone has ended the stream.
    assert b"".join(pieces) in (whole, whole.removesuffix(b"\n"))
    assert native.usage.output_tokens == _output_tokens(stream)


@given(stream=messages.messages_streams(), newline=messages.newlines, data=st.data())
def test_what_is_given_out_is_always_whole_events(
    stream: list[dict[str, Any]], newline: bytes, data: st.DataObject
) -> None:
    whole = messages.encode(stream, newline)
    events = WholeEvents()
    given_out = b""
    for piece in data.draw(messages.cuts(whole)):
        given_out += events.feed(piece)
        end = given_out.removesuffix(b"\n") if newline == b"\r\n" else given_out
        assert not end or end.endswith((b"\n\n", b"\r\r", b"\r\n\r"))

    assert given_out + events.rest() == whole


def test_an_event_that_does_not_end_is_not_kept_without_bounds() -> None:
    events = WholeEvents(100)
    for _ in range(12):
        assert events.feed(b"data: x\n") == b""

    with pytest.raises(EventTooLargeError):
        events.feed(b"data: x\n")


def test_an_event_that_does_not_end_fails_the_stream() -> None:
    stream = NativeStream(100)
    assert stream.feed(b"data: " + b"x" * 200) == b""
    assert stream.failure is not None
    assert stream.failure.kind is ErrorKind.PROTOCOL_ERROR


def test_an_end_without_the_last_blank_line_is_still_one() -> None:
    whole = b"".join(messages.text_stream())
    stream = NativeStream()
    passed = stream.feed(whole[:-2])

    assert not stream.is_done
    assert passed + stream.end() == whole[:-2]
    assert stream.is_done
    assert stream.failure is None


def test_an_answer_without_a_single_block_is_one() -> None:
    whole = messages.sse(*messages.message_events())
    stream = NativeStream()

    assert stream.feed(whole) == whole
    assert stream.is_done


@pytest.mark.parametrize("count", range(len(messages.text_stream())))
def test_an_end_without_message_stop_is_a_failure(count: int) -> None:
    events = messages.text_stream()
    stream = NativeStream()
    passed = b"".join(stream.feed(event) for event in events[:count])
    passed += stream.feed(events[count][:-3]) + stream.end()

    if count < len(events) - 1:
        assert stream.failure is not None
        assert stream.failure.kind is ErrorKind.CUT_OFF
        assert passed == (b"".join(events[:count]) if count > 1 else b"")


def _output_tokens(stream: list[dict[str, Any]]) -> int:
    counts = [event["message"]["usage"] for event in stream if event["type"] == "message_start"]
    counts += [event["usage"] for event in stream if event["type"] == "message_delta"]
    said: list[int] = [found["output_tokens"] for found in counts if found.get("output_tokens") is not None]
    return said[-1]


# What callers choose, and the gateway keeps.


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", ["", "m" * 257, "m" * 2_000_000])
async def test_a_models_name_has_a_length(upstream: ScriptedUpstream, path: str, model: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(path, json=asking_natively() | {"model": model})

    assert "model" in assert_native_error(response, 400, "invalid_request_error")["message"]
    assert len(response.content) < 500
    assert upstream.received == []


@pytest.mark.parametrize("native", [True, False])
async def test_a_long_name_in_the_address_is_no_model(upstream: ScriptedUpstream, native: bool) -> None:
    headers = {"anthropic-version": "2023-06-01"} if native else {}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().get(f"/v1/models/{'m' * 20_000}", headers=headers)
        remembered: Any = messages_of(running)._aliases._target

    assert response.status_code == 404
    assert len(response.content) < 1000
    assert remembered.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("anthropic-version", "2023-06-01" * 10),
        ("anthropic-version", "x" * 60_000),
        ("anthropic-version", "yesterday"),
        ("anthropic-beta", "b" * 101),
        ("anthropic-beta", "context-1m-2025-08-07," * 100),
        ("anthropic-beta", "a b"),
        ("anthropic-user-profile-id", "p" * 2049),
    ],
)
@pytest.mark.parametrize("is_own", [True, False])
async def test_headers_that_go_on_have_a_form(upstream: ScriptedUpstream, name: str, value: str, is_own: bool) -> None:
    headers = {name: value} | ({"authorization": f"Bearer {OWN_KEY}"} if is_own else {})
    keys = () if is_own else (key(upstream.base_url),)
    async with quick_gateway(*keys, callers_base_url=upstream.base_url) as running:
        response = await running.http().post(PATH, json=asking_natively(), headers=headers)

    assert name in assert_native_error(response, 400, "invalid_request_error")["message"]
    assert upstream.received == []


async def test_a_beta_that_nobody_has_allowed_stays_behind_and_is_named(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    headers = {"anthropic-beta": "claude-code-20250219,tomorrow-2026-12-24"}
    own = {"authorization": f"Bearer {OWN_KEY}"}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(), headers=headers)
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        owned = await running.http().post(PATH, json=asking_natively(), headers=headers | own)

    assert [request.headers["anthropic-beta"] for request in upstream.received] == [
        "claude-code-20250219",
        headers["anthropic-beta"],
    ]
    assert response.headers["x-gateway-adjusted"] == "anthropic-beta.tomorrow-2026-12-24=dropped:not-allowed"
    assert "x-gateway-adjusted" not in owned.headers


@pytest.mark.parametrize("path", [PATH, CHAT_PATH])
async def test_the_operator_says_which_of_anthropics_tools_may_be_used(upstream: ScriptedUpstream, path: str) -> None:
    # With one of them an answer is streamed from upstream, whatever its caller wants.
    upstream.always(lambda asked: stream_answer(*messages.text_stream()) if asked.json.get("stream") else SERVED)
    tool = {"type": "code_execution_20260521", "name": "code_execution"}
    body = asking_natively(tools=[tool], stream=False)
    fewer = with_settings(config_for(key(upstream.base_url)), native=NativeConfig(server_tools=("web_search",)))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(path, json=body)
        allowed = len(upstream.received)
    async with quick_gateway(config=fewer) as running:
        refused = await running.http().post(path, json=body)

    assert allowed == 1
    if path == PATH:
        assert "tools.0.type" in assert_native_error(refused, 400, "invalid_request_error")["message"]
    else:
        assert refused.headers["x-gateway-adjusted"] == "tools.type=dropped:not-allowed"
        assert "tools" not in upstream.received[-1].json
