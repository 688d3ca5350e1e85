"""Loops of tools over the Responses API as applications write them, in the styles in which they carry state."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI
from openai.types.responses import Response

from tests.support.loops import QUESTIONS, ROUNDS
from tests.support.loops import TOOLS as CHAT_TOOLS

TOOLS: list[dict[str, Any]] = [{"type": "function", **tool["function"]} for tool in CHAT_TOOLS]
SEALS = ("reasoning.encrypted_content",)


@dataclass(frozen=True, slots=True)
class Style:
    """How a client has the server know what was said before."""

    name: str
    options: dict[str, Any]
    replays: Callable[[Any], Any] | None = None
    """What it makes of an output item to send it back; `None` if it names the last response instead."""

    def __str__(self) -> str:
        return self.name


def as_it_came(item: Any) -> Any:
    """The item that the SDK returned."""
    return item


def dumped(item: Any) -> Any:
    """All that is set of it."""
    return item.model_dump(exclude_none=True)


def unsealed(item: Any) -> Any:
    """The item as clients keep it that do not know of seals."""
    return {key: value for key, value in dumped(item).items() if key != "encrypted_content"}


STORED = Style("stored", {})
SEALED = Style("sealed", {"store": False, "include": [*SEALS]}, as_it_came)
SEALED_AND_DUMPED = Style("sealed-dumped", {"store": False, "include": [*SEALS]}, dumped)
# Without `include`, and yet `store: false`: what is sent back has no seals, unless the server gives them unasked.
UNSEALED = Style("unsealed", {"store": False}, unsealed)
# All is sent back, but the seals of thinking are left to the server, as the Agents SDK does by default.
BY_ID = Style("by-id", {}, unsealed)
STYLES = (STORED, SEALED, SEALED_AND_DUMPED, UNSEALED, BY_ID)


@dataclass(slots=True)
class ResponsesLoop:
    """One conversation: ask, send the results of the calls, until all questions are answered in words."""

    model: str
    style: Style
    stream: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    questions: list[str] = field(default_factory=lambda: [*QUESTIONS])
    responses: list[Response] = field(default_factory=list)
    rounds: int = 0
    # What the gateway has told of what it changed, by request; of whole answers only.
    adjusted: list[str] = field(default_factory=list)
    said: list[Any] = field(default_factory=list)
    _new: list[Any] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether all questions were answered."""
        return not self.questions and not self._new

    async def go_on(self, client: AsyncOpenAI, rounds: int = ROUNDS + 1) -> None:
        """Ask until tools have been called in so many more answers, or all questions have been answered."""
        goal = self.rounds + rounds
        while self.rounds < goal and not self.is_over:
            await self.step(client)

    async def step(self, client: AsyncOpenAI) -> Response:
        """One request: the results of the last calls, or else the next question."""
        if not self._new:
            self._new = [{"role": "user", "content": self.questions.pop(0)}]
        response = await self._answer(client)
        self.said += self._new
        if self.style.replays:
            self.said += map(self.style.replays, response.output)
        calls = [item for item in response.output if item.type == "function_call"]
        self._new = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name} knows it"}
            for call in calls
            if json.loads(call.arguments)
        ]
        assert len(self._new) == len(calls)
        self.rounds += bool(calls)
        self.responses.append(response)
        return response

    async def _answer(self, client: AsyncOpenAI) -> Response:
        asked = {"model": self.model, "tools": TOOLS, **self.style.options, **self.options}
        if self.style.replays:
            asked["input"] = [*self.said, *self._new]
        else:
            asked["input"] = self._new
            asked |= {"previous_response_id": self.responses[-1].id} if self.responses else {}
        if not self.stream:
            raw = await client.responses.with_raw_response.create(**asked)
            self.adjusted.append(raw.headers.get("x-gateway-adjusted", ""))
            response: Response = raw.parse()
            return response
        async with client.responses.stream(**asked) as stream:
            return await stream.get_final_response()
