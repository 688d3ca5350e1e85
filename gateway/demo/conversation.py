"""The turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import UNSET

from gateway.demo.blocks import Block, BlockReader, Text, ToolResult, ToolUse, read_block, read_blocks
from gateway.demo.errors import invalid
from gateway.demo.wire import Message

_ROLES = ("user", "assistant", "system")


@dataclass(slots=True)
class Turn:
    """Consecutive messages of one role, merged."""

    role: str
    blocks: list[Block] = field(default_factory=list)

    def texts(self) -> list[str]:
        """The texts of text blocks."""
        return [block.text for block in self.blocks if isinstance(block, Text)]

    def calls(self) -> list[ToolUse]:
        """The calls of the client's tools."""
        return [block for block in self.blocks if isinstance(block, ToolUse) and block.type == "tool_use"]

    def results(self) -> list[ToolResult]:
        """The tool results."""
        return [block for block in self.blocks if isinstance(block, ToolResult)]


def read_turns(messages: Sequence[Message], read: BlockReader = read_block) -> list[Turn]:
    """Merge messages into turns; places in error messages count turns, as upstream's do."""
    if not messages:
        raise invalid("messages: at least one message is required")
    turns: list[Turn] = []
    for number, message in enumerate(messages):
        if message.role not in _ROLES:
            raise invalid(f"messages.{number}.role: Input should be 'user', 'assistant' or 'system'")
        if message.is_effort_only:
            continue
        if message.content is UNSET:
            raise invalid(f"messages.{number}.content: Field required")
        if not turns or turns[-1].role != message.role:
            turns.append(Turn(message.role))
        place = len(turns) - 1
        final = number == len(messages) - 1
        if not message.content and not (final and message.role == "assistant"):
            raise invalid(
                f"messages.{place}: all messages must have non-empty content"
                " except for the optional final assistant message"
            )
        blocks = turns[-1].blocks
        path = f"messages.{place}.content"
        blocks.extend(read_blocks(message.content, message.role, path, first=len(blocks), read=read))
    return turns
