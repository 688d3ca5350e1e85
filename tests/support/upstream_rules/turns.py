"""The rules for the order of a conversation's turns, and for what each may hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gateway.demo.blocks import ToolResult, ToolUse
from gateway.demo.conversation import Turn
from gateway.demo.errors import invalid
from gateway.demo.models import Model
from tests.support.upstream_rules.blocks import ServerToolResult
from tests.support.upstream_rules.models import rules_of

IDENTIFIER = re.compile(r"^[a-zA-Z0-9_-]+$")


def check_turns(turns: Sequence[Turn], model: Model) -> None:
    for place, turn in enumerate(turns):
        before = turns[place - 1] if place else None
        after = turns[place + 1] if place + 1 < len(turns) else None
        _check_texts(turn)
        if turn.role == "system":
            _check_system_turn(before, after, place, model)
        if turn.role == "assistant":
            _check_calls(turn, after, place)
        if turn.role == "user":
            _check_results(turn, before, place)


def check_thought_before_calls(turns: Sequence[Turn]) -> None:
    """With a thinking budget, an answer with open calls has to start with its thinking block."""
    assistant = turns[-2] if len(turns) > 1 and turns[-1].results() else turns[-1]
    if assistant.role != "assistant" or not assistant.blocks:
        return
    first = assistant.blocks[0].type
    if first not in ("thinking", "redacted_thinking"):
        raise invalid(
            f"messages.{turns.index(assistant)}.content.0.type: Expected `thinking` or `redacted_thinking`,"
            f" but found `{first}`. When `thinking` is enabled, a final `assistant` message must start"
            " with a thinking block."
        )


def check_ending(turns: Sequence[Turn], model: Model, *, thinks: bool) -> None:
    """Refuse a final assistant message, unless the model supports prefill."""
    last = turns[-1]
    if last.role != "assistant" or any(isinstance(block, ServerToolResult) for block in last.blocks[-1:]):
        return
    if not rules_of(model).prefill or thinks:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    if last.texts() and last.texts()[-1] != last.texts()[-1].rstrip():
        raise invalid("messages: final assistant content cannot end with trailing whitespace")


def _check_texts(turn: Turn) -> None:
    for text in turn.texts():
        if not text:
            raise invalid("messages: text content blocks must be non-empty")
        if not text.strip() and not turn.calls():
            raise invalid("messages: text content blocks must contain non-whitespace text")


def _check_system_turn(before: Turn | None, after: Turn | None, place: int, model: Model) -> None:
    if not rules_of(model).system_messages:
        raise invalid(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter,'
            ' not "system" as an input message role.'
        )
    if before is None:
        raise invalid("messages.0: a `system` message cannot be the first message")
    if before.role == "assistant" and not isinstance(before.blocks[-1], ServerToolResult):
        raise invalid(f"messages.{place}: a `system` message must directly follow a `user` message")
    if after is not None and after.role != "assistant":
        raise invalid(f"messages.{place}: a `system` message must be last or be followed by an `assistant` message")


def _check_calls(turn: Turn, after: Turn | None, place: int) -> None:
    """Check that every call has its result at the start of the next turn."""
    ids = [call.id for call in turn.calls()]
    for tool_use_id in ids:
        if not IDENTIFIER.fullmatch(tool_use_id):
            raise invalid(
                f"messages.{place}.content.{_place_of(turn, tool_use_id)}.tool_use.id:"
                f" String should match pattern '{IDENTIFIER.pattern}'"
            )
    if len(set(ids)) < len(ids):
        raise invalid("messages: `tool_use` ids must be unique")
    answered = _leading_results(after)
    if unanswered := [tool_use_id for tool_use_id in ids if tool_use_id not in answered]:
        raise invalid(
            f"messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after:"
            f" {', '.join(unanswered)}. Each `tool_use` block must have a corresponding `tool_result` block"
            " in the next message."
        )


def _check_results(turn: Turn, before: Turn | None, place: int) -> None:
    called = [call.id for call in before.calls()] if before else []
    for number, block in enumerate(turn.blocks):
        if isinstance(block, ToolResult) and block.tool_use_id not in called:
            raise invalid(
                f"messages.{place}.content.{number}: unexpected `tool_use_id` found in `tool_result` blocks:"
                f" {block.tool_use_id}. Each `tool_result` block must have a corresponding `tool_use` block"
                " in the previous message."
            )
    for tool_use_id, count in Counter(result.tool_use_id for result in turn.results()).items():
        if count > 1:
            raise invalid(
                f"messages.{place}: each tool_use must have a single result."
                f" Found multiple `tool_result` blocks with id: {tool_use_id}"
            )


def _leading_results(turn: Turn | None) -> set[str]:
    """The results at the start of a turn; later ones do not count."""
    ids: set[str] = set()
    for block in turn.blocks if turn else []:
        if not isinstance(block, ToolResult):
            break
        ids.add(block.tool_use_id)
    return ids


def _place_of(turn: Turn, tool_use_id: str) -> int:
    return next(n for n, block in enumerate(turn.blocks) if isinstance(block, ToolUse) and block.id == tool_use_id)
