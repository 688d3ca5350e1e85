"""What the scripted upstream answers: an honest request is echoed, a hostile one says itself what it wants to meet."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support import messages
from tests.support.scripted import (
    Answer,
    Close,
    Connection,
    ReceivedRequest,
    Reset,
    ScriptedUpstream,
    Send,
    Silence,
    error_answer,
    json_answer,
    stream_answer,
)

# A large body says at its beginning, or at its end, what it is.
_EDGE_BYTES = 4096
_WORDS = re.compile(rb"honest-\d+")
_ORDER = re.compile(rb"order=(\w+)/(\d+);")
_STREAMED = re.compile(rb'"stream" ?: ?true')
_LIMITS = {
    f"anthropic-ratelimit-{name}-{what}": value
    for name, limit in (("requests", "100000"), ("input-tokens", "4000000"), ("output-tokens", "800000"))
    for what, value in (("limit", limit), ("remaining", limit), ("reset", "2026-11-30T00:00:00Z"))
}
FLOOD_BYTES = 40 * 1024 * 1024
BLANK_DELTAS = 40_000


class Script:
    """Answers by what stands in a request; a fault that another attempt may mend is met once a request."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._met: set[bytes] = set()
        # The last request with each order, as it came.
        self.seen: dict[str, bytes] = {}
        self.answers = dict(FAULTS)
        upstream.always(self._answer)

    def _answer(self, request: ReceivedRequest) -> Answer:
        # They are many, and large.
        self._upstream.received.clear()
        edges = request.body[:_EDGE_BYTES] + request.body[-_EDGE_BYTES:]
        streams = _STREAMED.search(edges) is not None
        if (found := _ORDER.search(edges)) is None:
            return echo(edges, streams=streams)
        name, number = found[1].decode(), found[2]
        self.seen[name] = request.body if len(request.body) < _EDGE_BYTES else edges
        if name in REFUSALS:
            return REFUSALS[name]
        if number in self._met or name not in self.answers:
            return echo(edges, streams=streams)
        self._met.add(number)
        return self.answers[name]()


def echo(body: bytes, *, streams: bool) -> Answer:
    """A whole answer that says which request it is for."""
    # The latest: what was said before may stand in front of it.
    words = _WORDS.findall(body)
    text = f"You said {words[-1].decode() if words else 'nothing'}."
    if streams:
        return stream_answer(*messages.text_stream(text), headers=_LIMITS)
    return json_answer(200, messages.message(text), _LIMITS)


def _refused(status: int, type_: str, message: str, code: str | None = None) -> Answer:
    details = None if code is None else {"error_code": code}
    return error_answer(status, type_, message, details=details, headers=_LIMITS)


def _quoted(words: str) -> Answer:
    """What upstream says of a field whose value is unknown to it: the caller's own words."""
    message = f"messages.0.content.0: Input tag '{words}' found using 'type' does not match any of the expected tags"
    return _refused(400, "invalid_request_error", message)


# Answers that are about the request, whichever key it comes with.
REFUSALS: dict[str, Answer] = {
    "quoted_spend_limit": _quoted(
        "You have reached your specified workspace API usage limits. You will regain access on 2099-01-01 at 00:00 UTC."
    ),
    "quoted_balance": _quoted("Your credit balance is too low to access the Anthropic API. Please go to Plans"),
    "quoted_disabled": _quoted("This organization has been disabled."),
    "quoted_context": _quoted("prompt is too long: 250000 tokens > 200000 maximum"),
    "quoted_thinking": _quoted("`temperature` is deprecated for this model."),
    "no_such_file": _refused(404, "not_found_error", "File not found: file_011CNha8iCJcU1wXNR6q4V8w"),
    "no_such_skill": _refused(404, "not_found_error", "Skill not found for this model: skill_01"),
    "no_such_beta": _refused(403, "permission_error", "The beta feature `files-api` is not enabled for this request."),
    "profile_not_billable": _refused(
        403,
        "permission_error",
        "Billing to this user profile is not authorized.",
        "user_profile_billing_not_authorized",
    ),
    "refused_by_edge": json_answer(413, b"<html><h1>413 Request Entity Too Large</h1></html>", {"server": "edge"}),
    "broken_tool": _refused(400, "invalid_request_error", "tools.1.custom.input_schema: JSON schema is invalid."),
}


def _begun(*rest: Any) -> Answer:
    start, block, first, *_ = messages.text_stream()
    return stream_answer(start, block, first, *rest)


def _odd(start: dict[str, Any], *deltas: dict[str, Any]) -> Answer:
    """A stream of one block that is not what it should be."""
    first, *_, delta, stop = messages.text_stream()
    events = (
        {"type": "content_block_start", "index": 0, "content_block": start},
        *({"type": "content_block_delta", "index": 0, "delta": each} for each in deltas),
        {"type": "content_block_stop", "index": 0},
    )
    return stream_answer(first, *(messages.sse(event) for event in events), delta, stop)


def _huge_citation() -> dict[str, Any]:
    cited = {"type": "char_location", "cited_text": "x", "document_index": 10**400, "start_char_index": -(10**30)}
    return {"type": "citations_delta", "citation": cited}


def _deep_citation() -> dict[str, Any]:
    nested: Any = 0
    for _ in range(400):
        nested = [nested]
    return {"type": "citations_delta", "citation": {"type": "page_location", "cited_text": "x", "deep": nested}}


def _flood(piece: bytes, total: int) -> list[bytes]:
    return [piece] * (total // len(piece))


def _delta(text: str) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return messages.sse({"type": "content_block_delta", "index": 0, "delta": delta})


def _blanks() -> Answer:
    """The model's own blanks, in very many small pieces."""
    start, block, _, *_, block_stop, message_delta, stop = messages.text_stream()
    return stream_answer(start, block, *[_delta(" \n") * 100] * (BLANK_DELTAS // 100), block_stop, message_delta, stop)


@dataclass(frozen=True, slots=True)
class _Pause:
    seconds: float

    async def play(self, connection: Connection) -> None:
        await asyncio.sleep(self.seconds)


_EVENTS = messages.text_stream
# What an upstream does that is broken, or not what it says it is.
FAULTS: dict[str, Callable[[], Answer]] = {
    "silent": lambda: Answer((Silence(),)),
    "silent_behind_its_head": lambda: stream_answer(Silence()),
    "silent_halfway": lambda: _begun(Silence()),
    "reset_at_once": lambda: Answer((Reset(),)),
    "closed_at_once": lambda: Answer((Close(),)),
    "closed_halfway": lambda: _begun(Close()),
    "reset_halfway": lambda: _begun(Reset()),
    "cut_in_a_character": lambda: _begun(Send(b"80\r\ndata: \xe2\x82"), Close()),
    "no_http": lambda: Answer((Send(b"\x16\x03\x01SSH-2.0-OpenSSH_9.2\r\n\r\n"), Close())),
    "two_lengths": lambda: Answer(
        (Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"), Close())
    ),
    "endless_head": lambda: Answer((Send(b"HTTP/1.1 200 OK\r\n" + b"x-pad: yyyyyyyyyyyyyyyy\r\n" * 20_000), Close())),
    "broken_chunks": lambda: _begun(Send(b"zz\r\nno chunk\r\n"), Close()),
    "many_interim_heads": lambda: Answer((Send(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000), Close())),
    "html": lambda: json_answer(200, b"<html>Sign in to this network</html>", {"content-type": "text/html"}),
    "empty": lambda: json_answer(200, b""),
    "no_object": lambda: json_answer(200, b"[[[]]]"),
    "deep_json": lambda: json_answer(200, b"[" * 100_000),
    "redirected": lambda: json_answer(307, b"", {"location": "http://127.0.0.1:9/elsewhere"}),
    "error_flood": lambda: stream_answer(*_flood(b"e" * 65536, FLOOD_BYTES), status=500, headers={"x-odd": "1"}),
    "flood_without_an_end": lambda: _begun(*_flood(b"data: " + b"z" * 65530, FLOOD_BYTES)),
    "flood_of_events": lambda: stream_answer(
        *_EVENTS()[:3], *_flood(_delta("w" * 16_000), FLOOD_BYTES // 4), *_EVENTS()[3:]
    ),
    "flood_of_tiny_events": lambda: stream_answer(*_EVENTS()[:3], *[_delta("w") * 100] * 50, *_EVENTS()[3:]),
    "blanks": _blanks,
    "arguments_in_thinking": lambda: _odd(
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "input_json_delta", "partial_json": '{"a":1e400'},
    ),
    "huge_citation": lambda: _odd({"type": "text", "text": ""}, _huge_citation()),
    "deep_citation": lambda: _odd({"type": "text", "text": ""}, _deep_citation()),
    "wrong_types": lambda: _odd({"type": "text", "text": 5}, {"type": "text_delta", "text": [1]}, {"type": 7}),
    "negative_usage": lambda: stream_answer(
        *messages.text_stream(usage={"input_tokens": -(10**30), "output_tokens": 10**400})
    ),
    "half_a_pair": lambda: stream_answer(*_EVENTS()[:2], _EVENTS()[2].replace(b"Hello,", b"\\ud83d"), *_EVENTS()[3:]),
}


def timed_stream(events: int, pace_seconds: float, moment: Callable[[], float]) -> Answer:
    """A stream whose every piece says when it was sent."""
    start, block, _, *_, block_stop, message_delta, stop = messages.text_stream()
    steps = [step for _ in range(events) for step in (_Timed(moment), _Pause(pace_seconds))]
    return stream_answer(start, block, *steps, block_stop, message_delta, stop)


@dataclass(frozen=True, slots=True)
class _Timed:
    moment: Callable[[], float]

    async def play(self, connection: Connection) -> None:
        event = _delta(f"at={self.moment():.6f};")
        await Send(b"%x\r\n%b\r\n" % (len(event), event)).play(connection)
