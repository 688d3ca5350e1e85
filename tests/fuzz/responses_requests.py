"""What callers of the Responses API send: an intent comes out, or a `TranslationError`."""

import json
from functools import cache
from random import Random
from typing import Any, Final

from tests.fuzz.judging import assert_error, json_of
from tests.fuzz.requests import check_written, options, target
from tests.fuzz.sources import CORPUS
from tests.support.conversations import PNG
from tests.support.response_requests import SEALER, assistant, call, output, reasoning, user
from translators.errors import TranslationError
from translators.intent import Message, SealedTurn
from translators.responses.compaction import sealed_block
from translators.responses.read import ReadBody, read_body, read_body_in_steps
from translators.responses.request import ResponsesRequest, read_request, read_request_in_steps
from translators.steps import in_one_go

_THINKING: Final = '{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'
_SUMMARY: Final = b'{"type":"compaction","content":"S.","encrypted_content":"c2ln"}'
_FUNCTION: Final = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
_PARTS: Final = [
    {"type": "input_text", "text": "Look", "prompt_cache_breakpoint": {"mode": "explicit"}},
    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
    {"type": "input_file", "file_url": "https://example.com/a.pdf", "filename": "a.pdf"},
]
_REPLAYED: Final = [{"type": "output_text", "text": "Well.", "annotations": [], "logprobs": []}]
_ITEMS: Final[list[dict[str, Any]]] = [
    {"role": "developer", "content": "Be brief."},
    user(_PARTS),
    reasoning(_THINKING, summary="Hm."),
    assistant(_REPLAYED, id="msg_1", status="completed", phase="commentary"),
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
    reasoning('{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'),
    call("c1", "look", '{"a": 1}', id="fc_1", status="completed"),
    call("c2", "find", "{}", namespace="crm"),
    {"type": "custom_tool_call", "call_id": "c3", "name": "sql", "input": "select 1"},
    {"type": "shell_call", "call_id": "c4", "action": {"commands": ["ls"], "timeout_ms": None}},
    {"type": "local_shell_call", "call_id": "c5", "action": {"type": "exec", "command": ["ls"], "env": {}}},
    {"type": "apply_patch_call", "call_id": "c6", "operation": {"type": "update_file", "path": "a", "diff": "@@"}},
    output("c2", _PARTS),
    output("c1"),
    {"type": "custom_tool_call_output", "call_id": "c3", "output": "1"},
    {
        "type": "shell_call_output",
        "call_id": "c4",
        "output": [{"stdout": "a", "stderr": "b", "outcome": {"type": "exit", "exit_code": 1}}],
    },
    {"type": "local_shell_call_output", "id": "c5", "output": "{}"},
    {"type": "apply_patch_call_output", "call_id": "c6", "status": "failed", "output": "No."},
    {"type": "additional_tools", "role": "developer", "tools": [{"type": "apply_patch"}]},
    {"type": "configuration_update", "reasoning": {"effort": "low"}},
    {"type": "compaction", "encrypted_content": 'any-me:["{\\"type\\":\\"text\\",\\"text\\":\\"S\\"}"]'},
    {"type": "compaction", "encrypted_content": sealed_block(_SUMMARY, SEALER)},
    {"type": "item_reference", "id": "msg_0"},
    {"type": "compaction_trigger"},
]
_SETTINGS: Final[dict[str, Any]] = {
    "instructions": "Be kind.",
    "stream": True,
    "store": False,
    "max_output_tokens": 2000,
    "temperature": 1,
    "tools": [
        _FUNCTION,
        {"type": "namespace", "name": "crm", "description": "C.", "tools": [{**_FUNCTION, "name": "find"}]},
        {"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "regex", "definition": "a"}},
        {"type": "shell"},
        {"type": "local_shell"},
        {"type": "web_search", "filters": {"allowed_domains": ["example.com"]}, "external_web_access": True},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
    "reasoning": {"effort": "high", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
}
_KNOWN: Final = json.dumps({"id": "msg_0", **assistant(_REPLAYED)}).encode()
_EARLIER: Final = tuple(json.dumps(item).encode() for item in (user(), call("c0"), output("c0"), assistant()))


def corpus() -> list[bytes]:
    """The cases that are about one thing each."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("responses/requests/*/responses.json"))]


@cache
def seeds() -> tuple[bytes, ...]:
    """Requests of our own writing: everything at once and the beginnings of it, and those of the corpus."""
    whole = [json.dumps({"model": "m", "input": _ITEMS[:end], **_SETTINGS}).encode() for end in (2, 12, 18, 23)]
    settings = [json.dumps({"model": "m", "input": "Hi", name: value}).encode() for name, value in _SETTINGS.items()]
    single = [json.dumps({"model": "m", "input": [user(), item, user()]}).encode() for item in _ITEMS]
    return (*whole, *settings, *single, *corpus())


def responses(data: bytes, random: Random) -> None:
    """A request becomes an intent that a writer can rely on, in one go as well as in steps."""
    try:
        read = in_one_go(read_body_in_steps(data)) if data and random.random() < 0.2 else read_body(data)
        earlier = _EARLIER if read.previous_response_id is not None or read.conversation is not None else ()
        references = {name: _KNOWN for name in read.references if random.random() < 0.8}
        request = _request(read, earlier, references, is_in_steps=random.random() < 0.2)
    except TranslationError as error:
        assert_error(error.failure.as_json())
        return
    for raw in (*request.settings.values(), *request.input_items, *(request.intent.tools or ())):
        json_of(bytes(raw))
    assert len(request.intent.messages) == len(request.intent.places or ())
    for message in request.intent.messages:
        _check(message)
    check_written(request.intent, target(random), options(random), is_in_steps=random.random() < 0.2)


def _request(
    read: ReadBody, earlier: tuple[bytes, ...], references: dict[str, bytes], *, is_in_steps: bool
) -> ResponsesRequest:
    if is_in_steps:
        return in_one_go(read_request_in_steps(read, SEALER, earlier, references))
    return read_request(read, SEALER, earlier, references)


def _check(message: Message) -> None:
    """A message that is in order: its content is JSON, and a sealed turn's letters are those of its blocks."""
    content = json_of(bytes(message.content))
    if isinstance(message, SealedTurn):
        calls = message.tool_calls or []
        counts = (len(message.own_blocks), len(content or []), len(calls))
        assert tuple(map(message.order.count, "otc")) == counts or content is None
    assert (message.tool_call_id is not None) == (message.role == "tool")
