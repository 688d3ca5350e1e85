"""What goes over the wire: requests of several sizes in each protocol, and upstream's answers, encoded once.

The text of every delta holds one `MARK` and sixteen digits. So events can be counted however a system under test has
cut and framed them, and where the digits are the time of sending, the receiver knows how long an event was on its way.
"""

import json
from typing import Any, Final

from benchmarks.load.histories import FORMS, TEXT, Dialect, history, image_part, text_part, tool

MARK: Final = b"@"
STAMP_DIGITS: Final = 16
MODEL: Final = "claude-sonnet-5-5"
BODIES: Final = ("1 KB", "100 KB", "1 MB", "10 MB", "1 MB image", "10 MB images", "50 tools")
# Bodies that hold others up, by size in MB and form.
STALLS: Final = {f"{size} MB, {form}": (size, form) for size in (1, 4, 10, 30) for form in FORMS}

_HEAD: Final = (
    "HTTP/1.1 200 OK\r\n"
    "date: Sat, 21 Nov 2026 06:00:00 GMT\r\n"
    "content-type: {content_type}\r\n"
    "{framing}\r\n"
    "connection: keep-alive\r\n"
    "cache-control: no-cache\r\n"
    "anthropic-ratelimit-requests-limit: 400000\r\n"
    "anthropic-ratelimit-requests-remaining: 399999\r\n"
    "anthropic-ratelimit-requests-reset: 2026-11-21T06:00:00Z\r\n"
    "anthropic-ratelimit-input-tokens-limit: 400000000\r\n"
    "anthropic-ratelimit-input-tokens-remaining: 399998000\r\n"
    "anthropic-ratelimit-input-tokens-reset: 2026-11-21T06:00:00Z\r\n"
    "anthropic-ratelimit-output-tokens-limit: 40000000\r\n"
    "anthropic-ratelimit-output-tokens-remaining: 39999000\r\n"
    "anthropic-ratelimit-output-tokens-reset: 2026-11-21T06:00:00Z\r\n"
    "request-id: req_011CBenchmarkBenchmark01\r\n"
    "anthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n"
    "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    "via: 1.1 google\r\n"
    "server: benchmark\r\n\r\n"
)
_USAGE: Final = {
    "input_tokens": 212,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 93,
    "service_tier": "standard",
}
_MESSAGE: Final[dict[str, Any]] = {
    "model": MODEL,
    "id": "msg_01BenchmarkBenchmark0001",
    "type": "message",
    "role": "assistant",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": _USAGE,
}


def request_body(kind: str, dialect: Dialect, model: str, *, stream: bool = False) -> bytes:
    """A request of one of the `BODIES` or `STALLS`, in the words of one of the protocols."""
    said = _messages(kind, dialect)
    body: dict[str, Any] = {"model": model}
    if dialect == "responses":
        # What chat completions do not keep is not kept here either.
        body |= {"max_output_tokens": 1024, "store": False, "input": said}
    else:
        body |= {"max_tokens": 1024, "messages": said}
    if kind == "50 tools":
        body["tools"] = [tool(n, dialect) for n in range(50)]
    elif kind.endswith("tool calls"):
        body["tools"] = [tool(0, dialect)]
    if stream:
        body["stream"] = True
    if stream and dialect == "chat":
        body["stream_options"] = {"include_usage": True}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(body: object) -> bytes:
    """A whole answer in one piece, head and all."""
    data = json.dumps(body, separators=(",", ":")).encode()
    return _HEAD.format(content_type="application/json", framing=f"content-length: {len(data)}").encode() + data


def message_answer() -> bytes:
    """The answer to a request that is not streamed: a text of about 400 characters."""
    content = [{"type": "text", "text": MARK.decode() + TEXT * 2}]
    return json_answer({**_MESSAGE, "content": content, "stop_reason": "end_turn"})


def stream_opening() -> bytes:
    """Head and first events of a streamed answer, up to where the text begins."""
    head = _HEAD.format(content_type="text/event-stream; charset=utf-8", framing="transfer-encoding: chunked").encode()
    return head + _events(
        {"type": "message_start", "message": _MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    )


def stream_ending() -> bytes:
    """The last events of a streamed answer, and the end of its body."""
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    ending = _events(
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 93}},
        {"type": "message_stop"},
    )
    return ending + b"0\r\n\r\n"


def deltas(count: int) -> bytes:
    """So many text deltas; each its own chunk, as Anthropic sends them, and each another text."""
    return b"".join(stamped_delta(number) for number in range(count))


def stamped_delta(stamp: int) -> bytes:
    """One text delta that carries a number, such as the time of its sending."""
    return _DELTA % stamp


def _events(*events: dict[str, Any]) -> bytes:
    return b"".join(_chunk(_event(event)) for event in events)


def _event(event: dict[str, Any]) -> bytes:
    # Anthropic pads events with spaces before the closing brace.
    data = json.dumps(event, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data[:-1]}      }}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta_template() -> bytes:
    text = f" and {MARK.decode()}{'0' * STAMP_DIGITS}"
    whole = _chunk(_event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
    return whole.replace(b"0" * STAMP_DIGITS, b"%%0%dd" % STAMP_DIGITS)


_DELTA: Final = _delta_template()


def _messages(kind: str, dialect: Dialect) -> list[dict[str, Any]]:
    if kind in STALLS:
        return history(*STALLS[kind], dialect)
    if kind == "1 MB image":
        return [{"role": "user", "content": [image_part(1 << 20, dialect), text_part("What is this?", dialect)]}]
    if kind == "10 MB images":
        images = [image_part(2 << 20, dialect) for _ in range(5)]
        return [{"role": "user", "content": [*images, text_part("What are these?", dialect)]}]
    turns, text = {
        "1 KB": (3, TEXT[:260]),
        "100 KB": (99, TEXT * 5),
        "1 MB": (999, TEXT * 5),
        "10 MB": (2499, TEXT * 20),
        "50 tools": (3, TEXT[:260]),
    }[kind]
    return [{"role": ("user", "assistant")[n % 2], "content": f"{n}: {text}"} for n in range(turns)]
