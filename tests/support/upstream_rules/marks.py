"""Cache marks: how many a prompt may have, where, and in which order."""

from __future__ import annotations

from gateway.demo.blocks import Text, ToolResult, result_blocks
from gateway.demo.cache import all_blocks, mark_on
from gateway.demo.errors import invalid
from gateway.demo.prompt import Prompt
from gateway.demo.wire import CacheControl
from tests.support.upstream_rules.blocks import read_block

MAX_MARKS = 4


def check_marks(prompt: Prompt, *, allows_scopes: bool) -> None:
    """Refuse too many marks, marks on empty blocks, hour-long marks after shorter ones, scopes without their beta."""
    for block in all_blocks(prompt):
        if isinstance(block, Text) and block.cache_control and not block.text:
            raise invalid("cache_control cannot be set for empty text blocks")
    nested = [
        inner
        for block in all_blocks(prompt)
        for inner in (*(result_blocks(block, read=read_block) if isinstance(block, ToolResult) else ()), block)
    ]
    places = [*(tool.cache_control for tool in prompt.tools), *map(mark_on, nested), prompt.request.cache_control]
    marks = [mark for mark in places if mark is not None]
    if len(marks) > MAX_MARKS:
        raise invalid(f"A maximum of {MAX_MARKS} blocks with cache_control may be provided. Found {len(marks)}.")
    if not allows_scopes and any(mark.scope is not None for mark in marks):
        raise invalid("cache_control.ephemeral.scope: Extra inputs are not permitted")
    _check_lifetimes(marks)


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
