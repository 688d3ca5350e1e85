"""What it costs to remember conversations: kept turns are looked up and compared, with the store in memory."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.kept_turns.layered import LayeredStore
from gateway.kept_turns.memory import Memory
from tests.support.conversations import chat, returned, said, tool
from tests.support.sealed import Sealing
from translators.chat.read import read_request
from translators.intent import Intent
from translators.models import model_table

_ROUNDS: Final = (1, 10, 50)
# Each look-up is a coroutine, and what runs it takes longer than most of them.
_IN_A_RUN: Final = 200
_TOOLS: Final = [tool("look", parameters={"type": "object", "properties": {"at": {"type": "string"}}})]
_SHOWN: Final = ("role", "content", "tool_calls")


def turns(measure: Callable[[Callable[[], object]], float]) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure; `measure` gives the microseconds that a call takes."""
    loop = _loop()
    plain = _read(json.dumps(chat(said("user", "Hello"))).encode())
    yield "turns: a request without tools, nothing to look up", _figure(measure, loop, plain)
    history: list[dict[str, Any]] = [said("system", "x" * 2000), said("user", "q" * 200)]
    for number in range(_ROUNDS[-1]):
        shown = loop.ask(chat(*history, tools=_TOOLS), _answer(number))
        history += [{name: shown[name] for name in _SHOWN}, returned(f"toolu_{number}", "r" * 1000)]
        if number + 1 in _ROUNDS:
            body = json.dumps(chat(*history, tools=_TOOLS)).encode()
            name = f"turns: {len(body) / 1000:.0f} KB, {number + 1} kept turns looked up"
            yield name, _figure(measure, loop, _read(body))


def _loop() -> Sealing:
    loop = Sealing()
    loop.memory.store = LayeredStore(Memory(32 * 2**20, 3600.0), keep_seconds=3600.0)
    return loop


def _read(body: bytes) -> Intent:
    return read_request(body, 8).intent


def _answer(number: int) -> list[dict[str, Any]]:
    call = {"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {"at": "p" * 100}}
    return [{"type": "thinking", "thinking": "h" * 800}, {"type": "text", "text": "w" * 100}, call]


def _figure(measure: Callable[[Callable[[], object]], float], loop: Sealing, intent: Intent) -> str:
    rows = {loop.model: model_table().row(loop.model)}

    async def many() -> None:
        for _ in range(_IN_A_RUN):
            await loop.memory.recollect(intent, b"me", rows)

    with asyncio.Runner() as runner:
        return f"{measure(lambda: runner.run(many())) / _IN_A_RUN:.2f} µs"
