"""A request read once: what the rules are checked against and the answer is made from."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from gateway.demo.blocks import Block, Text, read_blocks
from gateway.demo.conversation import Turn, read_turns
from gateway.demo.errors import MessagesError, invalid
from gateway.demo.models import Model, find_model
from gateway.demo.tools import AnyTool, read_tools
from gateway.demo.wire import CountRequest, CustomTool

FORCED = ("any", "tool")


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything in a request that the model would read."""

    model: Model
    request: CountRequest
    system: list[Block]
    tools: list[AnyTool]
    turns: list[Turn]
    account: str

    @property
    def own_tools(self) -> list[CustomTool]:
        """The tools that the client runs, and that have a schema."""
        return [tool for tool in self.tools if isinstance(tool, CustomTool)]

    @property
    def last_user_turn(self) -> Turn:
        """What is to be answered; a system message after it does not change that."""
        return next((turn for turn in reversed(self.turns) if turn.role == "user"), Turn("user"))

    @property
    def last_text(self) -> str:
        """The user's last words, without the results of tools."""
        return "\n".join(self.last_user_turn.texts())

    @property
    def question(self) -> str:
        """The words that a run of tool calls goes back to: the last ones, or those before the first call of the run."""
        return "\n".join(self.turns[place].texts()) if (place := self._place_of_the_question) is not None else ""

    @property
    def rounds(self) -> int:
        """How often tools were called since the question."""
        later = self.turns[self._place_of_the_question or 0 :]
        return sum(turn.role == "assistant" and bool(turn.calls()) for turn in later)

    @property
    def _place_of_the_question(self) -> int | None:
        """The last turn of the user that does more than hand in results."""
        for place in range(len(self.turns) - 1, -1, -1):
            turn = self.turns[place]
            if turn.role == "user" and (turn.texts() or not turn.results()):
                return place
        return None

    @property
    def system_text(self) -> str:
        """The system prompt and the system messages, as one text."""
        later = [text for turn in self.turns if turn.role == "system" for text in turn.texts()]
        return "\n".join([*(block.text for block in self.system if isinstance(block, Text)), *later])

    @property
    def forces_a_tool(self) -> bool:
        """Whether `tool_choice` leaves the model no way around a call."""
        choice = self.request.tool_choice
        return choice is not None and choice.type in FORCED

    @property
    def thinking_type(self) -> str:
        """The way of thinking in force: what was asked for, else what the model does unasked."""
        if self.request.thinking is not None:
            return self.request.thinking.type
        return "adaptive" if self.model.thinks_unasked else "disabled"

    @property
    def drops_mismatched_thinking(self) -> bool:
        """Whether thinking whose prefix has changed is left out, and not refused."""
        binding = self.request.thinking.block_binding if self.request.thinking else UNSET
        return binding is not UNSET and binding.prefix_mismatch_behavior == "drop_block"


def read_prompt(request: CountRequest, account: str) -> Prompt:
    """The prompt in a request whose shape is right, from a key of this account."""
    model = find_model(request.model)
    if model is None:
        raise MessagesError(404, f"model: {request.model}")
    system = read_blocks(request.system, "system", "system")
    if any(isinstance(block, Text) and not block.text for block in system):
        raise invalid("system: text content blocks must be non-empty")
    return Prompt(model, request, system, read_tools(request.tools), read_turns(request.messages), account)
