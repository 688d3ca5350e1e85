"""A reply as a message, and as the events of a stream that assemble to the same message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gateway.demo.pieces import CallPiece, CompactionPiece, Piece, TextPiece, ThoughtPiece, block_of
from gateway.demo.reply import Reply

_DELTA_LENGTH = 14
_SMALL_GROUP = re.compile(rf".{{1,{_DELTA_LENGTH}}}(?:(?<=\s)|(?=\s)|$)\s?|.{{1,{_DELTA_LENGTH}}}", re.DOTALL)
_FINAL_USAGE = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
)

Event = dict[str, Any]


def message(reply: Reply) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    return {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [block_of(piece) for piece in reply.pieces],
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": reply.stop_details,
        "container": None,
        "diagnostics": None,
        "usage": reply.usage,
    }


def events(reply: Reply) -> list[Event]:
    """The events of a streamed answer, from `message_start` to `message_stop`."""
    final = {name: reply.usage[name] for name in _FINAL_USAGE}
    stop = {name: getattr(reply, name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    blocks = [event for index, piece in enumerate(reply.pieces) for event in _block_events(index, piece)]
    # Upstream sends its first ping after the start of the first block.
    blocks.insert(1, {"type": "ping"})
    return [
        {"type": "message_start", "message": _beginning(reply)},
        *blocks,
        {"type": "message_delta", "delta": stop, "usage": final},
        {"type": "message_stop"},
    ]


def first_half(stream: list[Event]) -> list[Event]:
    """The events up to the middle of the deltas, where an interrupted stream ends."""
    deltas = [place for place, event in enumerate(stream) if event["type"] == "content_block_delta"]
    return stream[: deltas[len(deltas) // 2] + 1] if deltas else stream[:1]


def server_sent(stream: Iterable[Event]) -> Iterator[bytes]:
    """The bytes of events, some of them padded before the final brace, as upstream's are."""
    for number, event in enumerate(stream):
        name = event["type"]
        if name == "ping":
            yield b'event: ping\ndata: {"type": "ping"}\n\n'
            continue
        padding = b" " * (number * 7 % 11)
        yield b"event: %b\ndata: %b%b}\n\n" % (name.encode(), msgspec.json.encode(event)[:-1], padding)


def _beginning(reply: Reply) -> dict[str, Any]:
    usage = {name: value for name, value in reply.usage.items() if name != "output_tokens_details"}
    usage["output_tokens"] = min(1, reply.usage["output_tokens"])
    unknown = dict.fromkeys(("stop_reason", "stop_sequence", "stop_details"))
    return message(reply) | unknown | {"content": [], "usage": usage}


def _block_events(index: int, piece: Piece) -> list[Event]:
    return [
        {"type": "content_block_start", "index": index, "content_block": _skeleton(piece)},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in _deltas(piece)),
        {"type": "content_block_stop", "index": index},
    ]


def _skeleton(piece: Piece) -> dict[str, Any]:
    """A block at its start, without its content."""
    match piece:
        case TextPiece():
            return {"type": "text", "text": ""}
        case ThoughtPiece(redacted=True):
            return block_of(piece)
        case ThoughtPiece():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case CallPiece():
            return block_of(piece) | {"input": {}}
        case CompactionPiece():
            return {"type": "compaction", "content": None}


def _deltas(piece: Piece) -> Iterator[dict[str, Any]]:
    match piece:
        case TextPiece():
            for part in _parts(piece.text):
                yield {"type": "text_delta", "text": part}
        case ThoughtPiece(redacted=False):
            for part in _parts(piece.shown):
                yield {"type": "thinking_delta", "thinking": part}
            yield {"type": "signature_delta", "signature": piece.seal}
        case CompactionPiece():
            yield {"type": "compaction_delta", "content": piece.text, "encrypted_content": piece.seal}
        case CallPiece():
            yield {"type": "input_json_delta", "partial_json": ""}
            for part in _parts(piece.json):
                yield {"type": "input_json_delta", "partial_json": part}


def _parts(text: str) -> list[str]:
    """Cut a text into pieces of a few tokens, between words if possible."""
    return _SMALL_GROUP.findall(text)
