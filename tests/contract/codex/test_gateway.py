"""An unmodified Codex, and the gateway between it and a Messages upstream."""

import asyncio
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.codex.driving import Run, need_codex, run_codex
from tests.contract.responses_offered import need_responses
from tests.support.codex import COMMAND, PATCH
from tests.support.commands import started
from tests.support.gateway import RunningGateway, StreamingConfig, config_for, key, running_gateway, with_settings
from tests.support.loops import forgetful_config_of, keeping
from tests.support.messages import Block, message_events, sse, text_block, text_stream, thinking_block, tool_block
from tests.support.preserved import assert_kept, exchanges, refusals
from tests.support.scripted import (
    Answer,
    ReceivedRequest,
    Reset,
    ScriptedUpstream,
    error_answer,
    scripted_upstream,
    stream_answer,
)
from tests.support.upstream_rules import run_strict_upstream
from translators.responses.compaction import SUMMARY_REQUEST

need_codex()
need_responses()

ONE_MORE = {"request_max_retries": 0, "stream_max_retries": 1}
IMPATIENT = {"request_max_retries": 0, "stream_max_retries": 0, "stream_idle_timeout_ms": 1000}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FINE = stream_answer(*text_stream("Fine."))


@dataclass(frozen=True, slots=True)
class Pause:
    """Say nothing for a while. Codex goes by the clock on the wall, so that here the test does."""

    seconds: float

    async def play(self, connection: object) -> None:
        await asyncio.sleep(self.seconds)


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as running:
        yield running


@pytest.fixture
async def gateway(upstream: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    config = with_settings(config_for(key(upstream.base_url)), streaming=StreamingConfig(keepalive_seconds=0.3))
    async with running_gateway(config=config) as running:
        yield running


def turn(*blocks: Block, stop_reason: str = "tool_use") -> Answer:
    """A streamed turn of these blocks."""
    return stream_answer(sse(*message_events(*blocks, stop_reason=stop_reason)))


def assistant_turns(request: ReceivedRequest) -> list[list[dict[str, Any]]]:
    return [message["content"] for message in request.json["messages"] if message["role"] == "assistant"]


async def test_a_text_turn(gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script(turn(thinking_block("Let me see."), text_block("Hello."), stop_reason="end_turn"))

    run = await run_codex(tmp_path, gateway.base_url)

    assert (run.code, run.said, run.errors) == (0, ["Hello."], [])
    assert [item["text"] for item in run.items("reasoning")] == ["Let me see."]
    assert run.usage
    assert run.usage["input_tokens"] > 0


async def test_it_knows_the_models_of_the_gateway(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(FINE)

    run = await run_codex(tmp_path, gateway.base_url)

    assert run.items("error") == []
    assert "apply_patch" in {tool["name"] for tool in upstream.received[0].json["tools"]}


async def test_its_recipe_is_right(gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script(FINE)
    page = (Path(__file__).parents[3] / "docs/clients.md").read_text("utf-8")
    (recipe,) = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert "http://127.0.0.1:8080" in recipe

    run = await run_codex(tmp_path, "", config=recipe.replace("http://127.0.0.1:8080", gateway.url))

    assert (run.code, run.said, run.errors, run.items("error")) == (0, ["Fine."], [], [])
    assert upstream.received[0].json["model"] == "claude-sonnet-5-5"


async def test_it_gets_along_without_knowing_the_model(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(FINE)

    run = await run_codex(tmp_path, gateway.base_url, catalog=False)

    assert (run.code, run.said) == (0, ["Fine."])


async def test_an_openai_name_whose_tools_are_in_the_input(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(FINE)

    run = await run_codex(tmp_path, gateway.base_url, model="gpt-6.2-sol", catalog=False)

    assert (run.code, run.said) == (0, ["Fine."])
    assert any("exec" in tool["name"] for tool in upstream.received[0].json["tools"])


async def test_a_turn_that_runs_a_command_and_edits_a_file(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    first = thinking_block("First I look.", "c2lnbmVkLTE=")
    second = thinking_block("Now I write.", "c2lnbmVkLTI=")

    def edit(request: ReceivedRequest) -> Answer:
        # The input of a custom tool is the one argument that its function needs.
        (tool,) = (tool for tool in request.json["tools"] if tool["name"] == "apply_patch")
        (argument,) = tool["input_schema"]["required"]
        return turn(second, tool_block("toolu_2", "apply_patch", json.dumps({argument: PATCH})))

    look = tool_block("toolu_1", "exec_command", json.dumps({"cmd": COMMAND}))
    upstream.script(turn(first, text_block("I look."), look), edit, turn(text_block("Done."), stop_reason="end_turn"))

    run = await run_codex(tmp_path, gateway.base_url)

    assert (run.code, run.said, run.errors) == (0, ["I look.", "Done."], [])
    assert run.files == {"made.txt": "hi\n", "notes.txt": "one\ntwo\n"}
    turns = assistant_turns(upstream.received[-1])
    assert [[block["type"] for block in blocks] for blocks in turns] == [
        ["thinking", "text", "tool_use"],
        ["thinking", "tool_use"],
    ]
    signed = [(blocks[0]["thinking"], blocks[0]["signature"]) for blocks in turns]
    assert signed == [("First I look.", "c2lnbmVkLTE="), ("Now I write.", "c2lnbmVkLTI=")]


async def test_a_loop_of_tools_over_two_turns_loses_no_thought(tmp_path: Path) -> None:
    async with (
        run_strict_upstream() as simulated,
        running_gateway(config=forgetful_config_of(keeping(tmp_path, simulated.base_url))) as gateway,
    ):
        first = await run_codex(tmp_path, gateway.base_url, "[[tools 4]] Look around.", model="claude-opus-5-5")
        resume = ("resume", "--last")
        second = await run_codex(
            tmp_path, gateway.base_url, "[[tools 2]] And?", model="claude-opus-5-5", command=resume
        )
    said = exchanges(simulated.received)
    assert [first.errors, second.errors] == [[], []]
    assert refusals(simulated.received) == []
    assert len([exchange for exchange in said if exchange.calls]) == 6
    assert all(exchange.thoughts for exchange in said if exchange.calls)
    assert_kept(said)


async def test_a_session_goes_on_with_other_processes_after_a_restart(tmp_path: Path) -> None:
    async with run_strict_upstream() as simulated:
        file = keeping(tmp_path, simulated.base_url)
        for command in ((), ("resume", "--last")):
            async with started("serve", "--config", str(file), "--workers", "2") as running:
                run = await run_codex(tmp_path, f"{running.url}/v1", "[[tools 3]] Look around.", command=command)
                running.process.terminate()
                await running.end()
            assert (run.code, run.errors, run.items("error")) == (0, [], [])

    said = exchanges(simulated.received)
    assert refusals(simulated.received) == []
    assert len([exchange for exchange in said if exchange.calls]) == 6
    assert_kept(said)


async def test_a_stream_that_upstream_cuts_is_asked_for_again(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(stream_answer(*text_stream("Half of it")[:4], Reset()), FINE)

    run = await run_codex(tmp_path, gateway.base_url, provider=ONE_MORE)

    assert (run.code, run.said) == (0, ["Fine."])
    assert run.errors[0].startswith("Reconnecting... 1/1")


async def test_a_rate_limit_is_waited_for(gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    limited = error_answer(429, "rate_limit_error", "Slow down.", headers={"retry-after": "1"})
    upstream.script(limited, FINE)

    run = await run_codex(tmp_path, gateway.base_url, provider=ONE_MORE)

    assert (run.code, run.said) == (0, ["Fine."])


async def test_an_image_that_it_looks_at_reaches_the_model(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    (tmp_path / "dot.png").write_bytes(b64decode(PNG))
    upstream.script(turn(tool_block("toolu_1", "view_image", json.dumps({"path": "../dot.png"}))), FINE)

    run = await run_codex(tmp_path, gateway.base_url)

    (result,) = upstream.received[-1].json["messages"][-1]["content"]
    assert (run.said, run.errors) == (["Fine."], [])
    assert [block["type"] for block in result["content"]] == ["image"]


@pytest.mark.parametrize(
    ("status", "kind", "said", "shown"),
    [
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", "ran out of room"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", "Quota exceeded"),
    ],
    ids=["context", "quota"],
)
async def test_what_no_retry_can_mend_is_shown_in_its_own_words(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path, status: int, kind: str, said: str, shown: str
) -> None:
    upstream.script(error_answer(status, kind, said))

    run = await run_codex(tmp_path, gateway.base_url, provider=ONE_MORE)

    assert run.code == 1
    assert len(run.errors) == 1
    assert shown in run.errors[0]


async def test_a_limit_of_which_upstream_says_nothing_is_waited_for_too(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(error_answer(429, "rate_limit_error", "Slow down."), FINE)

    run = await run_codex(tmp_path, gateway.base_url, provider={"request_max_retries": 2, "stream_max_retries": 1})

    assert (run.code, run.said) == (0, ["Fine."])


async def test_what_is_refused_is_shown_with_its_reason(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(error_answer(400, "invalid_request_error", "messages: no good."))

    run = await run_codex(tmp_path, gateway.base_url, provider=ONE_MORE)

    assert run.code == 1
    assert "no good" in run.errors[0]


async def test_silence_of_upstream_does_not_reach_it(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    events = text_stream("Late.")
    upstream.script(stream_answer(*events[:2], Pause(2.0), *events[2:]))

    run = await run_codex(tmp_path, gateway.base_url, provider=IMPATIENT)

    assert (run.code, run.said, run.errors) == (0, ["Late."], [])


async def test_what_the_model_refuses_to_say_is_shown(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(turn(text_block("I will not."), stop_reason="refusal"))

    run: Run = await run_codex(tmp_path, gateway.base_url, provider=ONE_MORE)

    assert "I will not." in run.said
    assert len(upstream.received) <= 2


async def test_a_websocket_is_not_missed(gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script(FINE)

    run = await run_codex(tmp_path, gateway.base_url, provider={"supports_websockets": True})

    assert (run.said, run.errors) == (["Fine."], [])


async def test_a_full_context_is_summarized_for_a_provider_that_is_called_openai(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    look = tool_block("toolu_1", "exec_command", json.dumps({"cmd": COMMAND}))
    full = {"input_tokens": 190_000, "output_tokens": 7}
    upstream.script(
        stream_answer(sse(*message_events(look, stop_reason="tool_use", usage=full))),
        stream_answer(*text_stream("A command was run.")),
        FINE,
    )

    run = await run_codex(
        tmp_path,
        gateway.base_url,
        provider={"name": "OpenAI"},
        options={"model_auto_compact_token_limit": 100_000},
    )

    assert (run.code, run.said) == (0, ["Fine."])
    wished, later = (request.json for request in upstream.received[-2:])
    assert wished["messages"][-1]["content"][0]["text"] == SUMMARY_REQUEST
    assert wished["tools"] == upstream.received[-3].json["tools"]
    said = json.dumps(later["messages"])
    assert "A command was run." in said
    assert "<summary>" in said
    assert "tool_use" not in said


async def test_a_full_context_is_made_shorter_by_codex_itself(
    gateway: RunningGateway, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    look = tool_block("toolu_1", "exec_command", json.dumps({"cmd": COMMAND}))
    full = {"input_tokens": 190_000, "output_tokens": 7}
    upstream.script(
        stream_answer(sse(*message_events(look, stop_reason="tool_use", usage=full))),
        stream_answer(*text_stream("A command was run.")),
        FINE,
    )

    run = await run_codex(tmp_path, gateway.base_url, options={"model_auto_compact_token_limit": 100_000})

    assert (run.code, run.said) == (0, ["Fine."])
    assert "A command was run." in json.dumps(upstream.received[-1].json["messages"])
