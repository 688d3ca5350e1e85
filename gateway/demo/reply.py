"""The answer to a prompt: its pieces, its stop reason and its usage."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import msgspec

from gateway.demo.cache import input_usage
from gateway.demo.calls import calls_for
from gateway.demo.names import new_id
from gateway.demo.orders import Orders, without_orders
from gateway.demo.phrases import answer_text, calls_preamble, long_text, thought_text
from gateway.demo.pieces import (
    CallPiece,
    Piece,
    TextPiece,
    ThoughtPiece,
    as_written,
    piece_tokens,
    up_to_stop,
    within_limit,
)
from gateway.demo.prompt import Prompt
from gateway.demo.samples import sample, words_of
from gateway.demo.tokens import CHARACTERS
from gateway.demo.wire import MessagesRequest

_REFUSAL = {
    "type": "refusal",
    "category": "general_harms",
    "explanation": "This request was declined because the user ordered a refusal.",
}
_EMPTY_ANSWER_TOKENS = 2
_REDACTED_THOUGHT = "What nobody may read."


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, before it becomes a message or a stream."""

    id: str
    model: str
    pieces: list[Piece]
    stop_reason: str
    stop_sequence: str | None
    stop_details: dict[str, Any] | None
    usage: dict[str, Any]


Sign = Callable[[list[Piece], Prompt], list[Piece]]


def signed(pieces: list[Piece], prompt: Prompt) -> list[Piece]:
    """The pieces, with a signature for each thought that looks like a real one. Nobody verifies it."""
    said = msgspec.json.encode([prompt.model.id, prompt.request.messages])
    return [
        replace(piece, seal=_signature(said, f"{number} {piece.thought}")) if isinstance(piece, ThoughtPiece) else piece
        for number, piece in enumerate(pieces)
    ]


def _signature(said: bytes, thought: str) -> str:
    return base64.b64encode(b"dragoman-demo" + blake2b(said + thought.encode()).digest()).decode()


def reply_to(request: MessagesRequest, prompt: Prompt, orders: Orders, sign: Sign = signed) -> Reply:
    """The answer; the same request gets the same answer, except for ids."""
    pieces, sequence = up_to_stop(_pieces(request, prompt, orders), request.stop_sequences)
    stop_reason = "tool_use" if any(isinstance(piece, CallPiece) for piece in pieces) else "end_turn"
    if sequence is not None:
        stop_reason = "stop_sequence"
    if orders.refuse:
        stop_reason, sequence = "refusal", None
    limited = within_limit(pieces, request.max_tokens)
    if limited != pieces or request.max_tokens == 0:
        pieces, stop_reason, sequence = limited, "max_tokens", None
    pieces = sign(pieces, prompt)
    return Reply(
        id=new_id("msg"),
        model=prompt.model.id,
        pieces=pieces,
        stop_reason=stop_reason,
        stop_sequence=sequence,
        stop_details=_REFUSAL if stop_reason == "refusal" else None,
        usage=_usage(request, prompt, pieces),
    )


def _pieces(request: MessagesRequest, prompt: Prompt, orders: Orders) -> list[Piece]:
    if orders.empty:
        return []
    thoughts = _thoughts(request, prompt, orders)
    if orders.refuse:
        return [*thoughts, TextPiece("I would rather not")]
    if orders.long_tokens is not None:
        return [*thoughts, TextPiece(long_text(orders.long_tokens))] if orders.long_tokens else thoughts
    if calls := calls_for(prompt, orders):
        called = [CallPiece(new_id("toolu"), name, value, as_written(value)) for name, value in calls]
        if orders.interleave and not prompt.forces_a_tool:
            return _interleaved(thoughts, called, starts_thinking=prompt.thinking_type == "enabled")
        preamble = [] if prompt.forces_a_tool else [TextPiece(calls_preamble([name for name, _ in calls]))]
        return [*thoughts, *preamble, *called]
    config = request.output_config
    if config and config.format:
        words = words_of(without_orders(prompt.last_text))
        value = sample(config.format.schema, words, everything=True)
        return [*thoughts, TextPiece(msgspec.json.encode(value).decode())]
    return [*thoughts, TextPiece(answer_text(prompt))]


def _interleaved(thoughts: list[Piece], called: list[CallPiece], *, starts_thinking: bool) -> list[Piece]:
    """Text before each call, and thinking after the first text, or before it if the turn must begin with thinking."""
    pieces = [*thoughts] if starts_thinking else []
    for number, call in enumerate(called):
        between = thoughts if number == 0 else []
        pieces += [TextPiece(calls_preamble([call.name])), *between, call]
    return pieces


def _thoughts(request: MessagesRequest, prompt: Prompt, orders: Orders) -> list[Piece]:
    ordered = orders.think or orders.redact
    if not (ordered or _thinks(prompt)):
        return []
    thought = thought_text(prompt)
    if not ordered:
        # Adaptive thinking fits its length to the limit.
        thought = thought[: request.max_tokens // 4 * CHARACTERS]
    asked = request.thinking.display if request.thinking else None
    display = asked if isinstance(asked, str) else prompt.model.display
    kept_back = [ThoughtPiece(_REDACTED_THOUGHT, display, redacted=True)] if orders.redact else []
    return [ThoughtPiece(thought, display), *kept_back] if thought else []


def _thinks(prompt: Prompt) -> bool:
    if prompt.forces_a_tool and not prompt.model.thinks_when_forced:
        return False
    if prompt.thinking_type == "between_tools":
        return bool(prompt.last_user_turn.results())
    return prompt.thinking_type != "disabled"


def _usage(request: MessagesRequest, prompt: Prompt, pieces: list[Piece]) -> dict[str, Any]:
    counted = input_usage(prompt)
    output = sum(map(piece_tokens, pieces)) or min(_EMPTY_ANSWER_TOKENS, request.max_tokens)
    return {
        "input_tokens": counted.uncached,
        "cache_creation_input_tokens": counted.written_5m + counted.written_1h,
        "cache_read_input_tokens": counted.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counted.written_5m,
            "ephemeral_1h_input_tokens": counted.written_1h,
        },
        "output_tokens": output,
        "output_tokens_details": {
            "thinking_tokens": sum(piece_tokens(piece) for piece in pieces if isinstance(piece, ThoughtPiece))
        },
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": request.inference_geo or "global",
        "speed": "fast" if request.speed == "fast" and prompt.model.fast else "standard",
    }
