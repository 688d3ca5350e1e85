"""Ten rounds of tools over the Responses API with thinking on, in each style in which clients carry state.

The simulated upstream checks all signatures. Where the client gives back what it was given, all thinking has to go back
byte for byte; where it does not, there is an answer all the same.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from gateway.demo import RunningUpstream
from tests.contract.responses_offered import need_responses
from tests.scenarios.processes import Fleet
from tests.support.commands import PATIENCE_SECONDS, started
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.loops import QUESTIONS, ROUNDS, config_of, forgetful_config_of, keeping
from tests.support.preserved import assert_kept, assert_visible_kept, exchanges
from tests.support.responses_grammar import response_violations
from tests.support.responses_loops import BY_ID, SEALED, SEALED_AND_DUMPED, STORED, UNSEALED, ResponsesLoop, Style

need_responses()

MODELS: list[tuple[str, dict[str, Any]]] = [
    ("claude-sonnet-5-5", {}),
    ("claude-opus-5-5", {"reasoning": {"effort": "high"}}),
    ("claude-sonnet-4-5", {"reasoning": {"effort": "low"}}),
]
models = pytest.mark.parametrize(("model", "options"), MODELS, ids=[model for model, _ in MODELS])
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
carrying = pytest.mark.parametrize("style", [STORED, SEALED_AND_DUMPED, BY_ID], ids=str)
# One model in every style, the others in one: a loop takes a second.
WAYS = [
    *((*MODELS[0], style, style in (STORED, BY_ID)) for style in (STORED, SEALED, SEALED_AND_DUMPED, BY_ID)),
    (*MODELS[1], SEALED, True),
    (*MODELS[2], STORED, False),
]
MAX_TURNS = 20
LOST = "input.reasoning=dropped"


@pytest.fixture
async def running(simulated: RunningUpstream, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(config=forgetful_config_of(keeping(tmp_path, simulated.base_url))) as gateway:
        yield gateway


def assert_all_came_back(simulated: RunningUpstream) -> None:
    """Every answer was thought about, every thought came back where it was, and upstream found no fault."""
    said = exchanges(simulated.received)
    asked = [received for received in simulated.received if received.path == "/v1/messages"]
    assert [received.status for received in asked] == [200] * len(said)
    assert len([exchange for exchange in said if exchange.calls]) == ROUNDS
    assert all(exchange.thoughts for exchange in said if exchange.calls)
    assert_kept(said)


def assert_in_order(loop: ResponsesLoop) -> None:
    """Each answer follows the grammar, and the last one has words."""
    for response in loop.responses:
        assert response_violations(response.model_dump(mode="json", exclude_unset=True)) == []
    assert "simulated upstream" in loop.responses[-1].output_text


@pytest.mark.parametrize(("model", "options", "style", "stream"), WAYS)
async def test_all_thinking_goes_back(
    running: RunningGateway,
    simulated: RunningUpstream,
    model: str,
    options: dict[str, Any],
    style: Style,
    stream: bool,
) -> None:
    loop = ResponsesLoop(model, style, stream=stream, options=options)

    await loop.go_on(running.openai())

    assert loop.rounds == ROUNDS
    assert_in_order(loop)
    assert_all_came_back(simulated)
    assert not [told for told in loop.adjusted if LOST in told]


@models
async def test_a_client_that_loses_the_seals_gets_answers_all_the_same(
    running: RunningGateway, simulated: RunningUpstream, model: str, options: dict[str, Any]
) -> None:
    loop = ResponsesLoop(model, UNSEALED, options=options)

    await loop.go_on(running.openai())

    said = exchanges(simulated.received)
    assert loop.rounds == ROUNDS
    assert_in_order(loop)
    assert_visible_kept(said)
    # All but the first answer came after some thought.
    assert [LOST in told for told in loop.adjusted] == [False] + [True] * (len(said) - 1)


@models
async def test_kept_turns_help_a_client_that_loses_the_seals(
    simulated: RunningUpstream, tmp_path: Path, model: str, options: dict[str, Any]
) -> None:
    loop = ResponsesLoop(model, UNSEALED, options=options)
    async with running_gateway(config=config_of(keeping(tmp_path, simulated.base_url))) as gateway:
        await loop.go_on(gateway.openai())

    assert_in_order(loop)
    assert_all_came_back(simulated)


@carrying
async def test_a_restart_in_the_middle_loses_nothing(simulated: RunningUpstream, tmp_path: Path, style: Style) -> None:
    file = keeping(tmp_path, simulated.base_url)
    loop = ResponsesLoop("claude-sonnet-5-5", style)
    for _ in range(3):
        async with running_gateway(config=config_of(file)) as gateway:
            await loop.go_on(gateway.openai(), ROUNDS // 3)
    async with running_gateway(config=config_of(file)) as gateway:
        await loop.go_on(gateway.openai())

    assert loop.rounds == ROUNDS
    assert_all_came_back(simulated)


@carrying
async def test_two_gateways_over_one_store_are_like_one(
    simulated: RunningUpstream, tmp_path: Path, style: Style
) -> None:
    file = keeping(tmp_path, simulated.base_url)
    loop = ResponsesLoop("claude-sonnet-5-5", style)
    async with running_gateway(config=config_of(file)) as one, running_gateway(config=config_of(file)) as other:
        clients = [one.openai(), other.openai()]
        while not loop.is_over:
            await loop.step(clients[len(loop.responses) % 2])

    assert loop.rounds == ROUNDS
    assert_all_came_back(simulated)


@pytest.mark.parametrize("style", [STORED, SEALED_AND_DUMPED], ids=str)
async def test_two_workers_and_a_restart_in_processes_of_their_own_are_like_one(
    simulated: RunningUpstream, tmp_path: Path, style: Style
) -> None:
    file = keeping(tmp_path, simulated.base_url, log_level="info")
    loop = ResponsesLoop("claude-sonnet-5-5", style)
    for _ in range(2):
        async with started("serve", "--config", str(file), "--workers", "2") as running:
            fleet = Fleet(running)
            goal = loop.rounds + ROUNDS // 2
            while not loop.is_over and (loop.rounds < goal or goal >= ROUNDS):
                # Each request comes on a connection of its own, which the parent gives to one of its workers.
                async with client_with_connections_of_its_own(running.url) as client:
                    await loop.step(client)
            running.process.terminate()
            assert await fleet.end() == 0
        assert set(re.findall(r"POST /v1/responses .* worker=(\d)", fleet.log)) == {"1", "2"}

    assert loop.rounds == ROUNDS
    assert_all_came_back(simulated)


def client_with_connections_of_its_own(url: str) -> AsyncOpenAI:
    # Nothing here is encrypted, and reading the system's certificates takes longer than a conversation.
    http = httpx2.AsyncClient(verify=False, timeout=PATIENCE_SECONDS)
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, http_client=http)


def agent_of(running: RunningGateway, model: str, **settings: Any) -> tuple[Any, Any]:
    """The Agents SDK, and an agent with a tool; it calls the Responses API by default."""
    agents = pytest.importorskip("agents", reason="needs the group `agents`: python -m pip install --group agents")

    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"It rains in {city}."

    return agents, agents.Agent(
        name="guide",
        instructions="Speak like a guide.",
        model=agents.OpenAIResponsesModel(model=model, openai_client=running.openai()),
        model_settings=agents.ModelSettings(**settings),
        tools=[agents.function_tool(get_weather)],
    )


@pytest.mark.parametrize("mode", ["previous", "session", "conversation", "sealed"])
async def test_all_thinking_goes_back_from_an_agent_however_it_carries_state(
    running: RunningGateway, simulated: RunningUpstream, mode: str
) -> None:
    agents, agent = agent_of(running, "claude-sonnet-5-5", **({"store": False} if mode == "sealed" else {}))
    client = running.openai()
    quiet: dict[str, Any] = {"max_turns": MAX_TURNS, "run_config": agents.RunConfig(tracing_disabled=True)}
    if mode == "session":
        quiet["session"] = agents.OpenAIConversationsSession(openai_client=client)
    elif mode == "conversation":
        quiet["conversation_id"] = (await client.conversations.create()).id
    said: list[Any] = []
    for question in QUESTIONS:
        asked: Any = [*said, {"role": "user", "content": question}] if mode == "sealed" else question
        result = await agents.Runner.run(agent, asked, **quiet)
        said = result.to_input_list()
        if mode == "previous":
            quiet |= {"previous_response_id": result.last_response_id, "auto_previous_response_id": True}

    assert "simulated upstream" in result.final_output
    assert_all_came_back(simulated)


@pytest.mark.parametrize(("model", "options"), MODELS[:1])
@streamed
async def test_all_thinking_goes_back_from_an_agent_in_its_default_mode(
    running: RunningGateway, simulated: RunningUpstream, model: str, options: dict[str, Any], stream: bool
) -> None:
    agents, agent = agent_of(running, model, **options)
    said: list[Any] = []
    for question in QUESTIONS:
        asked = [*said, {"role": "user", "content": question}]
        quiet = {"max_turns": MAX_TURNS, "run_config": agents.RunConfig(tracing_disabled=True)}
        if stream:
            result = agents.Runner.run_streamed(agent, asked, **quiet)
            assert [event async for event in result.stream_events()]
        else:
            result = await agents.Runner.run(agent, asked, **quiet)
        said = result.to_input_list()

    assert "simulated upstream" in result.final_output
    assert_all_came_back(simulated)
