"""Messages traffic for tests: builders for the cases one writes down, strategies for those nobody thinks of."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

MODEL = "claude-sonnet-5-5"
MESSAGE_ID = "msg_01"
USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 7}

Event = dict[str, Any]


class Block(NamedTuple):
    """A content block as it is streamed: what its start event carries, then its deltas."""

    start: dict[str, Any]
    deltas: list[dict[str, Any]]


def encode(events: Sequence[Event], newline: bytes = b"\n", padding: Sequence[int] = (0,)) -> bytes:
    """Events as a stream of bytes; `padding` says, over and over, how many spaces come before the closing brace."""
    return b"".join(_encode(event, newline, spaces) for event, spaces in zip(events, cycle(padding), strict=False))


def sse(*events: Event) -> bytes:
    """Events as bytes, the way Anthropic writes them."""
    return encode(events)


def message_events(
    *blocks: Block,
    model: str = MODEL,
    message_id: str = MESSAGE_ID,
    stop_reason: str = "end_turn",
    stop_sequence: str | None = None,
    usage: Mapping[str, Any] = USAGE,
) -> list[Event]:
    """A whole stream: these blocks, numbered, between `message_start` and `message_stop`."""
    opening = message([], model=model, message_id=message_id, usage={**usage, "output_tokens": 1})
    closing = {"stop_reason": stop_reason, "stop_sequence": stop_sequence, "stop_details": _stop_details(stop_reason)}
    return [
        {"type": "message_start", "message": {**opening, "stop_reason": None}},
        *(event for index, block in enumerate(blocks) for event in _block_events(index, block)),
        {"type": "message_delta", "delta": closing, "usage": dict(usage)},
        {"type": "message_stop"},
    ]


def text_block(text: str = "Hello, world.", pieces: Sequence[str] | None = None) -> Block:
    """A text block, a delta a word unless the pieces are given."""
    words = re.findall(r"\s*\S+|\s+$", text) if pieces is None else pieces
    return Block({"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words])


def tool_block(tool_id: str, name: str, arguments_json: str, pieces: Sequence[str] | None = None) -> Block:
    """A tool call; its arguments come as an empty delta and two halves unless the pieces are given."""
    half = len(arguments_json) // 2
    fragments = ["", arguments_json[:half], arguments_json[half:]] if pieces is None else pieces
    start = {"type": "tool_use", "id": tool_id, "name": name, "input": {}}
    return Block(start, [{"type": "input_json_delta", "partial_json": fragment} for fragment in fragments])


def thinking_block(thinking: str = "Let me think.", signature: str = "EqQBCgIYAhIM") -> Block:
    """A thinking block; without any thinking it is what a model with thinking display `omitted` sends."""
    deltas = [{"type": "thinking_delta", "thinking": thinking}] if thinking else []
    start = {"type": "thinking", "thinking": "", "signature": ""}
    return Block(start, [*deltas, {"type": "signature_delta", "signature": signature}])


def text_stream(
    text: str = "Hello, world.",
    *,
    model: str = MODEL,
    message_id: str = MESSAGE_ID,
    pieces: Sequence[str] | None = None,
    stop_reason: str = "end_turn",
    usage: Mapping[str, Any] = USAGE,
) -> list[bytes]:
    """A streamed text, one element an event, so that a test can cut it short or put something in between."""
    return _each(
        message_events(
            text_block(text, pieces), model=model, message_id=message_id, stop_reason=stop_reason, usage=usage
        )
    )


def tool_stream(
    *calls: tuple[str, str, str], text: str = "", model: str = MODEL, usage: Mapping[str, Any] = USAGE
) -> list[bytes]:
    """Streamed tool calls (id, name, arguments in JSON), after a text if there is one; one element an event."""
    blocks = [text_block(text)] if text else []
    blocks += [tool_block(*call) for call in calls]
    return _each(message_events(*blocks, model=model, stop_reason="tool_use", usage=usage))


def thinking_stream(
    thinking: str = "Let me think.",
    text: str = "Hello, world.",
    *,
    signature: str = "EqQBCgIYAhIM",
    model: str = MODEL,
    usage: Mapping[str, Any] = USAGE,
) -> list[bytes]:
    """Streamed thinking and then a text, one element an event."""
    return _each(message_events(thinking_block(thinking, signature), text_block(text), model=model, usage=usage))


def message(
    content: str | Sequence[Mapping[str, Any]] = "Hello, world.",
    *,
    model: str = MODEL,
    message_id: str = MESSAGE_ID,
    stop_reason: str = "end_turn",
    stop_sequence: str | None = None,
    usage: Mapping[str, Any] = USAGE,
) -> dict[str, Any]:
    """An unstreamed message; a string as content is one text block."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [dict(block) for block in content]
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": _stop_details(stop_reason),
        "usage": dict(usage),
    }


def error_event(error_type: str = "overloaded_error", message: str = "Overloaded") -> bytes:
    """An error in the stream; nothing may follow it."""
    error = {"details": None, "type": error_type, "message": message}
    return sse({"type": "error", "error": error, "request_id": "req_011CScriptedUpstream"})


# Strategies. Whatever they draw is legal by section 6 of the wire reference; the SDK accepts it (test_scripted.py).

newlines = st.sampled_from([b"\n", b"\r\n", b"\r"])
paddings = st.lists(st.integers(0, 15), min_size=1, max_size=5)

STOP_REASONS = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "a_reason_of_tomorrow",
)

_identifiers = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=4, max_size=12)
_tool_names = {
    "tool_use": st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True),
    "server_tool_use": st.sampled_from(["web_search", "web_fetch", "code_execution"]),
}
_token_counts = st.integers(0, 10**7)
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_json_objects = st.dictionaries(
    st.text(),
    st.recursive(
        _scalars,
        lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
        max_leaves=6,
    ),
    max_size=4,
)
_pings = st.just({"type": "ping"})
_unknown_events = st.builds(
    lambda name, payload: {**payload, "type": name},
    st.sampled_from(["message_progress", "content_block_pause", "telemetry"]),
    _json_objects,
)


@st.composite
def messages_streams(draw: st.DrawFn, max_blocks: int = 5) -> list[Event]:
    """The events of any legal stream; the text of a tool's arguments is complete, whatever the stop reason."""
    blocks = draw(st.lists(_blocks(), max_size=max_blocks, unique_by=_identity))
    stop_reason = draw(st.sampled_from(STOP_REASONS))
    events = message_events(
        *blocks,
        message_id=f"msg_{draw(_identifiers)}",
        stop_reason=stop_reason,
        stop_sequence=draw(st.text(min_size=1)) if stop_reason == "stop_sequence" else None,
        usage=draw(_usages()),
    )
    if draw(st.booleans()):
        # The last `message_delta` wins; one before it may say something else, or nothing yet.
        early = {"stop_reason": draw(st.none() | st.sampled_from(STOP_REASONS)), "stop_sequence": None}
        events.insert(-2, {"type": "message_delta", "delta": early, "usage": {"output_tokens": 0}})
    for noise in draw(st.lists(_pings | _unknown_events, max_size=5)):
        events.insert(draw(st.integers(0, len(events) - 1)), noise)
    return events


def cuts(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes, cut at arbitrary places: whole, byte by byte, or anything between; no piece is empty."""
    byte_by_byte = [data[place : place + 1] for place in range(len(data))]
    places = st.sets(st.integers(1, max(1, len(data) - 1)), max_size=20).map(sorted)
    return st.just([data] if data else []) | st.just(byte_by_byte) | places.map(lambda at: _cut(data, at))


@st.composite
def fragments(draw: st.DrawFn, text: str) -> list[str]:
    """The same text in any number of pieces, empty ones among them."""
    places = draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    return [text[start:end] for start, end in pairwise([0, *places, len(text)])]


@st.composite
def _text_blocks(draw: st.DrawFn) -> Block:
    start, deltas = text_block(pieces=draw(st.lists(st.text(), max_size=5)))
    cited = draw(st.none() | st.text())
    if cited is None:
        return Block(start, deltas)
    citation = {"type": "char_location", "cited_text": cited, "document_index": 0, "document_title": None}
    citation |= {"start_char_index": 0, "end_char_index": len(cited)}
    return Block({**start, "citations": []}, [{"type": "citations_delta", "citation": citation}, *deltas])


@st.composite
def _thinking_blocks(draw: st.DrawFn) -> Block:
    start, deltas = thinking_block("", signature=draw(_identifiers))
    thoughts = draw(st.lists(st.text(), max_size=4))
    return Block(start, [*({"type": "thinking_delta", "thinking": thought} for thought in thoughts), *deltas])


@st.composite
def _tool_blocks(draw: st.DrawFn, kind: str, id_prefix: str) -> Block:
    arguments = draw(_json_objects)
    # A tool without arguments may be sent without any JSON at all.
    silent = st.lists(st.just(""), max_size=2) if not arguments else st.nothing()
    spelled = draw(st.booleans().map(lambda ascii_only: json.dumps(arguments, ensure_ascii=ascii_only)))
    start, deltas = tool_block(
        id_prefix + draw(_identifiers), draw(_tool_names[kind]), spelled, draw(silent | fragments(spelled))
    )
    return Block({**start, "type": kind}, deltas)


@st.composite
def _search_result_blocks(draw: st.DrawFn) -> Block:
    results = st.builds(
        lambda title, url: {"type": "web_search_result", "title": title, "url": url, "encrypted_content": "Eq8C"},
        st.text(),
        st.text(),
    )
    failure = st.just({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"})
    content = draw(st.lists(results, max_size=3) | failure)
    return Block({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": content}, [])


def _identity(block: Block) -> object:
    return block.start["id"] if block.start["type"].endswith("tool_use") else object()


def _blocks() -> st.SearchStrategy[Block]:
    redacted = st.text().map(lambda data: Block({"type": "redacted_thinking", "data": data}, []))
    unknown = st.builds(
        lambda payload, deltas: Block(
            {**payload, "type": "block_of_tomorrow"}, [{**delta, "type": "delta_of_tomorrow"} for delta in deltas]
        ),
        _json_objects,
        st.lists(_json_objects, max_size=2),
    )
    return st.one_of(
        _text_blocks(),
        _thinking_blocks(),
        redacted,
        _tool_blocks("tool_use", "toolu_"),
        _tool_blocks("server_tool_use", "srvtoolu_"),
        _search_result_blocks(),
        unknown,
    )


@st.composite
def _usages(draw: st.DrawFn) -> dict[str, Any]:
    counts: dict[str, Any] = {name: draw(_token_counts) for name in USAGE}
    if draw(st.booleans()):
        counts["output_tokens_details"] = {"thinking_tokens": draw(st.integers(0, counts["output_tokens"]))}
    return counts


def _encode(event: Event, newline: bytes, spaces: int) -> bytes:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join(
        [b"event: ", event["type"].encode(), newline, b"data: ", data[:-1], b" " * spaces, b"}", newline, newline]
    )


def _each(events: Sequence[Event]) -> list[bytes]:
    return [sse(event) for event in events]


def _block_events(index: int, block: Block) -> list[Event]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block.start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in block.deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _stop_details(stop_reason: str) -> dict[str, Any] | None:
    return {"type": "refusal", "category": None, "explanation": None} if stop_reason == "refusal" else None


def _cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    pieces = [data[start:end] for start, end in pairwise([0, *places, len(data)])]
    return [piece for piece in pieces if piece]
