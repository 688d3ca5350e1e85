"""Token counts: about four characters a token, always the same for the same input."""

from __future__ import annotations

from math import ceil

import msgspec

from gateway.demo.blocks import Block, Document, Image, Text, Thought, ToolResult, ToolUse, result_blocks
from gateway.demo.prompt import Prompt
from gateway.demo.tools import AnyTool
from gateway.demo.wire import CustomTool

CHARACTERS = 4
"""The length of a token."""

_TURN_OVERHEAD = 4
_TOOLS_OVERHEAD = 120
_BYTES_OF_AN_IMAGE_TOKEN = 400
_MAX_IMAGE_TOKENS = 4784
_BYTES_OF_A_PDF_TOKEN = 50


def text_tokens(text: str) -> int:
    """The tokens of a text."""
    return ceil(len(text) / CHARACTERS)


def input_tokens(prompt: Prompt) -> int:
    """The tokens of a whole prompt, cached or not."""
    return sum(tokens_of_parts(prompt))


def tokens_of_parts(prompt: Prompt) -> list[int]:
    """The tokens of each part of a prompt in cache order: every tool, every system block, every block of a turn."""
    tools = [tool_tokens(tool) for tool in prompt.tools]
    if tools:
        tools[0] += _TOOLS_OVERHEAD
    system = [block_tokens(block) for block in prompt.system]
    turns = [
        block_tokens(block) + (_TURN_OVERHEAD if number == 0 else 0)
        for turn in prompt.turns
        for number, block in enumerate(turn.blocks)
    ]
    return [*tools, *system, *turns]


def tool_tokens(tool: AnyTool) -> int:
    """The tokens of a tool definition."""
    if isinstance(tool, CustomTool):
        return text_tokens(tool.name + tool.description) + json_tokens(tool.input_schema)
    return _TOOLS_OVERHEAD


def json_tokens(value: object) -> int:
    """The tokens of a value written as JSON."""
    return ceil(len(msgspec.json.encode(value)) / CHARACTERS)


def block_tokens(block: Block) -> int:
    """The tokens of a content block."""
    match block:
        case Text():
            return text_tokens(block.text)
        case ToolUse():
            return text_tokens(block.name) + json_tokens(block.input)
        case ToolResult():
            return _TURN_OVERHEAD + sum(block_tokens(inner) for inner in result_blocks(block))
        case Thought():
            return text_tokens(block.thinking)
        case Image() | Document():
            return _media_tokens(block)
    return _TURN_OVERHEAD


def _media_tokens(block: Image | Document) -> int:
    size = len(str(block.source.get("data", ""))) * 3 // 4
    if isinstance(block, Image):
        return min(_MAX_IMAGE_TOKENS, ceil(size / _BYTES_OF_AN_IMAGE_TOKEN) or _MAX_IMAGE_TOKENS)
    if block.source.get("type") == "text":
        return ceil(size / CHARACTERS)
    return ceil(size / _BYTES_OF_A_PDF_TOKEN) or _MAX_IMAGE_TOKENS
