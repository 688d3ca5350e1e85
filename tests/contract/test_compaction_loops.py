"""Ten rounds of tools with thinking on, while upstream summarizes the conversation again and again by itself.

The upstream that checks signatures passes over what stands before a summary, binds thinking to what it has not passed
over, and refuses summaries that have been changed.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import RunningUpstream
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.loops import QUESTIONS, ROUNDS, config_of, keeping
from tests.support.preserved import Exchange, assert_kept, exchanges, refusals
from tests.support.responses_grammar import response_violations
from tests.support.responses_loops import SEALED, SEALED_AND_DUMPED, STORED, UNSEALED, ResponsesLoop, Style

MODELS = ("claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2")
THRESHOLD = 50_000
# Four characters a token.
LONG = "word " * (THRESHOLD + 1_000)
COMPACTING = {"context_management": [{"type": "compaction", "compact_threshold": THRESHOLD}]}

models = pytest.mark.parametrize("model", MODELS[:2])
# One model in every style, the others in one: a loop takes a second.
WAYS = [
    *((MODELS[0], style, style is STORED) for style in (STORED, SEALED, SEALED_AND_DUMPED)),
    (MODELS[1], SEALED, True),
    (MODELS[2], STORED, False),
]


@pytest.fixture
async def running(simulated: RunningUpstream, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(config=config_of(keeping(tmp_path, simulated.base_url))) as gateway:
        yield gateway


def loop_of(model: str, style: Style, *, stream: bool = False, options: dict[str, Any] = COMPACTING) -> ResponsesLoop:
    """A loop whose questions are so long that each of them fills the context."""
    return ResponsesLoop(model, style, stream, options, [f"{LONG}\n{question}" for question in QUESTIONS])


def summaries_in(exchange: Exchange) -> list[Any]:
    return [block for block in exchange.content if block["type"] == "compaction"]


def assert_compacted(loop: ResponsesLoop, simulated: RunningUpstream, rounds: int = ROUNDS) -> list[Exchange]:
    """The loop went to its end, upstream has refused nothing, and each question has led to a summary."""
    assert refusals(simulated.received) == []
    assert loop.rounds == rounds
    said = exchanges(simulated.received)
    assert sum(map(len, map(summaries_in, said))) == len(QUESTIONS)
    for response in loop.responses:
        assert response_violations(response.model_dump(mode="json", exclude_unset=True)) == []
    kinds = [item.type for response in loop.responses for item in response.output]
    assert kinds.count("compaction") == len(QUESTIONS)
    return said


@pytest.mark.parametrize(("model", "style", "stream"), WAYS)
async def test_summaries_and_thinking_go_back_byte_for_byte(
    running: RunningGateway, simulated: RunningUpstream, model: str, style: Style, stream: bool
) -> None:
    loop = loop_of(model, style, stream=stream)

    await loop.go_on(running.openai())

    said = assert_compacted(loop, simulated)
    assert_kept(said)
    assert all(exchange.thoughts for exchange in said if exchange.calls)


@models
async def test_a_client_may_drop_what_stands_before_a_summary(
    running: RunningGateway, simulated: RunningUpstream, model: str
) -> None:
    loop = loop_of(model, SEALED)

    while not loop.is_over:
        await loop.step(running.openai())
        places = [place for place, item in enumerate(loop.said) if getattr(item, "type", "") == "compaction"]
        del loop.said[: max(places, default=0)]

    # The simulated model goes by the question, and that is gone after its first call.
    said = assert_compacted(loop, simulated, rounds=len(QUESTIONS))
    assert LONG not in str(said[-1].body["messages"][0])
    assert said[-1].body["messages"][0]["role"] == "user"


@models
async def test_a_client_that_loses_the_seals_of_its_thinking_keeps_the_summaries(
    running: RunningGateway, simulated: RunningUpstream, model: str
) -> None:
    def unsealed(item: Any) -> Any:
        return item if item.type == "compaction" else UNSEALED.replays and UNSEALED.replays(item)

    loop = loop_of(model, Style("thoughtless", {"store": False}, unsealed))

    await loop.go_on(running.openai())

    said = assert_compacted(loop, simulated)
    assert all("compaction" in str(exchange.body["messages"]) for exchange in said[1:])


async def test_a_model_that_does_not_summarize_says_so(running: RunningGateway, simulated: RunningUpstream) -> None:
    answer = await running.http().post(
        "/v1/responses", json={"model": "claude-haiku-4-5", "input": "Hello", **COMPACTING}
    )

    assert answer.status_code == 200
    assert "context_management=dropped:model" in answer.headers["x-gateway-adjusted"]


async def test_a_threshold_below_the_least_is_raised(running: RunningGateway, simulated: RunningUpstream) -> None:
    rule = {"context_management": [{"type": "compaction", "compact_threshold": 1_000}]}
    answer = await running.http().post("/v1/responses", json={"model": MODELS[0], "input": "Hello", **rule})

    assert answer.status_code == 200
    assert answer.headers["x-gateway-adjusted"] == "context_management.compact_threshold=raised:minimum"
    edit = exchanges(simulated.received)[0].body["context_management"]["edits"][0]
    assert edit == {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}


async def test_a_summary_of_upstream_serves_another_model_as_text(
    running: RunningGateway, simulated: RunningUpstream
) -> None:
    client = running.openai()
    options: dict[str, Any] = {"store": False, **COMPACTING}
    first = await client.responses.create(model=MODELS[0], input=f"{LONG}\nHello", **options)
    item = next(item for item in first.output if item.type == "compaction")

    given: list[Any] = [item.model_dump(exclude_none=True), {"role": "user", "content": "Well?"}]
    counted = await client.responses.input_tokens.count(model=MODELS[0], input=given)
    assert counted.input_tokens < THRESHOLD

    for model in ("claude-opus-5-5", "claude-haiku-4-5"):
        await client.responses.create(
            model=model, input=[item.model_dump(exclude_none=True), {"role": "user", "content": "And now?"}]
        )
        messages = exchanges(simulated.received)[-1].body["messages"]
        summary, question = (block["text"] for message in messages for block in _blocks(message))
        assert "So far, there were 1 turns" in summary
        assert question == "And now?"
    assert refusals(simulated.received) == []


def _blocks(message: Any) -> list[Any]:
    content = message["content"]
    return [{"text": content}] if isinstance(content, str) else [*content]


async def test_a_conversation_with_thinking_is_compacted_on_request(
    running: RunningGateway, simulated: RunningUpstream
) -> None:
    loop = ResponsesLoop(MODELS[1], SEALED)
    client = running.openai()
    await loop.go_on(client, 4)
    await loop.step(client)

    # Typed clients do not know that there are messages of users in it.
    compacted = await client.responses.with_raw_response.compact(model=MODELS[1], input=[*loop.said])
    loop.said[:] = json.loads(compacted.content)["output"]
    await loop.go_on(client)

    # The official client sends no tools with it, which the thinking of the conversation is bound to.
    assert refusals(simulated.received) == []
    assert loop.is_over
    assert loop.rounds == ROUNDS
    assert "<summary>" in str(exchanges(simulated.received)[-1].body["messages"])
