"""The pieces of an answer, and cutting them at stop sequences and limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from gateway.demo.tokens import CHARACTERS, text_tokens


@dataclass(frozen=True, slots=True)
class ThoughtPiece:
    """A thinking block; its text is billed even if not shown. `seal` is its signature, or its data if redacted."""

    thought: str
    display: str
    redacted: bool = False
    seal: str = ""

    @property
    def kind(self) -> str:
        return "redacted_thinking" if self.redacted else "thinking"

    @property
    def shown(self) -> str:
        return "" if self.display == "omitted" else self.thought


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A text block."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A tool_use block; `json` is its input as generated, which a limit may have cut."""

    id: str
    name: str
    input: dict[str, Any]
    json: str


@dataclass(frozen=True, slots=True)
class CompactionPiece:
    """A compaction block: a summary of all that was said before it. The demo makes none, the tests' double does."""

    text: str
    seal: str


Piece = ThoughtPiece | TextPiece | CallPiece | CompactionPiece


def block_of(piece: Piece) -> dict[str, Any]:
    """A piece as the content block of a message."""
    match piece:
        case TextPiece():
            return {"type": "text", "text": piece.text}
        case CompactionPiece():
            return {"type": "compaction", "content": piece.text, "encrypted_content": piece.seal}
        case ThoughtPiece(redacted=True):
            return {"type": piece.kind, "data": piece.seal}
        case ThoughtPiece():
            return {"type": piece.kind, "thinking": piece.shown, "signature": piece.seal}
        case CallPiece():
            caller = {"type": "direct"}
            return {"type": "tool_use", "id": piece.id, "name": piece.name, "caller": caller, "input": piece.input}


def up_to_stop(pieces: list[Piece], sequences: list[str]) -> tuple[list[Piece], str | None]:
    """The pieces up to the first stop sequence in a text, and the sequence."""
    for place, piece in enumerate(pieces):
        if not isinstance(piece, TextPiece):
            continue
        found = [(at, sequence) for sequence in sequences if (at := piece.text.find(sequence)) >= 0]
        if found:
            at, sequence = min(found)
            return [*pieces[:place], *([TextPiece(piece.text[:at])] if at else [])], sequence
    return pieces, None


def within_limit(pieces: list[Piece], max_tokens: int) -> list[Piece]:
    """The pieces that fit; the last one is cut at the limit."""
    kept: list[Piece] = []
    left = max_tokens
    for piece in pieces:
        if piece_tokens(piece) <= left:
            kept.append(piece)
            left -= piece_tokens(piece)
            continue
        if cut := _cut(piece, left):
            kept.append(cut)
        break
    return kept


def _cut(piece: Piece, tokens: int) -> Piece | None:
    """A piece cut to this many tokens."""
    length = tokens * CHARACTERS
    match piece:
        case TextPiece():
            return TextPiece(piece.text[:length]) if length else None
        case ThoughtPiece():
            return replace(piece, thought=piece.thought[:length]) if length else None
        case CompactionPiece():
            return piece
        case CallPiece():
            length -= text_tokens(piece.name) * CHARACTERS
            written = piece.json[: max(length, 0)]
            return replace(piece, input=_whole_properties(piece.input, written), json=written) if length > 0 else None


def as_written(value: dict[str, Any]) -> str:
    """An input as models write it, with a space after each comma and colon."""
    properties = [f"{_json(name)}: {_json(each)}" for name, each in value.items()]
    return f"{{{', '.join(properties)}}}" if properties else ""


def _whole_properties(value: dict[str, Any], written: str) -> dict[str, Any]:
    """The properties that are complete in a cut input; a message shows only these."""
    kept: dict[str, Any] = {}
    for name, each in value.items():
        if not written.startswith(as_written(longer := {**kept, name: each})[:-1]):
            break
        kept = longer
    return kept


def piece_tokens(piece: Piece) -> int:
    """The billed tokens of a piece."""
    match piece:
        case TextPiece():
            return text_tokens(piece.text)
        case ThoughtPiece():
            return text_tokens(piece.thought)
        case CallPiece():
            return text_tokens(piece.name) + text_tokens(piece.json)
        case CompactionPiece():
            # Counted in an iteration of its own.
            return 0


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
