"""Thinking in a client's history: which account it belongs to, and whether everything before it is unchanged.

A block belongs to the account that received it. Models with preserved thinking bind it to its prefix as well, and
pass over blocks that other models have made.
"""

from __future__ import annotations

from dataclasses import replace

from msgspec import UNSET
from msgspec.structs import asdict

from gateway.demo.blocks import Block, RedactedThought, Thought
from gateway.demo.conversation import Turn
from gateway.demo.errors import MessagesError, invalid
from gateway.demo.pieces import CompactionPiece, Piece, ThoughtPiece, block_of
from gateway.demo.prompt import Prompt
from tests.support.upstream_rules.compaction import beginning, compacted
from tests.support.upstream_rules.models import rules_of
from tests.support.upstream_rules.signatures import opened, sealed
from tests.support.upstream_rules.trail import Trail


def with_bound_thoughts(prompt: Prompt, account: str) -> Prompt:
    """The prompt without the thoughts that the model skips; a changed thought is refused."""
    if not any(_is_thought(block) for turn in prompt.turns for block in turn.blocks):
        return prompt
    trail = _trail_up_to_messages(prompt)
    latest = max(place for place, turn in enumerate(prompt.turns) if turn.role == "assistant")
    begin = beginning(prompt.turns)
    turns = []
    for place, turn in enumerate(prompt.turns):
        if place >= begin[0]:
            trail.turn(turn.role)
        kept: list[Block] = []
        for number, block in enumerate(turn.blocks):
            if (place, number) < begin:
                # Passed over: a summary stands for it.
                kept.append(block)
                continue
            path = f"messages.{place}.content.{number}"
            if isinstance(block, Thought | RedactedThought) and not _counts(
                block, prompt, account, trail, path, latest=place == latest
            ):
                continue
            trail.add(asdict(block))
            kept.append(block)
        turns.append(Turn(turn.role, kept))
    return replace(prompt, turns=turns)


def sealed_thoughts(pieces: list[Piece], prompt: Prompt, account: str) -> list[Piece]:
    """The pieces, with each thought signed for everything before it."""
    if not any(isinstance(piece, ThoughtPiece) for piece in pieces):
        return pieces
    summaries = [piece for piece in pieces if isinstance(piece, CompactionPiece)]
    trail = _trail_up_to_messages(prompt) if summaries else _trail_of(compacted(prompt))
    trail.turn("assistant")
    bound: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, ThoughtPiece):
            before = trail.digest()
            seal = sealed(piece.kind, model=prompt.model.id, shown=piece.shown, account=account, before=before)
            piece = replace(piece, seal=seal)
        trail.add(block_of(piece))
        bound.append(piece)
    return bound


def _trail_of(prompt: Prompt) -> Trail:
    trail = _trail_up_to_messages(prompt)
    for turn in prompt.turns:
        trail.turn(turn.role)
        for block in turn.blocks:
            trail.add(asdict(block))
    return trail


def _trail_up_to_messages(prompt: Prompt) -> Trail:
    return Trail(prompt.request.tools, prompt.request.system)


def _is_thought(block: Block) -> bool:
    return isinstance(block, Thought | RedactedThought)


def _counts(
    block: Thought | RedactedThought, prompt: Prompt, account: str, trail: Trail, path: str, *, latest: bool
) -> bool:
    """Whether the model reads this block; raises `MessagesError` if it is invalid."""
    seal = opened(block.type, block.signature if isinstance(block, Thought) else block.data)
    if seal is None or not seal.is_of(account):
        raise _broken(block, path)
    model, rules = prompt.model, rules_of(prompt.model)
    if rules.preserved_thinking and seal.model not in (model.id, *rules.reads_thinking_of):
        return False
    if isinstance(block, Thought) and not seal.shows(block.thinking):
        raise _edited(path) if latest else _broken(block, path)
    if rules.preserved_thinking and seal.before != trail.digest():
        if _drops_mismatched_thinking(prompt):
            return False
        raise _broken(block, path)
    return True


def _drops_mismatched_thinking(prompt: Prompt) -> bool:
    """Whether thinking whose prefix has changed is skipped instead of refused."""
    binding = prompt.request.thinking.block_binding if prompt.request.thinking else UNSET
    return binding is not UNSET and binding.prefix_mismatch_behavior == "drop_block"


def _broken(block: Thought | RedactedThought, path: str) -> MessagesError:
    field = "signature" if isinstance(block, Thought) else "data"
    return invalid(f"{path}: Invalid `{field}` in `{block.type}` block")


def _edited(path: str) -> MessagesError:
    return invalid(
        f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."
        " These blocks must remain as they were in the original response."
    )
