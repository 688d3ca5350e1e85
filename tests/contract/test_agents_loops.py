"""The OpenAI Agents SDK, unmodified and set to chat completions, in a loop of ten rounds of tools with thinking on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import RunningUpstream
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.loops import QUESTIONS, ROUNDS, config_of, keeping
from tests.support.preserved import assert_kept, exchanges

agents = pytest.importorskip("agents", reason="needs the group `agents`: python -m pip install --group agents")

MODELS: list[tuple[str, str | None]] = [
    ("claude-sonnet-5-5", None),
    ("claude-opus-5-5", "high"),
    ("claude-sonnet-4-5", "low"),
]
models = pytest.mark.parametrize(("model", "effort"), MODELS, ids=[model for model, _ in MODELS])
MAX_TURNS = 20


@pytest.fixture
async def running(simulated: RunningUpstream, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(config=config_of(keeping(tmp_path, simulated.base_url))) as gateway:
        yield gateway


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It rains in {city}."


def get_time(place: str) -> str:
    """The time in a place."""
    return f"It is late in {place}."


async def get_news(subject: str, limit: int = 3) -> list[str]:
    """What is new about a subject."""
    return [f"Nothing about {subject}."] * limit


def guide(running: RunningGateway, model: str, effort: str | None) -> Any:
    """An agent with tools, as the SDK's documentation builds one for another provider."""
    settings = agents.ModelSettings(reasoning={"effort": effort}) if effort else agents.ModelSettings()
    return agents.Agent(
        name="guide",
        instructions="Speak like a guide.",
        model=agents.OpenAIChatCompletionsModel(model=model, openai_client=running.openai()),
        model_settings=settings,
        tools=[agents.function_tool(function) for function in (get_weather, get_time, get_news)],
    )


def assert_all_came_back(simulated: RunningUpstream) -> None:
    """Every answer was thought about, every thought came back where it was, and upstream found no fault."""
    said = exchanges(simulated.received)
    asked = [received for received in simulated.received if received.path == "/v1/messages"]
    assert [received.status for received in asked] == [200] * len(said)
    assert len([exchange for exchange in said if exchange.calls]) == ROUNDS
    assert all(exchange.thoughts for exchange in said if exchange.calls)
    assert_kept(said)


@models
async def test_thinking_comes_back_from_an_agent_that_knows_nothing_of_it(
    running: RunningGateway, simulated: RunningUpstream, model: str, effort: str | None
) -> None:
    agent = guide(running, model, effort)
    said: list[Any] = []
    for question in QUESTIONS:
        asked = [*said, {"role": "user", "content": question}]
        result = await agents.Runner.run(agent, asked, max_turns=MAX_TURNS, run_config=_quiet())
        said = result.to_input_list()

    assert "simulated upstream" in result.final_output
    assert_all_came_back(simulated)


@models
async def test_thinking_comes_back_from_an_agent_that_is_streamed(
    running: RunningGateway, simulated: RunningUpstream, model: str, effort: str | None
) -> None:
    agent = guide(running, model, effort)
    said: list[Any] = []
    for question in QUESTIONS:
        asked = [*said, {"role": "user", "content": question}]
        result = agents.Runner.run_streamed(agent, asked, max_turns=MAX_TURNS, run_config=_quiet())
        events = [event async for event in result.stream_events()]
        assert events
        said = result.to_input_list()

    assert "simulated upstream" in result.final_output
    assert_all_came_back(simulated)


def _quiet() -> Any:
    return agents.RunConfig(tracing_disabled=True)
