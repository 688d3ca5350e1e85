"""Prompt caching: where a prompt may have marks, and which tokens count as read or written."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from gateway.demo.blocks import Block, Marked, Text, ToolResult, result_blocks
from gateway.demo.errors import invalid
from gateway.demo.prompt import Prompt
from gateway.demo.tokens import tokens_of_parts
from gateway.demo.wire import CacheControl

MAX_MARKS = 4


@dataclass(frozen=True, slots=True)
class InputUsage:
    """A prompt's tokens: uncached, read and written; their sum is the whole prompt."""

    uncached: int
    read: int
    written_5m: int
    written_1h: int


def check_marks(prompt: Prompt, *, allows_scopes: bool) -> None:
    """Refuse too many marks, marks on empty blocks, hour-long marks after shorter ones, scopes without their beta."""
    for block in _all_blocks(prompt):
        if isinstance(block, Text) and block.cache_control and not block.text:
            raise invalid("cache_control cannot be set for empty text blocks")
    nested = [
        inner
        for block in _all_blocks(prompt)
        for inner in (*(result_blocks(block) if isinstance(block, ToolResult) else ()), block)
    ]
    places = [*(tool.cache_control for tool in prompt.tools), *map(_mark_on, nested), prompt.request.cache_control]
    marks = [mark for mark in places if mark is not None]
    if len(marks) > MAX_MARKS:
        raise invalid(f"A maximum of {MAX_MARKS} blocks with cache_control may be provided. Found {len(marks)}.")
    if not allows_scopes and any(mark.scope is not None for mark in marks):
        raise invalid("cache_control.ephemeral.scope: Extra inputs are not permitted")
    _check_lifetimes(marks)


def input_usage(prompt: Prompt) -> InputUsage:
    """The tokens that were read from the cache and written to it.

    Nothing is stored between requests, so that the same request always has the same usage: the earlier turns of a
    conversation count as read, because a client that keeps its marks has just sent them.
    """
    parts = tokens_of_parts(prompt)
    ends = list(accumulate(parts))
    marks = _marks(prompt)
    if prompt.request.cache_control and marks:
        marks[-1] = prompt.request.cache_control
    marked = [end for end, mark in zip(ends, marks, strict=True) if mark]
    if not marked or marked[-1] < prompt.model.cache_minimum:
        return InputUsage(uncached=sum(parts), read=0, written_5m=0, written_1h=0)
    hours = [end for end, mark in zip(ends, marks, strict=True) if mark and mark.ttl == "1h"]
    read = min(_seen_before(prompt, ends), marked[-1])
    hour_end = max(read, hours[-1] if hours else 0)
    return InputUsage(
        uncached=ends[-1] - marked[-1],
        read=read,
        written_5m=marked[-1] - hour_end,
        written_1h=hour_end - read,
    )


def _seen_before(prompt: Prompt, ends: list[int]) -> int:
    """The tokens before the model's last answer, which an earlier request sent."""
    answers = [place for place, turn in enumerate(prompt.turns) if turn.role == "assistant"]
    if not answers:
        return 0
    parts = len(prompt.tools) + len(prompt.system) + sum(len(turn.blocks) for turn in prompt.turns[: answers[-1]])
    return ends[parts - 1] if parts else 0


def _check_lifetimes(marks: list[CacheControl]) -> None:
    shorter_seen = False
    for mark in marks:
        if mark.type != "ephemeral":
            raise invalid("cache_control.type: Input should be 'ephemeral'")
        if mark.ttl not in (None, "5m", "1h"):
            raise invalid("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
        if mark.ttl == "1h" and shorter_seen:
            raise invalid(
                "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
            )
        shorter_seen = shorter_seen or mark.ttl != "1h"


def _marks(prompt: Prompt) -> list[CacheControl | None]:
    """The mark of each part that `tokens_of_parts` counts, in the same order."""
    return [*(tool.cache_control for tool in prompt.tools), *map(_mark_on, _all_blocks(prompt))]


def _all_blocks(prompt: Prompt) -> list[Block]:
    return [*prompt.system, *(block for turn in prompt.turns for block in turn.blocks)]


def _mark_on(block: Block) -> CacheControl | None:
    return block.cache_control if isinstance(block, Marked) else None
