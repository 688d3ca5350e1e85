"""Compaction: what upstream makes of a long conversation by itself, and what it asks of those who send that back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from msgspec import UNSET

from gateway.demo.conversation import Turn
from gateway.demo.errors import invalid
from gateway.demo.pieces import CompactionPiece
from gateway.demo.prompt import Prompt
from gateway.demo.tokens import tokens_of_parts
from tests.support.upstream_rules.blocks import Compaction
from tests.support.upstream_rules.signatures import opened, sealed

_EDIT: Final = "compact_20260112"
_BETA: Final = "compact-2026-01-12"
_LEAST: Final = 50_000
_USUAL: Final = 150_000
_KIND: Final = "compaction"


def check_compaction(prompt: Prompt, betas: Collection[str]) -> None:
    """Refuse edits and blocks that break a rule; whose block it is, the thoughts behind it show."""
    if (edit := _edit(prompt)) is not None:
        if _BETA not in betas:
            raise invalid(f"context_management.edits.0: Input tag '{_EDIT}' found using 'type' is not known")
        if "adaptive" not in prompt.model.thinking:
            raise invalid(f"context_management.edits.0: '{_EDIT}' is not supported on this model")
        if _trigger(edit) < _LEAST:
            raise invalid(
                f"context_management.edits.0.trigger.value: Input should be greater than or equal to {_LEAST}"
            )
    for place, turn in enumerate(prompt.turns):
        for number, block in enumerate(turn.blocks):
            if isinstance(block, Compaction):
                path = f"messages.{place}.content.{number}"
                if _BETA not in betas:
                    raise invalid(f"{path}: Input tag 'compaction' found using 'type' does not match any expected tag")
                if block.encrypted_content is None:
                    continue
                seal = opened(_KIND, block.encrypted_content)
                if seal is None or not seal.shows(block.content or "") or not block.content:
                    raise invalid(f"{path}: the compaction block was changed", error_code="compaction_content_mismatch")


def beginning(turns: Sequence[Turn]) -> tuple[int, int]:
    """The place of the first block that counts, by turn and block: the last summary of all that was said before it."""
    places = [
        (place, number)
        for place, turn in enumerate(turns)
        for number, block in enumerate(turn.blocks)
        if isinstance(block, Compaction)
    ]
    return max(places, default=(0, 0))


def compacted(prompt: Prompt) -> Prompt:
    """The prompt without what a summary stands for."""
    place, number = beginning(prompt.turns)
    turns = [Turn(turn.role, turn.blocks) for turn in prompt.turns[place:]]
    if turns:
        turns[0] = Turn(turns[0].role, turns[0].blocks[number:])
    return replace(prompt, turns=turns)


def compaction_for(prompt: Prompt, account: str) -> CompactionPiece | None:
    """The summary that an answer begins with, where one is due."""
    edit = _edit(prompt)
    if edit is None or sum(tokens_of_parts(compacted(prompt))) < _trigger(edit):
        return None
    text = f"So far, there were {len(prompt.turns)} turns; the question is: {prompt.question[:200]}"
    seal = sealed(_KIND, model=prompt.model.id, shown=text, account=account, before=b"\0" * 16)
    return CompactionPiece(text, seal)


def _edit(prompt: Prompt) -> dict[str, Any] | None:
    management = getattr(prompt.request, "context_management", None)
    if management is UNSET or not management:
        return None
    return next((edit for edit in management["edits"] if edit["type"] == _EDIT), None)


def _trigger(edit: dict[str, Any]) -> int:
    return int(edit.get("trigger", {}).get("value", _USUAL))
