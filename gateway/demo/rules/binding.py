"""Thinking in a client's history: which account it belongs to, and whether everything before it is unchanged.

A block belongs to the account that received it. Models with preserved thinking bind it to its prefix as well, and
pass over blocks that other models have made.
"""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import asdict

from gateway.demo.blocks import Block, RedactedThought, Thought
from gateway.demo.conversation import Turn
from gateway.demo.errors import MessagesError, invalid
from gateway.demo.prompt import Prompt
from gateway.demo.rules.signatures import opened
from gateway.demo.rules.trail import Trail


def with_bound_thoughts(prompt: Prompt) -> Prompt:
    """The prompt without the thoughts that the model skips; a changed thought is refused."""
    if not any(_is_thought(block) for turn in prompt.turns for block in turn.blocks):
        return prompt
    trail = _trail_up_to_messages(prompt)
    latest = max(place for place, turn in enumerate(prompt.turns) if turn.role == "assistant")
    turns = []
    for place, turn in enumerate(prompt.turns):
        trail.turn(turn.role)
        kept: list[Block] = []
        for number, block in enumerate(turn.blocks):
            path = f"messages.{place}.content.{number}"
            if isinstance(block, Thought | RedactedThought) and not _counts(
                block, prompt, trail, path, latest=place == latest
            ):
                continue
            trail.add(asdict(block))
            kept.append(block)
        turns.append(Turn(turn.role, kept))
    return replace(prompt, turns=turns)


def trail_of(prompt: Prompt) -> Trail:
    """The trail of the whole prompt."""
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


def _counts(block: Thought | RedactedThought, prompt: Prompt, trail: Trail, path: str, *, latest: bool) -> bool:
    """Whether the model reads this block; raises `MessagesError` if it is invalid."""
    seal = opened(block.type, block.signature if isinstance(block, Thought) else block.data)
    if seal is None or not seal.is_of(prompt.account):
        raise _broken(block, path)
    model = prompt.model
    if model.preserved_thinking and seal.model not in (model.id, *model.reads_thinking_of):
        return False
    if isinstance(block, Thought) and not seal.shows(block.thinking):
        raise _edited(path) if latest else _broken(block, path)
    if model.preserved_thinking and seal.before != trail.digest():
        if prompt.drops_mismatched_thinking:
            return False
        raise _broken(block, path)
    return True


def _broken(block: Thought | RedactedThought, path: str) -> MessagesError:
    field = "signature" if isinstance(block, Thought) else "data"
    return invalid(f"{path}: Invalid `{field}` in `{block.type}` block")


def _edited(path: str) -> MessagesError:
    return invalid(
        f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."
        " These blocks must remain as they were in the original response."
    )
