"""Unmodified clients of the Responses API in a loop of tools: against a scripted server, and against the gateway.

They call `/v1/responses` by default or by one setting; nothing here teaches them anything else.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from tests.contract.responses_offered import RESPONSES_ARE_OFFERED
from tests.support.commands import said_by
from tests.support.gateway import running_gateway
from tests.support.loops import config_of, keeping
from tests.support.preserved import assert_kept, exchanges
from tests.support.responses_loops import BY_ID, SEALED_AND_DUMPED, STYLES, UNSEALED, ResponsesLoop, Style
from tests.support.responses_replays import (
    Replay,
    ai_sdk_sealed,
    ai_sdk_stored,
    as_given,
    langchain,
    langchain_streamed,
    parsed_and_dumped,
    replayed,
)
from tests.support.responses_server import FINAL_WORDS, responses_server
from tests.support.upstream_rules import run_strict_upstream

MODEL = "claude-sonnet-5-5"
QUESTION = "[[tools 2]] What is the weather in Paris, and what is the time?"
CALLS = 2
NODE_CLIENTS = os.environ.get("DRAGOMAN_NODE_CLIENTS", "")

streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
needs_node = pytest.mark.skipif(
    not (NODE_CLIENTS and shutil.which("node")),
    reason="needs node, and DRAGOMAN_NODE_CLIENTS as the last section of docs/clients.md sets it",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked, what it says in the end, and a look at all that it was sent, in the form of the client."""

    base_url: str
    final_words: str
    look: Callable[[Replay], None]

    @property
    def is_scripted(self) -> bool:
        """Whether the gateway is not there."""
        return self.final_words == FINAL_WORDS

    @property
    def openai(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=self.base_url, api_key="any-text", max_retries=0)


@pytest.fixture(
    params=[
        "script",
        pytest.param(
            "gateway",
            marks=pytest.mark.skipif(not RESPONSES_ARE_OFFERED, reason="the gateway does not offer /v1/responses yet"),
        ),
    ]
)
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Target]:
    if request.param == "script":
        async with responses_server() as (server, _):

            def look_at_script(replay: Replay) -> None:
                assert server.faults == []
                assert len(server.asked) == CALLS + 1
                sent = [item for item in server.asked[-1]["input"] if is_replayed(item)]
                if "previous_response_id" not in server.asked[-1]:
                    # Of the last answer there was nothing to send back.
                    assert sent == replayed(server.given[:-2], replay)

            yield Target(server.base_url, FINAL_WORDS, look_at_script)
        return
    async with (
        run_strict_upstream() as upstream,
        running_gateway(config=config_of(keeping(tmp_path, upstream.base_url))) as gateway,
    ):

        def look_at_upstream(_: Replay) -> None:
            said = exchanges(upstream.received)
            assert len([exchange for exchange in said if exchange.calls]) == CALLS
            assert all(exchange.thoughts for exchange in said if exchange.calls)
            assert_kept(said)

        yield Target(gateway.base_url, "simulated upstream", look_at_upstream)


def is_replayed(item: dict[str, Any]) -> bool:
    """Whether an item of the input was one of the output."""
    return item.get("role") != "user" and item.get("type") != "function_call_output"


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


def get_time(place: str) -> str:
    """The time in a place."""
    return f"It is late in {place}."


@streamed
@pytest.mark.parametrize("style", [style for style in STYLES if style is not UNSEALED], ids=str)
async def test_the_sdk(target: Target, style: Style, stream: bool) -> None:
    loop = ResponsesLoop(MODEL, style, stream=stream, questions=[QUESTION])
    loop.options = {"tools": loop_tools()}
    async with target.openai as client:
        await loop.go_on(client)

    assert loop.rounds == CALLS
    assert target.final_words in loop.responses[-1].output_text
    target.look(parsed_and_dumped if stream and style in (SEALED_AND_DUMPED, BY_ID) else as_given)


def loop_tools() -> list[dict[str, Any]]:
    """Two tools, each of which is to be called once."""
    return [
        {
            "type": "function",
            "name": function.__name__,
            "description": function.__doc__,
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string"}},
                "required": [argument],
                "additionalProperties": False,
            },
        }
        for function, argument in ((get_weather, "city"), (get_time, "place"))
    ]


@streamed
async def test_the_agents_sdk_in_its_default_mode(target: Target, stream: bool) -> None:
    agents = pytest.importorskip("agents", reason="needs the group `agents`: python -m pip install --group agents")
    async with target.openai as client:
        agent = agents.Agent(
            name="guide",
            instructions="Speak like a guide.",
            model=agents.OpenAIResponsesModel(model=MODEL, openai_client=client),
            tools=[agents.function_tool(function) for function in (get_weather, get_time)],
        )
        quiet = agents.RunConfig(tracing_disabled=True)
        if stream:
            result = agents.Runner.run_streamed(agent, QUESTION, run_config=quiet)
            events = [event async for event in result.stream_events()]
            assert events
        else:
            result = await agents.Runner.run(agent, QUESTION, run_config=quiet)

    assert target.final_words in result.final_output
    target.look(as_given)


@streamed
@pytest.mark.parametrize("settings", [{}, {"store": False}, {"use_previous_response_id": True}], ids=str)
async def test_langchain(target: Target, stream: bool, settings: dict[str, Any]) -> None:
    openai_of_langchain = pytest.importorskip("langchain_openai", reason="needs the group `clients`")
    HumanMessage = pytest.importorskip("langchain_core.messages").HumanMessage  # noqa: N806
    tool = pytest.importorskip("langchain_core.tools").tool

    tools = {function.__name__: tool(function) for function in (get_weather, get_time)}
    # Its own one is kept by the address, closed or not, and ports come again.
    http = DefaultAsyncHttpxClient()
    model = openai_of_langchain.ChatOpenAI(
        http_async_client=http,
        base_url=target.base_url,
        api_key="any-text",
        model=MODEL,
        use_responses_api=True,
        output_version="responses/v1",
        max_retries=0,
        **settings,
    )
    chat = model.bind_tools([*tools.values()])
    messages: list[Any] = [HumanMessage(QUESTION)]
    while True:
        if stream:
            pieces = [piece async for piece in chat.astream(messages)]
            answer = pieces[0]
            for piece in pieces[1:]:
                answer = answer + piece
        else:
            answer = await chat.ainvoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            break
        messages += [await tools[call["name"]].ainvoke(call) for call in answer.tool_calls]
    await http.aclose()

    assert target.final_words in answer.text
    if not (target.is_scripted and "store" in settings):
        # Without seals and a store, of which the script has none, it leaves the reasoning out.
        target.look(langchain_streamed if stream else langchain)


AI_SDK_PROGRAM = """
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { baseURL, model, prompt, stream, store } = JSON.parse(process.argv[2]);
const openai = createOpenAI({ baseURL, apiKey: "any-text" });
const looked = (name, argument) =>
  tool({
    description: `The ${name} of a place`,
    inputSchema: z.object({ [argument]: z.string() }),
    execute: async (input) => `It is fine in ${input[argument]}`,
  });
const options = {
  model: openai.responses(model),
  prompt,
  maxRetries: 0,
  // The SDK takes a model that it does not know for one that does not reason.
  providerOptions: { openai: { forceReasoning: true, store } },
  tools: { get_weather: looked("weather", "city"), get_time: looked("time", "place") },
  stopWhen: stepCountIs(5),
};
const onError = ({ error }) => {
  throw error;
};
const answer = stream ? streamText({ ...options, onError }) : await generateText(options);
console.log(JSON.stringify({ text: await answer.text, steps: (await answer.steps).length }));
"""


@needs_node
@streamed
@pytest.mark.parametrize("store", [True, False], ids=["stored", "sealed"])
async def test_the_ai_sdk(target: Target, stream: bool, store: bool) -> None:
    given = {"baseURL": target.base_url, "model": MODEL, "prompt": QUESTION, "stream": stream, "store": store}

    said = json.loads(await said_by_node(AI_SDK_PROGRAM, json.dumps(given)))

    assert said["steps"] == CALLS + 1
    assert target.final_words in said["text"]
    target.look(ai_sdk_stored if store else ai_sdk_sealed)


async def said_by_node(code: str, argument: str) -> str:
    """What a program for Node.js prints; it lies where its packages are found."""
    folder = Path(mkdtemp(dir=NODE_CLIENTS))
    try:
        (folder / "program.mjs").write_text(code, "utf-8")
        return await said_by("node", "program.mjs", argument, cwd=folder)
    finally:
        shutil.rmtree(folder)
