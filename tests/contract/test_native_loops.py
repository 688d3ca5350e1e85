"""Anthropic's own clients in loops of tools over two organizations, one of which is limited in the middle.

The simulated upstream refuses thinking that is not its account's, or not after exactly what it was thought after, and
holds threads for one workspace. What comes to the application is answers only.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic, BadRequestError, beta_async_tool

from gateway.demo import ReceivedRequest, account_of
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.loops import config_of, gateway_in_virtual_time, keeping
from tests.support.preserved import exchanges, refusals, thoughts_of
from tests.support.upstream_rules import StrictUpstream, run_strict_upstream
from tests.support.virtual_time import in_virtual_time

ACME = "sk-ant-demo-acme-eu-1"
UMBRELLA = "sk-ant-demo-umbrella-eu-1"
QUESTION = "[[tools 6]] [[think]] Look around in Rome, please."
CALLS = 6

streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
threaded = pytest.mark.parametrize("threaded", [True, False], ids=["threads", "no-threads"])
# Thinks when it likes; binds its thoughts to all before them; thinks when told to, by a budget.
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("claude-sonnet-5-5", {}),
    ("claude-opus-5-5", {"thinking": {"type": "adaptive"}}),
    ("claude-haiku-4-5", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
]
models = pytest.mark.parametrize(("model", "options"), MODELS, ids=[model for model, _ in MODELS])


@pytest.fixture
async def simulated() -> AsyncIterator[StrictUpstream]:
    async with run_strict_upstream() as upstream:
        yield upstream


@pytest.fixture
async def running(tmp_path: Path, simulated: StrictUpstream) -> AsyncIterator[RunningGateway]:
    async with running_gateway(config=config_of(keeping(tmp_path, simulated.base_url, ACME, UMBRELLA))) as gateway:
        yield gateway


@asynccontextmanager
async def two_organizations(folder: Path) -> AsyncIterator[tuple[RunningGateway, StrictUpstream]]:
    """The same, where the pauses for which the gateway waits take no time."""
    async with (
        run_strict_upstream() as upstream,
        gateway_in_virtual_time(folder, upstream.base_url, ACME, UMBRELLA) as running,
    ):
        yield running, upstream


@beta_async_tool
async def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    return f"sunny in {city}"


def asked(simulated: StrictUpstream) -> list[ReceivedRequest]:
    return [received for received in simulated.received if received.path == "/v1/messages"]


async def run_tools(
    running: RunningGateway, simulated: StrictUpstream, *, stream: bool, limits_after: int | None, **options: Any
) -> list[Any]:
    """What an application sees of the SDK's loop; whoever has answered is limited after so many rounds."""
    said = []
    async with AsyncAnthropic(base_url=running.url, api_key="any", max_retries=0) as client:
        runner: Any = client.beta.messages.tool_runner(
            max_tokens=4000,
            messages=[{"role": "user", "content": QUESTION}],
            tools=[get_weather],
            stream=stream,
            **options,
        )
        async for item in runner:
            said.append(await item.get_final_message() if stream else item)
            if len(said) == limits_after:
                account = asked(simulated)[-1].account
                assert account is not None
                simulated.failing[account.organization_id] = 429
            elif limits_after is not None and len(said) == limits_after + 2:
                simulated.failing.clear()
    return said


@models
@streamed
@threaded
@in_virtual_time
async def test_the_tool_runner_comes_to_its_end_though_an_organization_is_limited_in_the_middle(
    tmp_path: Path, model: str, options: dict[str, Any], stream: bool, threaded: bool
) -> None:
    more: dict[str, Any] = {**options, **({} if threaded else {"thread": False})}
    async with two_organizations(tmp_path) as (running, simulated):
        said = await run_tools(running, simulated, stream=stream, limits_after=3, model=model, **more)

    assert [message.stop_reason for message in said] == ["tool_use"] * CALLS + ["end_turn"]
    assert refusals(simulated.received) == []
    assert {received.account for received in asked(simulated) if received.status == 200} == {
        account_of(ACME),
        account_of(UMBRELLA),
    }


@models
@streamed
async def test_thinking_comes_back_whole_to_the_account_that_signed_it(
    running: RunningGateway, simulated: StrictUpstream, model: str, options: dict[str, Any], stream: bool
) -> None:
    await run_tools(running, simulated, stream=stream, limits_after=None, model=model, thread=False, **options)
    said = exchanges(simulated.received)

    assert len({received.account for received in asked(simulated)}) == 1
    assert len([exchange for exchange in said if exchange.thoughts]) >= CALLS
    for earlier, later in pairwise(said):
        # The SDK writes the fields of a block in an order of its own.
        sent = [block for message in later.body["messages"] for block in message["content"] if type(block) is dict]
        assert all(thought in sent for thought in earlier.thoughts)


@streamed
async def test_a_thread_is_continued_where_it_is(
    running: RunningGateway, simulated: StrictUpstream, stream: bool
) -> None:
    said = await run_tools(running, simulated, stream=stream, limits_after=None, model="claude-sonnet-5-5")
    received = asked(simulated)

    assert len(said) == CALLS + 1
    assert [each.status for each in received] == [200] * len(received)
    assert len({each.account for each in received}) == 1
    assert [each.body["thread"]["type"] for each in received] == ["create"] + ["continue"] * CALLS
    for earlier, later in pairwise(received):
        assert later.body["thread"]["previous_message_id"] == earlier.answer["id"]
        assert len(later.body["messages"]) == 1


@in_virtual_time
async def test_without_its_organization_a_thread_goes_on_with_the_whole_conversation(tmp_path: Path) -> None:
    async with two_organizations(tmp_path) as (running, simulated):
        await run_tools(running, simulated, stream=False, limits_after=3, model="claude-sonnet-5-5")
    kinds = [(each.body.get("thread") or {}).get("type") for each in asked(simulated) if each.status == 200]

    assert kinds == ["create", "continue", "continue"] + [None] * 4


async def talk_without_its_organization(running: RunningGateway, simulated: StrictUpstream, **options: Any) -> None:
    """Two turns of a thread of the SDK's; whoever has answered the first is limited before the second."""
    async with AsyncAnthropic(base_url=running.url, api_key="any", max_retries=0) as client:
        thread = client.beta.messages.thread(model="claude-sonnet-5-5", max_tokens=500, **options)
        await thread.send({"role": "user", "content": "My name is Ada."})
        account = asked(simulated)[-1].account
        assert account is not None
        simulated.failing[account.organization_id] = 429
        await thread.send({"role": "user", "content": "What is my name?"})


async def test_a_plain_thread_goes_on_with_the_whole_conversation_where_it_may(
    running: RunningGateway, simulated: StrictUpstream
) -> None:
    await talk_without_its_organization(running, simulated, unsupported_request_behavior="continue_unthreaded")
    *_, first, last = [each for each in asked(simulated) if each.status == 200]

    assert first.body["thread"] == {"type": "create"}
    assert "thread" not in last.body
    assert [message["role"] for message in last.body["messages"]] == ["user", "assistant", "user"]


async def test_a_plain_thread_is_told_by_default_what_to_do(running: RunningGateway, simulated: StrictUpstream) -> None:
    with pytest.raises(BadRequestError) as raised:
        await talk_without_its_organization(running, simulated)

    error = raised.value.body["error"]  # type: ignore[index]
    assert error["type"] == "invalid_request_error"
    assert error["details"] == {"error_code": "thread_unsupported_request"}
    assert "Send the full conversation without `thread`" in error["message"]


def claude_code(text: str, model: str) -> dict[str, Any]:
    """A request as Claude Code makes them."""
    mark = {"cache_control": {"type": "ephemeral"}}
    shared = {"cache_control": {"type": "ephemeral", "scope": "global"}}
    user_id = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "54c1eb09-bc4c-4d2f-98eb-6d2ab2d5"})
    return {
        "model": model,
        "max_tokens": 32000,
        "system": [
            {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.", **shared},
            {"type": "text", "text": "Be brief.", **mark},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>\nToday is a day.\n</system-reminder>"},
                    {"type": "text", "text": text, **mark},
                ],
            },
            {"role": "system", "content": [], "output_config": {"effort": "high"}},
        ],
        "tools": [
            {
                "name": "Bash",
                "description": "Runs a command.",
                "input_schema": {
                    "type": "object",
                    "properties": {"command": {"type": "string"}},
                    "required": ["command"],
                },
            }
        ],
        "metadata": {"user_id": user_id},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }


HEADERS = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "prompt-caching-scope-2026-01-05,mid-conversation-output-config-2026-07-01",
    "x-claude-code-session-id": "54c1eb09-bc4c-4d2f-98eb-6d2ab2d5",
    "x-app": "cli",
}


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5"])
@pytest.mark.parametrize("size", [0, 300_000], ids=["small", "in-turns"])
@in_virtual_time
async def test_claude_codes_history_goes_on_in_another_organization(tmp_path: Path, model: str, size: int) -> None:
    request = claude_code(f"[[tools 6]] [[think]] [[redact]] Look around. {'x' * size}", model)
    adjusted = []
    async with two_organizations(tmp_path) as (running, simulated):
        client = running.http()
        for number in range(CALLS + 1):
            if number == 3:
                account = asked(simulated)[-1].account
                assert account is not None
                simulated.failing[account.organization_id] = 429
            elif number == 5:
                simulated.failing.clear()
            response = await client.post("/v1/messages", json=request, headers=HEADERS)
            assert response.status_code == 200, response.text
            adjusted.append(response.headers.get("x-gateway-adjusted"))
            content = response.json()["content"]
            results = [
                {"type": "tool_result", "tool_use_id": block["id"], "content": [{"type": "text", "text": "done"}]}
                for block in content
                if block["type"] == "tool_use"
            ]
            request["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    served = [received for received in asked(simulated) if received.status == 200]

    assert refusals(simulated.received) == []
    assert adjusted == [None] * 3 + ["thinking_blocks=dropped:account"] * 4
    # It goes on with what the other account has thought.
    assert [bool(thoughts_of(received)) for received in served] == [False, True, True, False, True, True, True]
    assert len({received.account for received in served[3:]}) == 1
