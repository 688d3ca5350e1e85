"""What is damaged: cases of our own writing, and recordings of others where they can be found."""

import gzip
import json
import sys
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from tests.support.conversations import PNG, called, chat, returned, said, tool
from tests.support.messages import Block, message_events, sse, text_block, thinking_block, thinking_stream, tool_block
from tests.support.recordings import Recording, load_recordings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CORPUS: Final = Path(__file__).resolve().parents[1] / "corpus"
# Larger ones only take longer.
MAX_BYTES: Final = 24 * 1024


def _files(pattern: str) -> tuple[bytes, ...]:
    contents = (path.read_bytes() for path in sorted(CORPUS.glob(pattern)))
    return tuple(content for content in contents if len(content) <= MAX_BYTES)


def _encoded(*values: Any) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


# What PyYAML reads in other ways than one would think.
_ESCAPES: Final = (
    b'log: {level: "\\UFFFFFFFF"}\n',
    b'clients: [{name: "\\ud800", api_key: sk-ant-1234567890123456}]\n',
)
_SCHEMA: Final = {
    "type": "object",
    "$defs": {"a": {"type": "string", "format": "date", "pattern": "a+", "minLength": 1}},
    "properties": {
        "a": {"$ref": "#/$defs/a"},
        "b": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "description": "B."},
        "c": {"type": "array", "items": {"enum": ["x", 1, None]}, "minItems": 1, "maxItems": 3},
        "d": {"allOf": [{"type": ["string", "null"], "default": "d"}]},
    },
    "required": ["a"],
    "additionalProperties": False,
}
_TOOLS: Final = [
    tool("look", parameters=_SCHEMA, strict=True, description="Looks."),
    {"type": "custom", "custom": {"name": "run", "format": {"type": "grammar", "grammar": {"definition": "x"}}}},
    {"type": "web_search_20260318", "name": "web_search", "cache_control": {"type": "ephemeral"}},
    {"type": "function", "name": "flat", "parameters": {"anyOf": [_SCHEMA, {"type": "object", "properties": {}}]}},
]
_IMAGE: Final = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
# Every field at least once: most cases of the corpus are about one.
_WRITTEN_REQUESTS: Final = (
    chat(
        said("system", [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]),
        said(
            "user",
            [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        ),
        {
            **called(("c1", "look", '{"a": 1}'), ("c2", "flat", "{}"), content="Well"),
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}],
        },
        returned("c2", [{"type": "text", "text": "2"}]),
        returned("c1", "1"),
        said("system", "Late"),
        said("user", "And?", name="ann"),
        tools=_TOOLS,
        tool_choice={"type": "function", "function": {"name": "look"}},
        response_format={"type": "json_schema", "json_schema": {"name": "f", "schema": _SCHEMA, "strict": True}},
        max_tokens=2000,
        top_k=5,
        stop=["a"],
        user="u",
        stream=True,
        stream_options={"include_usage": True},
    ),
    chat(
        said("user", "A"),
        {
            **said("assistant", [{"type": "text", "text": "B"}, {"type": "refusal", "refusal": "C"}]),
            "reasoning_details": [
                {"type": "reasoning.text", "text": "a", "index": 0, "format": "anthropic-claude-v1"},
                {"type": "reasoning.text", "text": "b", "index": 0, "signature": "c2ln"},
                {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "index": 1},
            ],
        },
        said(
            "user", [{"type": "file", "file": {"file_data": f"data:text/plain;base64,{'QUJD'}", "filename": "a.txt"}}]
        ),
        thinking={"type": "enabled", "budget_tokens": 2048, "display": "summarized", "block_binding": {"a": 1}},
        output_config={"effort": "low", "task_budget": {"type": "tokens", "total": 1}},
        reasoning_effort="high",
        context_management={"edits": [{"type": "compact_20260112"}]},
        web_search_options={"search_context_size": "low", "user_location": {"approximate": {"city": "C"}}},
        temperature=0.5,
        metadata={"a": "b"},
        prompt_cache_options={"mode": "explicit", "ttl": "30m"},
        verbosity="low",
        service_tier="flex",
    ),
    chat(
        said("user", "A"),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "r"},
        functions=[{"name": "f", "parameters": _SCHEMA, "description": "F"}],
        function_call={"name": "f"},
        reasoning={"effort": "low", "max_tokens": 2000, "exclude": True},
        n=2,
        seed=1,
        logit_bias={"1": 1},
    ),
    chat(
        said("developer", "D"),
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "run", "input": "x"}}]},
        returned("c", None),
        tools=_TOOLS,
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "run"}]}},
    ),
)


@cache
def chat_requests() -> tuple[bytes, ...]:
    """Bodies of chat completions."""
    return (*_files("requests/*/chat.json"), *_encoded(*_WRITTEN_REQUESTS) * 12)


@cache
def completion_requests() -> tuple[bytes, ...]:
    """Bodies of legacy completions."""
    return _encoded(
        {"model": "m", "prompt": "Once", "max_tokens": 5, "stream": True, "stop": ["a"], "user": "u", "seed": 1},
        {"model": "m", "prompt": ["a", "b"], "n": 2, "best_of": 3, "echo": True, "logprobs": 1, "suffix": ""},
        {"model": "m", "prompt": "é \U0001f600", "temperature": 0.1, "stream_options": {"include_usage": True}, "x": 1},
    )


@cache
def native_requests() -> tuple[bytes, ...]:
    """Bodies of Messages, as callers send them who speak it themselves."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image, {"type": "text", "text": "a"}]}
    document = {"type": "document", "source": {"type": "text", "data": "d"}}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    thoughts = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
    ]
    return (
        *_files("requests/*/messages.json"),
        *_encoded(
            {
                "model": "claude-x",
                "max_tokens": 10,
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": thoughts},
                    {"role": "assistant", "content": [thoughts[0], call]},
                    {"role": "user", "content": [result]},
                ],
                "thinking": {"type": "enabled", "budget_tokens": 2000},
                "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
                "metadata": {"user_id": '{"session_id":"s"}'},
                "thread": {"type": "continue", "previous_message_id": "msg_1"},
            },
            {
                "model": "claude-x",
                "max_tokens": 10,
                "stream": True,
                "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                    {
                        "role": "user",
                        "content": [result, document],
                    },
                ],
                "speed": None,
                "mcp_servers": None,
            },
        )
        * 20,
    )


def _cited(citation: Any) -> bytes:
    start, deltas = text_block("Cited words.")
    cited = Block({**start, "citations": []}, [*deltas, {"type": "citations_delta", "citation": citation}])
    return sse(*message_events(cited, text_block("More.")))


@cache
def streams() -> tuple[bytes, ...]:
    """Streams of Messages."""
    search = Block(
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"query":', '"x"}')],
    )
    look = tool_block("t1", "look", '{"a":1}')
    found = Block({"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}, [])
    written = (
        sse(*message_events(thinking_block(), text_block(), look, stop_reason="tool_use")),
        sse(*message_events(thinking_block(), search, found, text_block("Found."), stop_reason="pause_turn")),
        sse(*message_events(tool_block("t1", "run", '{"input":"x\\ny"}'), tool_block("t2", "flat", '{"value":[1]}'))),
        b"".join(thinking_stream()),
        _cited({"type": "web_search_result_location", "url": "https://a.example", "title": "T", "cited_text": "c"}),
        _cited({"type": "char_location", "cited_text": "c", "document_index": 0, "start_char_index": 1}),
        sse(*message_events(Block({"type": "redacted_thinking", "data": "ZA=="}, []), text_block("```json\n{}\n```"))),
        sse(*message_events(text_block('{"call":{"name":"look","arguments":{"a":1}}}'))),
    )
    return (*_files("streams/*/messages.sse"), *written * 4)


@cache
def messages() -> tuple[bytes, ...]:
    """Whole answers of Messages."""
    return _files("answers/*/message.json")


@cache
def error_bodies() -> tuple[bytes, ...]:
    """Bodies of upstream's error answers."""
    texts = (
        ("invalid_request_error", "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens"),
        ("invalid_request_error", "This model does not support effort level 'max'. Supported levels: low, medium"),
        ("invalid_request_error", "tools.3.custom.input_schema: JSON schema is invalid"),
        ("invalid_request_error", "`temperature` is deprecated for this model."),
        ("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
        ("invalid_request_error", "You have reached your specified API usage limits. You will regain access on "
         "2026-12-01 at 00:00 UTC."),
        ("not_found_error", "model: claude-x"),
        ("rate_limit_error", "This request would exceed your organization's rate limit"),
        ("authentication_error", "invalid x-api-key"),
    )  # fmt: skip
    errors = [
        {"type": "error", "error": {"type": kind, "message": text, "details": {"error_code": "x"}}, "request_id": "req"}
        for kind, text in texts
    ]
    return (*_encoded(*errors), b"<html>502 Bad Gateway</html>", b"")


@cache
def answer_headers() -> tuple[bytes, ...]:
    """Headers of upstream's answers, one a line."""
    common = (
        b"content-type: application/json\r\nrequest-id: req_1\r\ndate: Mon, 30 Nov 2026 07:00:00 GMT\r\n"
        b"anthropic-organization-id: org-1\r\nanthropic-workspace-id: wrk-1\r\n"
    )
    limits = b"".join(
        b"anthropic-ratelimit-%b-limit: 1000\r\nanthropic-ratelimit-%b-remaining: 999\r\n"
        b"anthropic-ratelimit-%b-reset: 2026-11-30T07:01:00Z\r\n" % (kind, kind, kind)
        for kind in (b"requests", b"input-tokens", b"output-tokens", b"tokens")
    )
    waits = (
        b"retry-after: 12\r\n",
        b"retry-after-ms: 1500\r\nretry-after: 2\r\n",
        b"retry-after: Mon, 30 Nov 2026 07:00:30 GMT\r\n",
        b"retry-after: 2026-11-30T07:00:30Z\r\n",
    )
    return (common + limits, *(common + limits + wait for wait in waits))


@cache
def model_lists() -> tuple[bytes, ...]:
    """Answers of the Models API."""
    flag, not_supported = {"supported": True}, {"supported": False}
    info = {
        "type": "model",
        "id": "claude-sonnet-5-5",
        "display_name": "Sonnet é",
        "created_at": "2026-10-01T00:00:00Z",
        "max_input_tokens": 1_000_000,
        "max_tokens": 64_000,
        "capabilities": {
            "effort": {"supported": True, "low": flag, "max": not_supported},
            "thinking": {"types": {"adaptive": flag, "disabled": flag, "enabled": None}},
        },
    }
    return _encoded(
        {"data": [info, {**info, "id": "claude-opus-4-8"}], "has_more": False, "first_id": "a", "last_id": "b"},
        {"data": [info], "has_more": True, "last_id": "claude-sonnet-5-5"},
        {"data": [info, {"type": "model", "id": "claude-of-tomorrow", "created_at": "2027-01-01"}]},
    )


@cache
def http_answers() -> tuple[bytes, ...]:
    """What hosts send, as bytes of a connection."""
    head = b"HTTP/1.1 200 OK\r\n" + answer_headers()[0]
    return (
        head + b"content-length: 2\r\n\r\n{}",
        head + b"transfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n2;x=1\r\n\n\n\r\n0\r\ntrailer: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 529 Overloaded\r\nconnection: close\r\n\r\n<html>",
        b"HTTP/1.0 401 \r\nset-cookie: a\r\nset-cookie: b\r\ncontent-encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n\x00",
    )


@cache
def http_requests() -> tuple[bytes, ...]:
    """What clients send, as bytes of a connection."""
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nabcde",
    )


@cache
def compressed_bodies() -> tuple[bytes, ...]:
    """Bodies in each coding, some in several pieces, one that becomes very large."""
    body = b'{"model":"claude-sonnet-5-5","messages":[{"role":"user","content":"Hello"}]}'
    packers = (partial(gzip.compress, mtime=0), zlib.compress, zstd.compress)
    return tuple(
        packed
        for pack in packers
        for packed in (pack(body), pack(body[:20]) + pack(body[20:]), pack(bytes(2**20)), pack(b""))
    )


@cache
def configurations() -> tuple[bytes, ...]:
    """Configuration files."""
    return (
        b"keys:\n  - name: a\n    api_key: sk-ant-0123456789abcdef\n    weight: 2\n"
        b"server:\n  port: 8080\n  host: 127.0.0.1\nlog: {level: info}\n"
        b"models:\n  aliases: {gpt-5: claude-sonnet-5-5}\n  fallbacks:\n    a: [b, c]\n",
        b"base: &a\n  api_key: ${KEY:-x}\nkeys:\n  - {<<: *a, name: b}\n"
        b'clients:\n  - name: c\n    api_key: "sk-\\u0041-1234567890123456"\n',
        b"pool: {strategy: affinity}\nretries: {attempts: 3}\ntimeouts: {total_seconds: 10.5}\nstore: {path: x.db}\n"
        b"translation:\n  allow_native: [speed]\n  max_output_tokens: 4096\nadmin: {api_key: ''}\n",
        *_ESCAPES,
    )


def no_recordings() -> tuple[bytes, ...]:
    """Of some things there are none."""
    return ()


def _recorded(take: Callable[[Recording], bytes | None], *groups: str) -> tuple[bytes, ...]:
    found = (take(recording) for group in groups for recording in load_recordings(group))
    return tuple(dict.fromkeys(body for body in found if body and len(body) <= MAX_BYTES))


@cache
def recorded_streams() -> tuple[bytes, ...]:
    """Streams that hosts have sent."""
    return _recorded(lambda found: found.response if found.streamed and found.kind == "messages" else None, "recorded")


@cache
def recorded_messages() -> tuple[bytes, ...]:
    """Whole answers that hosts have sent."""
    found = load_recordings(streamed=False, status=200, kind="messages")
    return tuple(recording.response for recording in found if len(recording.response) <= MAX_BYTES)


@cache
def recorded_errors() -> tuple[bytes, ...]:
    """Error bodies that hosts have sent."""
    return _recorded(lambda found: found.response if found.status >= 400 else None, "recorded", "openai_recorded")


@cache
def recorded_chats() -> tuple[bytes, ...]:
    """Chat requests that clients have sent."""
    return _recorded(
        lambda found: json.dumps(found.request).encode() if "messages" in found.request else None,
        "openai_recorded",
        "openai_compat_recorded",
    )


@cache
def recorded_responses_requests() -> tuple[bytes, ...]:
    """Responses requests that clients have sent."""
    return _recorded(
        lambda found: json.dumps(found.request).encode() if "input" in found.request else None,
        "openai_responses_recorded",
        "openai_recorded",
        "openai_compat_recorded",
    )


@cache
def recorded_native_requests() -> tuple[bytes, ...]:
    """Messages requests that clients have sent."""
    return _recorded(lambda found: json.dumps(found.request).encode() if found.request else None, "recorded")
