"""Prompt caching: which tokens count as read or written."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from gateway.demo.blocks import Block, Marked
from gateway.demo.prompt import Prompt
from gateway.demo.tokens import tokens_of_parts
from gateway.demo.wire import CacheControl


@dataclass(frozen=True, slots=True)
class InputUsage:
    """A prompt's tokens: uncached, read and written; their sum is the whole prompt."""

    uncached: int
    read: int
    written_5m: int
    written_1h: int


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


def _marks(prompt: Prompt) -> list[CacheControl | None]:
    """The mark of each part that `tokens_of_parts` counts, in the same order."""
    return [*(tool.cache_control for tool in prompt.tools), *map(mark_on, all_blocks(prompt))]


def all_blocks(prompt: Prompt) -> list[Block]:
    """The system prompt's blocks, then those of the turns."""
    return [*prompt.system, *(block for turn in prompt.turns for block in turn.blocks)]


def mark_on(block: Block) -> CacheControl | None:
    """A block's cache mark."""
    return block.cache_control if isinstance(block, Marked) else None
