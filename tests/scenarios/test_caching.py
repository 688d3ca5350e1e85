"""What caching does, end to end: an upstream that bills by marks, and what the gateway tells of it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx2
import pytest
from msgspec.structs import replace

from benchmarks.pool.buckets import Limits
from benchmarks.pool.caches import Usage
from benchmarks.pool.tally import dollars
from gateway.config import AdminConfig, TranslationConfig
from tests.scenarios.harness import PATH, asking, no_lease_is_out, quick_gateway
from tests.support import messages
from tests.support.gateway import ClientConfig, RunningGateway, Secret, config_for, key
from tests.support.limited import LimitedUpstream, keys_of, limited_upstream
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer, stream_answer
from tests.support.virtual_time import in_virtual_time

MODEL = "claude-sonnet-5-5"
LIMITS = Limits(requests=100_000, input_tokens=1_000_000_000, output_tokens=1_000_000_000)
LONG = "What does the second section of the contract say about the end of the term? " * 100
SYSTEM = {"role": "system", "content": LONG}
TOOLS = [{"type": "function", "function": {"name": "look", "description": LONG}}]
ADMIN = "admin-key-of-the-operator"

Caching = Literal["off", "auto", "always"]


@asynccontextmanager
async def caching(setting: Caching | None) -> AsyncIterator[tuple[LimitedUpstream, RunningGateway]]:
    """A gateway before an upstream that bills by marks; None leaves the setting as it comes."""
    async with limited_upstream(keys_of(1), LIMITS, goes_by_marks=True) as upstream:
        config = replace(config_for(*upstream.keys), admin=AdminConfig(api_key=Secret(ADMIN)))
        if setting is not None:
            config = replace(config, translation=TranslationConfig(prompt_caching=setting))
        async with quick_gateway(config=config) as running:
            # The time that upstream lives in.
            running.time.clock = asyncio.get_running_loop().time
            yield upstream, running


async def ask(http: httpx2.AsyncClient, *history: dict[str, Any], **more: Any) -> httpx2.Response:
    response = await http.post(PATH, json={**asking(), "messages": list(history), **more})
    assert response.status_code == 200, response.text
    return response


async def one_shots(http: httpx2.AsyncClient) -> None:
    """Single questions that have nothing in common."""
    for number in range(8):
        await ask(http, {"role": "system", "content": f"{number} {LONG}"}, {"role": "user", "content": f"{LONG}"})


async def shared_one_shots(http: httpx2.AsyncClient) -> None:
    """Single questions to one system prompt."""
    for number in range(8):
        await ask(http, SYSTEM, {"role": "user", "content": f"{number} {LONG}"})


async def documents(http: httpx2.AsyncClient) -> None:
    """Questions about one document."""
    for number in range(8):
        parts = [{"type": "text", "text": text} for text in (LONG * 3, f"Question {number}")]
        await ask(http, {"role": "user", "content": parts})


async def chat(http: httpx2.AsyncClient) -> None:
    """A conversation of eight turns."""
    history: list[dict[str, Any]] = [SYSTEM]
    for number in range(8):
        history.append({"role": "user", "content": f"{number} {LONG}"})
        answer = await ask(http, *history)
        history.append({"role": "assistant", "content": answer.json()["choices"][0]["message"]["content"]})


async def agent(http: httpx2.AsyncClient) -> None:
    """A loop of eight requests, of which one has many results."""
    history: list[dict[str, Any]] = [SYSTEM, {"role": "user", "content": "Go"}]
    for number in range(8):
        await ask(http, *history, tools=TOOLS)
        ids = [f"call_{number}_{place}" for place in range(15 if number == 4 else 1)]
        calls = [{"id": name, "type": "function", "function": {"name": "look", "arguments": "{}"}} for name in ids]
        history.append({"role": "assistant", "content": None, "tool_calls": calls})
        history += [{"role": "tool", "tool_call_id": name, "content": f"{name} {LONG}"} for name in ids]


Workload = Callable[[httpx2.AsyncClient], Any]


async def usages_of(workload: Workload, setting: Caching | None) -> list[Usage]:
    async with caching(setting) as (upstream, running):
        await workload(running.http())
        await no_lease_is_out(running)
        return [asked.usage for asked in upstream.asked]


def price(usages: list[Usage]) -> float:
    """Dollars for the input."""
    return sum(dollars(MODEL, dataclasses.replace(usage, output_tokens=0)) for usage in usages)


@in_virtual_time
async def test_single_questions_write_nothing() -> None:
    usages = await usages_of(one_shots, None)

    assert len(usages) == 8
    assert {(usage.cache_read_tokens, usage.cache_write_tokens) for usage in usages} == {(0, 0)}


@pytest.mark.parametrize("workload", [shared_one_shots, documents])
@in_virtual_time
async def test_what_single_questions_share_is_written_by_the_second_and_read_by_the_others(workload: Workload) -> None:
    first, second, *others = await usages_of(workload, None)

    assert (first.cache_read_tokens, first.cache_write_tokens) == (0, 0)
    assert second.cache_read_tokens == 0
    assert second.cache_write_tokens > 1_500
    assert {(usage.cache_read_tokens, usage.cache_write_tokens) for usage in others} == {(second.cache_write_tokens, 0)}


@in_virtual_time
async def test_each_turn_of_a_chat_from_the_third_on_reads_the_one_before() -> None:
    first, second, *others = await usages_of(chat, None)

    assert (first.cache_read_tokens, first.cache_write_tokens) == (0, 0)
    written = second.cache_write_tokens
    assert second.input_tokens == 0
    for usage in others:
        assert usage.cache_read_tokens == written
        written += usage.cache_write_tokens


@in_virtual_time
async def test_each_turn_of_an_agent_reads_the_one_before_however_many_results_it_brings() -> None:
    first, *others = await usages_of(agent, None)

    written = first.cache_write_tokens
    assert first.input_tokens == 0
    for usage in others:
        assert usage.cache_read_tokens == written
        written += usage.cache_write_tokens


@in_virtual_time
async def test_the_next_conversation_reads_the_tools_and_the_system_prompt() -> None:
    async with caching(None) as (upstream, running):
        http = running.http()
        await ask(http, SYSTEM, {"role": "user", "content": LONG}, tools=TOOLS)
        await ask(http, SYSTEM, {"role": "user", "content": f"Another. {LONG}"}, tools=TOOLS)
        await ask(http, {"role": "system", "content": f"Other. {LONG}"}, {"role": "user", "content": "Go"}, tools=TOOLS)
        await ask(http, {"role": "system", "content": f"Third. {LONG}"}, {"role": "user", "content": "Go"}, tools=TOOLS)

        reads = [asked.usage.cache_read_tokens for asked in upstream.asked]
        # Tools that are shared before another system prompt are marked from then on.
        assert reads[0] == reads[2] == 0
        assert reads[1] > reads[3] > 1_500


FIGURES = [
    # Workload, and what the input costs with auto and with always, as parts of what it costs without.
    (one_shots, 1.0, 1.25),
    (shared_one_shots, 0.66, 1.25),
    (documents, 0.32, 1.25),
    (chat, 0.34, 0.30),
    (agent, 0.37, 0.45),
]


@pytest.mark.parametrize(("workload", "auto", "always"), FIGURES)
@in_virtual_time
async def test_what_each_setting_costs(workload: Workload, auto: float, always: float) -> None:
    off = price(await usages_of(workload, "off"))

    assert price(await usages_of(workload, "auto")) / off == pytest.approx(auto, abs=0.01)
    assert price(await usages_of(workload, "always")) / off == pytest.approx(always, abs=0.01)


USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 12_000, "output_tokens": 3}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [PATH, "/v1/completions", "/v1/messages"])
async def test_an_answer_says_what_the_cache_did(upstream: ScriptedUpstream, path: str, stream: bool) -> None:
    answer = stream_answer(*messages.text_stream("Hi", usage=USAGE))
    whole = json_answer(200, messages.message("Hi", usage=USAGE))
    upstream.script(answer if stream else whole)
    body = {**asking(stream=stream), "prompt": "Hi"} if path == "/v1/completions" else asking(stream=stream)
    if path == "/v1/completions":
        del body["messages"]
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(path, json=body)

    assert response.headers["x-gateway-cache"] == "read=12000 write=300"


async def test_several_choices_are_added_up(upstream: ScriptedUpstream) -> None:
    upstream.script(*[json_answer(200, messages.message("Hi", usage=USAGE))] * 2)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(n=2))

    assert response.headers["x-gateway-cache"] == "read=24000 write=600"


async def test_that_nothing_was_cached_is_told_and_where_upstream_told_nothing_neither_does_the_gateway(
    upstream: ScriptedUpstream,
) -> None:
    upstream.script(json_answer(200, messages.message("Hi")), error_answer(400, "invalid_request_error", "No."))
    async with quick_gateway(key(upstream.base_url)) as running:
        answer, error = [await running.http().post(PATH, json=asking()) for _ in range(2)]

    assert answer.headers["x-gateway-cache"] == "read=0 write=0"
    assert "x-gateway-cache" not in error.headers


async def test_the_admin_sees_what_each_client_has_used_and_saved(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message("Hi", usage=USAGE)))
    clients = [ClientConfig(name=name, api_key=Secret(f"client-key-{name}")) for name in ("shop", "desk")]
    config = config_for(key(upstream.base_url), clients=clients)
    config = replace(config, admin=AdminConfig(api_key=Secret(ADMIN)))
    async with quick_gateway(config=config) as running:
        http = running.http()
        asked = [("shop", PATH, asking(n=2)), ("desk", PATH, asking()), ("shop", "/v1/messages", asking())]
        for name, path, body in asked:
            await http.post(path, json=body, headers={"x-api-key": f"client-key-{name}"})
        running.gateway.reload(replace(config, clients=(clients[0],)))
        await http.post("/v1/messages/count_tokens", json=asking(), headers={"x-api-key": "client-key-shop"})
        refused = await http.get("/admin/clients", headers={"x-api-key": "client-key-shop"})
        answer = await http.get("/admin/clients", headers={"x-api-key": ADMIN})

    assert refused.status_code == 401
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["worker"] == {"number": 1, "count": 1}
    desk, shop = answer.json()["clients"]
    assert desk == {
        "name": "desk",
        "requests": 1,
        "prompt_tokens": 12_310,
        "cache_read_tokens": 12_000,
        "cache_write_tokens": 300,
        "completion_tokens": 3,
        # 12,000 at $2 less $0.10, 300 at $2.50 less $2.
        "saved_micro_dollars": 22_800 - 150,
    }
    assert (shop["name"], shop["requests"], shop["saved_micro_dollars"]) == ("shop", 2, 3 * (22_800 - 150))


async def test_what_was_seen_before_a_reload_is_known_after_it() -> None:
    async with caching(None) as (upstream, running):
        http = running.http()
        await ask(http, SYSTEM, {"role": "user", "content": "One"})
        running.gateway.reload(running.gateway.config)
        await ask(http, SYSTEM, {"role": "user", "content": "Two"})

        assert [asked.usage.cache_write_tokens > 0 for asked in upstream.asked] == [False, True]


async def test_several_answers_to_one_prompt_share_its_cache() -> None:
    async with caching(None) as (upstream, running):
        await ask(running.http(), {"role": "user", "content": LONG}, n=3)

        first, *others = [asked.usage for asked in upstream.asked]
        assert first.cache_write_tokens > 1_500
        assert {usage.cache_read_tokens for usage in others} == {first.cache_write_tokens}


@pytest.mark.parametrize("setting", ["off", "always"])
@in_virtual_time
async def test_without_auto_nothing_is_looked_at(setting: Caching) -> None:
    async with caching(setting) as (_, running):
        await shared_one_shots(running.http())

        assert len(running.gateway.sightings) == 0


async def test_callers_with_keys_of_their_own_share_with_nobody_else(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message("Hi")))
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        for number, name in enumerate(("A", "B", "A")):
            body = {**asking(), "messages": [SYSTEM, {"role": "user", "content": f"{number}"}]}
            headers = {"authorization": f"Bearer sk-ant-api03-{name * 40}"}
            assert (await running.http().post(PATH, json=body, headers=headers)).status_code == 200

    assert [b"cache_control" in request.body for request in upstream.received] == [False, False, True]
