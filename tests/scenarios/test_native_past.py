"""What native requests send back of earlier answers: signed thinking, threads, sessions; over several accounts."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from gateway.config import ModelsConfig
from gateway.keypool import Lease, LeaseRequest
from tests.scenarios.harness import KEY_A, KEY_B, no_lease_is_out, pool_of, quick_gateway, without_pauses
from tests.scenarios.native_harness import COUNT_PATH, PATH, asking_natively
from tests.support import messages
from tests.support.gateway import ClientConfig, Config, RunningGateway, Secret, config_for, key
from tests.support.messages import message_events, thinking_block, tool_block
from tests.support.scripted import Answer, ReceivedRequest, ScriptedUpstream, error_answer, json_answer, stream_answer

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
MODEL, OTHER_MODEL = "claude-sonnet-5-5", "claude-haiku-5-5"
ADJUSTED = "x-gateway-adjusted"
REFUSALS = (
    "messages.1.content.0: Invalid `signature` in `thinking` block",
    "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.",
    "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
    "modified. These blocks must remain as they were in the original response.",
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
)
LIMITED = error_answer(429, "rate_limit_error", "Slow down.", headers={"retry-after": "60"})
BETAS = {"anthropic-beta": "message-threads-2026-08-12"}
CLIENTS = tuple(ClientConfig(name=name, api_key=Secret(f"key-of-{name}-0123456789")) for name in ("one", "two"))


def of(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer key-of-{name}-0123456789", **BETAS}


def whose(api_key: str | None) -> str:
    return "a" if api_key == KEY_A else "b"


def headers_of(api_key: str | None) -> dict[str, str]:
    return {"anthropic-organization-id": f"org-{whose(api_key)}", "anthropic-workspace-id": f"ws-{whose(api_key)}"}


class Accounts:
    """An upstream of two accounts, each with a key: signs what it answers, and refuses what others have signed."""

    def __init__(self, upstream: ScriptedUpstream, *, stream: bool = False) -> None:
        self.limited: set[str] = set()
        self.stream = stream
        self._answers = 0
        upstream.models(lambda request: json_answer(200, {"data": []}, headers=headers_of(request.api_key)))
        upstream.always(self._answer)

    def _answer(self, request: ReceivedRequest) -> Answer:
        name, headers = whose(request.api_key), headers_of(request.api_key)
        if name in self.limited:
            return LIMITED
        blocks = [block for said in request.json["messages"] for block in said["content"] if type(block) is dict]
        signed = [block["signature"] for block in blocks if block["type"] == "thinking"]
        if any(not signature.startswith(f"signed-by-{name}") for signature in signed):
            return error_answer(400, "invalid_request_error", REFUSALS[0])
        self._answers += 1
        seal, message_id, call_id = (f"{of}-{name}-{self._answers}" for of in ("signed-by", "msg", "toolu"))
        if self.stream:
            parts = thinking_block("Hm", seal), tool_block(call_id, "look", "{}")
            events = message_events(*parts, message_id=message_id, stop_reason="tool_use")
            return stream_answer(*[messages.sse(event) for event in events], headers=headers)
        content = turn(seal, call_id)[0]["content"]
        answer = messages.message(content, message_id=message_id, stop_reason="tool_use")
        return json_answer(200, answer, headers)


def config(upstream: ScriptedUpstream, **more: Any) -> Config:
    keys = (key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B))
    return replace(config_for(*keys, clients=CLIENTS), **more)


def turn(signature: str, call_id: str = "toolu") -> list[dict[str, Any]]:
    content = [
        {"type": "thinking", "thinking": "Hm", "signature": signature},
        {"type": "tool_use", "id": call_id, "name": "look", "input": {}},
    ]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "dust"}]
    return [{"role": "assistant", "content": content}, {"role": "user", "content": results}]


async def ask(running: RunningGateway, history: list[Any] | None = None, **more: Any) -> httpx2.Response:
    caller, path = more.pop("caller", "one"), more.pop("path", PATH)
    body = asking_natively(**more)
    body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "Look."}]}, *(history or [])]
    return await running.http().post(path, json=body, headers=of(caller))


def signatures(request: ReceivedRequest) -> list[str]:
    blocks = [block for said in request.json["messages"] for block in said["content"] if type(block) is dict]
    return [block["signature"] for block in blocks if block["type"] == "thinking"]


def served(upstream: ScriptedUpstream) -> list[tuple[str, list[str]]]:
    """Who was asked, and with whose thoughts."""
    return [(whose(request.api_key), signatures(request)) for request in upstream.received]


# Thinking.


@both
async def test_thinking_stays_with_its_account_and_is_left_behind_for_good_where_that_cannot_be(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    accounts = Accounts(upstream, stream=stream)
    async with quick_gateway(config=config(upstream)) as running:
        without_pauses(running)
        accounts.limited = {"b"}
        history = []
        await ask(running, stream=stream)
        history += turn("signed-by-a-1")
        accounts.limited = set()
        await ask(running, history, stream=stream)
        history += turn("signed-by-a-2")
        accounts.limited = {"a"}
        moved = await ask(running, history, stream=stream)
        history += turn("signed-by-b-3")
        accounts.limited = set()
        stayed = await ask(running, history, stream=stream)
        history += turn("signed-by-b-4")
        last = await ask(running, history, stream=stream)

    assert [response.status_code for response in (moved, stayed, last)] == [200] * 3
    assert [response.headers[ADJUSTED] for response in (moved, stayed, last)] == ["thinking_blocks=dropped:account"] * 3
    assert [each for each in served(upstream) if each != ("b", [])][:1] == [("a", [])]
    assert served(upstream)[-5:] == [
        ("a", ["signed-by-a-1"]),
        ("a", ["signed-by-a-1", "signed-by-a-2"]),
        ("b", []),
        ("b", ["signed-by-b-3"]),
        ("b", ["signed-by-b-3", "signed-by-b-4"]),
    ]


async def test_thoughts_of_nobody_known_go_as_they_came_and_without_once_refused(upstream: ScriptedUpstream) -> None:
    Accounts(upstream)
    history = turn("signed-by-stranger")
    async with quick_gateway(config=config(upstream)) as running:
        first = await ask(running, history)
        again = await ask(running, history)

    assert [first.status_code, again.status_code] == [200, 200]
    assert first.headers[ADJUSTED] == again.headers[ADJUSTED] == "thinking_blocks=dropped:refused"
    assert [thoughts for _, thoughts in served(upstream)] == [["signed-by-stranger"], [], []]


@pytest.mark.parametrize("words", REFUSALS)
@both
async def test_whatever_is_wrong_with_thinking_is_no_error_of_the_callers(
    upstream: ScriptedUpstream, words: str, stream: bool
) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if signatures(request):
            return error_answer(400, "invalid_request_error", words)
        return stream_answer(*messages.text_stream()) if stream else json_answer(200, messages.message())

    upstream.always(answer)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await ask(running, turn("any"), stream=stream)
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert response.headers[ADJUSTED] == "thinking_blocks=dropped:refused"
    assert len(upstream.received) == 2


@pytest.mark.parametrize("words", [REFUSALS[0], "messages.3.content: Field required"])
async def test_what_is_refused_without_thinking_too_is_told_as_upstream_says_it(
    upstream: ScriptedUpstream, words: str
) -> None:
    upstream.always(error_answer(400, "invalid_request_error", words))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await ask(running, turn("any"))

    assert response.status_code == 400
    assert response.json()["error"]["message"] == words
    assert len(upstream.received) == (2 if words == REFUSALS[0] else 1)


async def test_a_callers_own_key_gets_upstreams_answer_and_nothing_is_changed(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(400, "invalid_request_error", REFUSALS[0]))
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        headers = {"x-api-key": "sk-ant-api03-of-the-caller"}
        body = asking_natively() | {"messages": turn("any"), "thread": {"type": "fork"}}
        response = await running.http().post(PATH, json=body, headers=headers)

    assert response.status_code == 400
    assert [request.json for request in upstream.received] == [body]


async def test_counting_leaves_out_what_the_asked_account_cannot_read(upstream: ScriptedUpstream) -> None:
    accounts = Accounts(upstream)
    async with quick_gateway(config=config(upstream)) as running:
        without_pauses(running)
        accounts.limited = {"b"}
        await ask(running)
        accounts.limited = {"a"}
        response = await ask(running, turn("signed-by-a-1"), path=COUNT_PATH)

    assert response.status_code == 200
    assert served(upstream)[-1] == ("b", [])


async def test_clients_know_nothing_of_each_others_thoughts(upstream: ScriptedUpstream) -> None:
    accounts = Accounts(upstream)
    async with quick_gateway(config=config(upstream)) as running:
        without_pauses(running)
        accounts.limited = {"b"}
        await ask(running)
        signers = running.gateway.services.signers
        accounts.limited = {"a"}
        response = await ask(running, turn("signed-by-a-1"), caller="two")

    # Sent as it came, since nobody here knows it, and refused.
    assert response.headers[ADJUSTED] == "thinking_blocks=dropped:refused"
    assert ("b", ["signed-by-a-1"]) in served(upstream)
    assert served(upstream)[-1] == ("b", [])
    assert len(signers._known) == 3


async def test_a_stand_in_for_the_model_leaves_out_the_same(upstream: ScriptedUpstream) -> None:
    accounts = Accounts(upstream)
    models = ModelsConfig(fallbacks={MODEL: (OTHER_MODEL,)})
    async with quick_gateway(config=config(upstream, models=models)) as running:
        without_pauses(running)
        accounts.limited = {"b"}
        await ask(running)
        accounts.limited = {"a"}
        served_by = accounts._answer

        def answer(request: ReceivedRequest) -> Answer:
            if request.json["model"] == MODEL:
                return error_answer(529, "overloaded_error", "Overloaded")
            return served_by(request)

        upstream.always(answer)
        response = await ask(running, turn("signed-by-a-1"))

    assert response.status_code == 200
    assert response.headers[ADJUSTED] == "thinking_blocks=dropped:account"
    assert upstream.received[-1].json["model"] == OTHER_MODEL


# Threads.


def thread_of(response: httpx2.Response) -> dict[str, Any]:
    body = response.text
    at = body.index("msg-")
    return {"type": "continue", "previous_message_id": body[at : body.index('"', at)]}


def assert_unsupported(response: httpx2.Response) -> None:
    """What Anthropic's SDKs answer by sending the whole conversation."""
    body = response.json()
    assert response.status_code == 400
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["details"] == {"error_code": "thread_unsupported_request"}
    assert body["request_id"] == response.headers["request-id"]


@both
@pytest.mark.parametrize("first", ["a", "b"])
async def test_a_thread_goes_on_where_its_message_is(upstream: ScriptedUpstream, stream: bool, first: str) -> None:
    accounts = Accounts(upstream, stream=stream)
    async with quick_gateway(config=config(upstream)) as running:
        without_pauses(running)
        accounts.limited = {"a", "b"} - {first}
        created = await ask(running, stream=stream, thread={"type": "create"})
        accounts.limited = set()
        for _ in range(4):
            created = await ask(running, stream=stream, thread=thread_of(created))
            assert created.status_code == 200

    assert [whose(request.api_key) for request in upstream.received[-4:]] == [first] * 4
    assert upstream.received[-1].headers["anthropic-beta"] == BETAS["anthropic-beta"]
    assert ADJUSTED not in created.headers


async def test_a_thread_is_continued_by_its_own_client_only(upstream: ScriptedUpstream) -> None:
    Accounts(upstream)
    async with quick_gateway(config=config(upstream)) as running:
        created = await ask(running, thread={"type": "create"})
        plain = await ask(running)
        asked = len(upstream.received)
        foreign = await ask(running, thread=thread_of(created), caller="two")
        unknown = await ask(running, thread={"type": "continue", "previous_message_id": "msg-unknown"})
        unthreaded = await ask(running, thread=thread_of(plain))

    for response in (foreign, unknown, unthreaded):
        assert_unsupported(response)
    assert len(upstream.received) == asked


@both
async def test_a_thread_whose_workspace_is_limited_goes_on_without(upstream: ScriptedUpstream, stream: bool) -> None:
    accounts = Accounts(upstream, stream=stream)
    async with quick_gateway(config=config(upstream)) as running:
        without_pauses(running)
        accounts.limited = {"b"}
        created = await ask(running, stream=stream, thread={"type": "create"})
        accounts.limited = {"a"}
        response = await ask(running, stream=stream, thread=thread_of(created))
        await no_lease_is_out(running)

    assert_unsupported(response)
    assert whose(upstream.received[-1].api_key) == "a"


async def test_a_limit_is_told_where_nobody_else_could_answer(upstream: ScriptedUpstream) -> None:
    accounts = Accounts(upstream)
    alone = config_for(key(upstream.base_url, "a", KEY_A), clients=CLIENTS)
    async with quick_gateway(config=alone) as running:
        without_pauses(running)
        created = await ask(running, thread={"type": "create"})
        accounts.limited = {"a"}
        response = await ask(running, thread=thread_of(created))

    assert response.status_code == 429


async def test_a_thread_whose_keys_are_gone_goes_on_without(upstream: ScriptedUpstream) -> None:
    accounts = Accounts(upstream)
    async with quick_gateway(config=config(upstream)) as running:
        without_pauses(running)
        accounts.limited = {"b"}
        created = await ask(running, thread={"type": "create"})
        running.gateway.reload(config_for(key(upstream.base_url, "b", KEY_B), clients=CLIENTS))
        response = await ask(running, thread=thread_of(created))

    assert_unsupported(response)


async def test_a_message_of_a_stand_in_continues_no_thread(upstream: ScriptedUpstream) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if request.json["model"] == MODEL:
            return error_answer(529, "overloaded_error", "Overloaded")
        return json_answer(200, messages.message(message_id="msg-x"))

    upstream.always(answer)
    models = ModelsConfig(fallbacks={MODEL: (OTHER_MODEL,)})
    async with quick_gateway(config=config(upstream, models=models)) as running:
        without_pauses(running)
        created = await ask(running, thread={"type": "create"})
        response = await ask(running, thread=thread_of(created))

    assert created.status_code == 200
    assert_unsupported(response)


async def test_an_overloaded_model_is_not_replaced_within_a_thread(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message(message_id="msg-x")))
    models = ModelsConfig(fallbacks={MODEL: (OTHER_MODEL,)})
    alone = replace(config_for(key(upstream.base_url, "a", KEY_A), clients=CLIENTS), models=models)
    async with quick_gateway(config=alone) as running:
        without_pauses(running)
        created = await ask(running, thread={"type": "create"})
        upstream.always(error_answer(529, "overloaded_error", "Overloaded"))
        response = await ask(running, thread=thread_of(created))

    assert_unsupported(response)
    assert {request.json["model"] for request in upstream.received} == {MODEL}


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "thread_not_found"), (400, "thread_already_continued"), (400, "thread_continue_in_flight")],
)
async def test_what_upstream_says_of_a_thread_is_told_as_it_is(
    upstream: ScriptedUpstream, status: int, code: str
) -> None:
    upstream.script(json_answer(200, messages.message(message_id="msg-x"), headers_of(KEY_A)))
    async with quick_gateway(config=config(upstream)) as running:
        created = await ask(running, thread={"type": "create"})
        type_ = "not_found_error" if status == 404 else "invalid_request_error"
        upstream.always(error_answer(status, type_, "No such thread.", details={"error_code": code}))
        response = await ask(running, thread=thread_of(created))

    assert response.status_code == status
    assert response.json()["error"]["details"] == {"error_code": code}


async def test_a_thread_cannot_be_named_in_two_ways(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=config(upstream)) as running:
        body = json.dumps(asking_natively())[:-1]
        twice = '{"type":"continue","previous_message_id":"msg-1","previous_message_id":"msg-2"}'
        texts = (f'{body},"thread":{twice}}}', f'{body},"\\u0074hread":{{"type":"x"}}}}')
        responses = [await running.http().post(PATH, content=text, headers=of("one")) for text in texts]

    assert [response.status_code for response in responses] == [400, 400]
    assert upstream.received == []


# Sessions.


def lease_requests_of(running: RunningGateway) -> list[LeaseRequest]:
    """The demands that native requests make of the pool from now on."""
    pool, lease_requests = pool_of(running), []
    acquire: Callable[..., Lease | None] = pool.acquire

    def spy(now: float, request: LeaseRequest, **more: Any) -> Lease | None:
        lease_requests.append(request)
        return acquire(now, request, **more)

    pool.acquire = spy  # type: ignore[method-assign]
    return lease_requests


@pytest.mark.parametrize(
    "name", ["x-claude-code-session-id", "X-Session-Affinity", "x-session-id", "session-id", "session_id"]
)
async def test_requests_of_a_session_share_a_cache_however_they_begin(upstream: ScriptedUpstream, name: str) -> None:
    upstream.always(json_answer(200, messages.message()))
    async with quick_gateway(config=config(upstream)) as running:
        lease_requests = lease_requests_of(running)
        for text, session, caller in (("1", "s", "one"), ("2", "s", "one"), ("3", "t", "one"), ("4", "s", "two")):
            await running.http().post(PATH, json=asking_natively(text), headers={**of(caller), name: session})
    prefixes = [request.prefix for request in lease_requests]

    assert prefixes[0] == prefixes[1]
    assert len(set(prefixes)) == 3
    assert all(name.lower() not in request.headers for request in upstream.received)


async def test_a_session_in_the_metadata_counts_and_a_header_counts_more(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message()))
    metadata = {"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s"})}
    header = {"x-claude-code-session-id": "s"}
    async with quick_gateway(config=config(upstream)) as running:
        lease_requests = lease_requests_of(running)
        for text, headers in (
            ("1", {}),
            ("2", header),
            ("3", {"x-session-id": "x" * 257}),
            ("4", {"x-session-id": "t"}),
        ):
            body = asking_natively(text, metadata=metadata)
            await running.http().post(PATH, json=body, headers={**of("one"), **headers})
    prefixes = [request.prefix for request in lease_requests]

    assert prefixes[0] == prefixes[1] == prefixes[2] != prefixes[3]
