"""The Agents SDK compacts its session by `/v1/responses/compact`, and goes on from what it got."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.demo import RunningUpstream
from tests.support.gateway import RunningGateway, key, running_gateway
from tests.support.preserved import exchanges, refusals
from translators.responses.compaction import SUMMARY_REQUEST

agents = pytest.importorskip("agents", reason="needs the group `agents`: python -m pip install --group agents")

# A name that the SDK takes for one of OpenAI's; the gateway knows it as an alias.
MODEL = "gpt-5.5"
QUESTIONS = ("[[tools 2]] Look around in Rome, please.", "[[tools 1]] And now in Paris.", "Which was better?")


@pytest.fixture
async def running(simulated: RunningUpstream) -> AsyncIterator[RunningGateway]:
    async with running_gateway(key(simulated.base_url)) as gateway:
        yield gateway


@pytest.mark.parametrize("mode", ["input", "previous_response_id"])
async def test_a_session_is_compacted_after_each_turn(
    running: RunningGateway, simulated: RunningUpstream, mode: Any
) -> None:
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"It rains in {city}."

    client = running.openai()
    agent = agents.Agent(
        name="guide",
        instructions="Speak like a guide.",
        model=agents.OpenAIResponsesModel(model=MODEL, openai_client=client),
        tools=[agents.function_tool(get_weather)],
    )
    session = agents.OpenAIResponsesCompactionSession(
        "one",
        agents.SQLiteSession("one"),
        client=client,
        model=MODEL,
        compaction_mode=mode,
        should_trigger_compaction=lambda _: True,
    )
    quiet = agents.RunConfig(tracing_disabled=True)

    for question in QUESTIONS:
        result = await agents.Runner.run(agent, question, session=session, run_config=quiet)

    assert refusals(simulated.received) == []
    assert "simulated upstream" in result.final_output
    items = await session.get_items()
    assert [item["type"] for item in items].count("compaction") == 1
    bodies = [exchange.body["messages"] for exchange in exchanges(simulated.received)]
    assert sum(SUMMARY_REQUEST in json.dumps(body[-1]).replace("\\n", "\n") for body in bodies) == len(QUESTIONS)
    asked = next(said for said in map(json.dumps, bodies) if QUESTIONS[-1] in said)
    assert "<summary>" in asked
    assert "tool_use" not in asked
