"""What callers and upstreams choose, and the gateway remembers: bounded in bytes, not only in number."""

import contextlib
import json
import ssl
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from gateway.edge.outermost import Edge
from gateway.keypool.key_registry import ORGANIZATION_HEADER, WORKSPACE_HEADER
from gateway.keypool.rate_limits import _seconds, _seconds_between
from gateway.secret import Secret
from gateway.service.catalogue import fetch_models
from gateway.service.ports import Call
from gateway.upstream import direct
from gateway.upstream.hosts import endpoint
from gateway.upstream.limits import TimeLimits
from tests.scenarios.harness import quick_gateway
from tests.support.gateway import key
from tests.support.intents import read_intent
from tests.support.pools import pool_of, taken
from tests.support.scripted import ReceivedRequest, ScriptedUpstream, json_answer
from translators import rate_limits, schema
from translators.messages import tools
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import ModelInfo, model_table

LONG = "x" * 60_000


def test_heads_of_calls_are_kept_only_where_they_are_short() -> None:
    host = direct._Host("http://127.0.0.1:9", TimeLimits(), ssl.create_default_context, 1)
    target = endpoint("main", Secret("sk-ant-1"), "http://127.0.0.1:9")

    for number in range(2000):
        for beta in (f"beta-{number}", f"beta-{number}" + "x" * 2000):
            assert beta.encode() in host.head_of(target.prepare(Call("2026-10-21", b"{}", betas=(beta,))))

    assert sum(len(lines) for lines in host._known_lines.values()) < 2**20


def test_small_tools_and_schemas_count_as_what_they_take() -> None:
    row = model_table().row("claude-sonnet-5-5")
    for number in range(6000):
        name = f"tool-{number}"
        properties = {name: {"type": "string"}}
        parameters = {"type": "object", "properties": properties, "required": [name], "additionalProperties": False}
        tool = {"type": "function", "function": {"name": name, "strict": True, "parameters": parameters}}
        body = {"model": row.id, "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
        write_request(read_intent(json.dumps(body).encode()), Target(row.id, row), Options())

    # Each takes two kilobytes or more, however short its text is.
    assert len(tools._REMEMBERED._entries) <= 8 * 2**20 // 2000
    assert len(schema._REMEMBERED._entries) <= 4 * 2**20 // 1500


@pytest.mark.parametrize("name", ["host", "origin"])
async def test_long_hosts_and_origins_are_refused_and_forgotten(upstream: ScriptedUpstream, name: str) -> None:
    headers = {name: ("" if name == "host" else "http://") + f"{LONG}.localhost"}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().get("/v1/models", headers=headers)

    # What is no host at all is refused before anybody asks whose it is.
    assert response.status_code == (400 if name == "host" else 403)
    assert len(response.content) < 1000


async def test_hosts_that_were_answered_are_known_up_to_a_number() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        return

    edge = Edge(app, guards_loopback=lambda: True)
    for number in range(2000):
        scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"host", b"n%d.localhost" % number)]}
        with contextlib.suppress(NotImplementedError):
            await edge(scope, _nothing, _nothing)
    assert 0 < sum(map(len, edge._answered)) < 10_000


async def _nothing(*_: object) -> Any:
    raise NotImplementedError


def test_what_upstream_says_of_moments_is_short_or_nothing() -> None:
    date = "Wed, 25 Nov 2026 10:00:00 GMT"
    rate_limits._duration_until.cache_clear()
    _seconds.cache_clear()

    told = rate_limits.openai_rate_limits({"anthropic-ratelimit-tokens-reset": LONG, "date": date})
    seconds = _seconds_between(date, LONG)

    assert (told, seconds) == ({}, None)
    assert rate_limits._duration_until.cache_info().currsize == _seconds.cache_info().currsize == 0


def test_upstreams_names_for_accounts_have_a_length() -> None:
    pool = pool_of("a")
    lease = taken(pool, 0.0)

    pool.answered(lease, {ORGANIZATION_HEADER: LONG, WORKSPACE_HEADER: LONG}, 0.0, status=200)
    (state,) = pool.states

    assert len(state.organization.name) + len(state.workspace.name) < 100


async def test_a_list_of_models_has_an_end(upstream: ScriptedUpstream) -> None:
    def endless(asked: ReceivedRequest) -> object:
        after = len(upstream.model_requests)
        ids = [f"claude-{after}-{number}" for number in range(500)]
        data = [{"type": "model", "id": name} for name in [*ids, LONG]] + [{"type": "model", "id": "a", "x": LONG}]
        return json_answer(200, {"data": data, "has_more": True, "last_id": ids[-1]})

    upstream.models(endless)  # type: ignore[arg-type]
    client = direct.DirectUpstream(TimeLimits(), ssl.create_default_context)
    try:
        entries = await fetch_models(client, endpoint("main", Secret("sk-ant-1"), upstream.base_url))
    finally:
        await client.close()

    assert len(upstream.model_requests) == 5
    assert len(entries) == 1000
    assert max(len(entry.id) for entry in entries) < 100


def test_names_that_are_new_in_every_list_do_not_fill_the_table() -> None:
    table = model_table()
    for number in range(20):
        table.refine(ModelInfo(id=f"claude-{number}-{name}", max_tokens=7) for name in range(500))

    assert len(table._by_id) <= 5000
    assert table.row("claude-0-0").max_output == 7
