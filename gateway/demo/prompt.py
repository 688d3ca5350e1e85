"""A request as the model reads it: the input of the rules and of the answer."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.demo.blocks import Block, BlockReader, Text, read_block, read_blocks
from gateway.demo.conversation import Turn, read_turns
from gateway.demo.errors import MessagesError
from gateway.demo.models import Model, find_model
from gateway.demo.tools import AnyTool, read_tools
from gateway.demo.wire import CountRequest, CustomTool

FORCED = ("any", "tool")


@dataclass(frozen=True, slots=True)
class Prompt:
    model: Model
    request: CountRequest
    system: list[Block]
    tools: list[AnyTool]
    turns: list[Turn]

    @property
    def own_tools(self) -> list[CustomTool]:
        """The tools with a schema, which the client runs."""
        return [tool for tool in self.tools if isinstance(tool, CustomTool)]

    @property
    def last_user_turn(self) -> Turn:
        """The turn to be answered; a system message after it does not change that."""
        return next((turn for turn in reversed(self.turns) if turn.role == "user"), Turn("user"))

    @property
    def last_text(self) -> str:
        """The user's last text, without tool results."""
        return "\n".join(self.last_user_turn.texts())

    @property
    def question(self) -> str:
        """The text that a run of tool calls answers: the last one, or the one before the first call of the run."""
        return "\n".join(self.turns[place].texts()) if (place := self._place_of_the_question) is not None else ""

    @property
    def rounds(self) -> int:
        """How many answers with tool calls followed the question."""
        later = self.turns[self._place_of_the_question or 0 :]
        return sum(turn.role == "assistant" and bool(turn.calls()) for turn in later)

    @property
    def _place_of_the_question(self) -> int | None:
        """The index of the last user turn that contains more than results."""
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
        """Whether `tool_choice` forces a call."""
        choice = self.request.tool_choice
        return choice is not None and choice.type in FORCED

    @property
    def thinking_type(self) -> str:
        """The effective type of thinking: the requested one, else the model's default."""
        if self.request.thinking is not None:
            return self.request.thinking.type
        return "adaptive" if self.model.thinks_unasked else "disabled"


def read_prompt(request: CountRequest, read: BlockReader = read_block) -> Prompt:
    """The prompt of a well-formed request."""
    model = find_model(request.model)
    if model is None:
        raise MessagesError(404, f"model: {request.model}")
    system = read_blocks(request.system, "system", "system", read=read)
    return Prompt(model, request, system, read_tools(request.tools), read_turns(request.messages, read))
