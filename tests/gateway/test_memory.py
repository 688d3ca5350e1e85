"""What is remembered of conversations, whoever asks and whatever the store does."""

import asyncio
import json
from collections.abc import Generator
from typing import Any, TypeVar

import pytest

from tests.support.conversations import called, chat, returned, said, tool
from tests.support.sealed import Sealing
from translators.chat.request import read_request
from translators.models import model_table

MODEL = "claude-sonnet-5-5"
ROWS = {MODEL: model_table().row(MODEL)}
TOOLS = [tool("look")]
T = TypeVar("T")


def asked(*messages: dict[str, Any]) -> dict[str, Any]:
    return chat(said("user", "Go"), *messages, tools=TOOLS)


def looped(loop: Sealing, rounds: int) -> dict[str, Any]:
    """A conversation of so many rounds of tools, in which upstream has thought each time."""
    history: list[dict[str, Any]] = []
    for number in range(rounds):
        call_id = f"toolu_{number}"
        thought = {"type": "thinking", "thinking": f"{number}"}
        loop.ask(asked(*history), [thought, {"type": "tool_use", "id": call_id, "name": "look", "input": {}}])
        history += [called((call_id, "look", "{}")), returned(call_id)]
    return asked(*history)


async def test_a_long_conversation_is_recollected_in_many_steps(sealing: Sealing) -> None:
    body = await asyncio.to_thread(looped, sealing, 300)
    taken: list[int] = []

    async def run(steps: Generator[None, None, T], /) -> T:
        taken.append(0)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            taken[-1] += 1

    chat = read_request(json.dumps(body).encode())
    past = await sealing.memory.recollect(chat, b"me", ROWS, run)

    assert len(past[MODEL].keys) == 300
    assert taken == [5, 2, 12]
    assert await sealing.memory.recollect(chat, b"me", ROWS) == past


@pytest.fixture
def sealing() -> Sealing:
    return Sealing()
