"""What Messages accepts, written down once more from the wire reference: an oracle that shares no code with ours."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.support.subset import outside_subset
from translators.models import ModelRow

SAMPLING = ("temperature", "top_p", "top_k")
EFFORTS = ("low", "medium", "high", "xhigh", "max")

_TOP_LEVEL = frozenset(
    {
        "model",
        "max_tokens",
        "messages",
        "system",
        "stream",
        "stop_sequences",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "metadata",
        "service_tier",
        "speed",
        "fallbacks",
        "inference_geo",
        "container",
        *SAMPLING,
    }
)
# Fields and tools that need a beta (sections 2 and 3.6), by any of the headers that switch them on.
_BETA_FIELDS = {
    "context_management": ("context-management-2025-06-27", "compact-2026-01-12"),
    "mcp_servers": ("mcp-client-2025-11-20", "mcp-client-2026-09-15"),
}
_BETA_TOOLS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "advisor_20260301": "advisor-tool-2026-03-01",
    "mcp_toolset": "mcp-client-2025-11-20",
}
_OWN_TOOLS = re.compile(
    r"(web_search|web_fetch|code_execution|tool_search_tool_regex|tool_search_tool_bm25|memory|bash|text_editor"
    r"|computer|computer_toolset|browser_toolset|advisor)_20\d{6}|mcp_toolset"
)
# Section 3.6: a tool that the caller runs.
_TOOL_FIELDS = {
    "name",
    "description",
    "input_schema",
    "strict",
    "type",
    "cache_control",
    "eager_input_streaming",
    "input_examples",
    "defer_loading",
    "allowed_callers",
}
MAX_MARKS = 4
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
_DISPLAYS = {
    None: None,
    "summarized": None,
    "omitted": None,
    "updates": "thinking-display-updates-2026-08-18",
}
_BINDING_BETA = "thinking-binding-controls-2026-08-01"
_SCHEMA_UNIONS = ("oneOf", "anyOf", "allOf")
# Fields of each `tool_choice` (section 3.7).
_CHOICES = {
    "auto": {"type", "disable_parallel_tool_use"},
    "any": {"type", "disable_parallel_tool_use"},
    "tool": {"type", "name", "disable_parallel_tool_use"},
    "none": {"type"},
}

Body = Mapping[str, Any]


def violations(body: Body, row: ModelRow, version: str = "2026-10-21", betas: Sequence[str] = ()) -> list[str]:
    """Every rule of the Messages API that the body breaks for this model, each in a few words."""
    return [
        *_top_level(body, row, betas),
        *_system(body),
        *_messages(body["messages"]),
        *_order(_turns(body["messages"]), row),
        *_pairing(body["messages"]),
        *_ending(body, row),
        *_tools(body.get("tools"), betas),
        *_marks(body),
        *_tool_choice(body, row),
        *_thinking(body, row, betas),
        *_sampling(body, row, version),
    ]


def _top_level(body: Body, row: ModelRow, betas: Sequence[str]) -> Iterator[str]:
    for name in body.keys() - _TOP_LEVEL:
        if not set(_BETA_FIELDS.get(name, ())) & set(betas):
            yield f"{name}: extra inputs are not permitted"
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: a string is required"
    limit = body.get("max_tokens")
    if type(limit) is not int or not 1 <= limit <= row.max_output:
        yield f"max_tokens: {limit!r} is not within 1..{row.max_output}"
    if not isinstance(body.get("stream", False), bool):
        yield "stream: not a boolean"
    for index, stop in enumerate(body.get("stop_sequences", ())):
        if not isinstance(stop, str) or not stop.strip():
            yield f"stop_sequences.{index}: must contain non-whitespace"
    if body.get("service_tier", "auto") not in ("auto", "standard_only"):
        yield "service_tier: unknown"
    yield from _metadata(body.get("metadata", {}))
    effort = body.get("output_config", {}).get("effort")
    if effort is not None and effort not in row.efforts:
        yield f"output_config.effort: {effort!r} is not among {row.efforts}"
    yield from _output_config(body.get("output_config", {}), betas)


def _output_config(config: Mapping[str, Any], betas: Sequence[str]) -> Iterator[str]:
    allowed = {"effort", "format"} | ({"task_budget"} if "task-budgets-2026-03-13" in betas else set())
    if not config.keys() <= allowed:
        yield "output_config: extra inputs"
    if "format" in config:
        if config["format"].keys() != {"type", "schema"} or config["format"]["type"] != "json_schema":
            yield "output_config.format: not a JSON Schema"
        for broken in outside_subset(config["format"]["schema"]):
            yield f"output_config.format.schema: {broken}"


def _metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    if not metadata.keys() <= {"user_id"}:
        yield "metadata: extra inputs"
    user = metadata.get("user_id", "x")
    if not user.strip():
        yield "metadata.user_id: blank"
    if len(user) > 256:
        yield "metadata.user_id: longer than 256 characters"
    if "@" in user:
        yield "metadata.user_id: looks like an e-mail address"


def _system(body: Body) -> Iterator[str]:
    if "system" not in body:
        return
    if not body["system"]:
        yield "system: empty"
    for index, block in enumerate(_blocks(body["system"])):
        if block.get("type") != "text":
            yield f"system.{index}: only text"
        yield from _block(block, f"system.{index}", "system")


def _messages(messages: Sequence[Body]) -> Iterator[str]:
    if not messages:
        yield "messages: at least one is required"
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        if message.keys() != {"role", "content"}:
            yield f"{place}: has to have role and content"
        if message["role"] not in ("user", "assistant", "system"):
            yield f"{place}.role: {message['role']!r}"
        if not message["content"]:
            yield f"{place}: must have non-empty content"
        for number, block in enumerate(_blocks(message["content"])):
            yield from _block(block, f"{place}.content.{number}", message["role"])


def _blocks(content: str | Sequence[Body]) -> Sequence[Body]:
    """A content's blocks; a string equals one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


_ALLOWED_BLOCKS = {
    "system": ("text",),
    "user": ("text", "image", "document", "search_result", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use", "compaction"),
    "tool_result": ("text", "image", "document", "search_result"),
    "document": ("text", "image"),
    "search_result": ("text",),
}


def _block(block: Body, place: str, where: str) -> Iterator[str]:
    kind = block.get("type", "")
    if kind not in _ALLOWED_BLOCKS.get(where, ()):
        yield f"{place}: {kind!r} is not allowed in {where}"
    elif kind == "text":
        yield from _text(block, place)
    elif kind == "image":
        yield from _image(block, place)
    elif kind == "tool_use":
        yield from _tool_use(block, place)
    elif kind == "tool_result":
        yield from _tool_result(block, place)
    elif kind == "document":
        yield from _document(block, place)
    elif kind == "search_result":
        yield from _search_result(block, place)
    elif kind in ("thinking", "redacted_thinking"):
        yield from _thinking_block(block, place)


def _document(block: Body, place: str) -> Iterator[str]:
    source = block["source"]
    if not block.keys() <= {"type", "source", "title", "context", "citations", "cache_control"}:
        yield f"{place}: unexpected fields in a document block"
    if source["type"] == "base64":
        if source["media_type"] != "application/pdf" or not base64.b64decode(source["data"]).startswith(b"%PDF"):
            yield f"{place}.source: not a PDF"
    elif source["type"] == "text":
        if source["media_type"] != "text/plain" or not source["data"].strip():
            yield f"{place}.source: not a text"
    elif source["type"] == "url":
        if source.keys() != {"type", "url"} or not source["url"].lower().startswith("https://"):
            yield f"{place}.source: only HTTPS URLs are supported"
    elif source["type"] == "content":
        if not source["content"]:
            yield f"{place}.source.content: empty"
        for number, inner in enumerate(_blocks(source["content"])):
            yield from _block(inner, f"{place}.source.content.{number}", "document")
            if "cache_control" in inner:
                yield f"{place}.source.content.{number}: a mark that nobody counts"
    elif source.keys() != {"type", "file_id"}:
        yield f"{place}.source: {source['type']!r}"


def _search_result(block: Body, place: str) -> Iterator[str]:
    if (
        not {"type", "source", "title", "content"}
        <= block.keys()
        <= {
            "type",
            "source",
            "title",
            "content",
            "citations",
            "cache_control",
        }
    ):
        yield f"{place}: unexpected fields in a search result"
    for number, inner in enumerate(block["content"]):
        yield from _block(inner, f"{place}.content.{number}", "search_result")


def _thinking_block(block: Body, place: str) -> Iterator[str]:
    fields = {"thinking": {"type", "thinking", "signature"}, "redacted_thinking": {"type", "data"}}[block["type"]]
    if block.keys() != fields or not all(isinstance(value, str) for value in block.values()):
        yield f"{place}: a {block['type']} block has exactly {sorted(fields)}"


def _marks(body: Body) -> Iterator[str]:
    """Section 13.1: at most four marks, those for an hour before those for five minutes."""
    marks = [mark for key in ("tools", "system", "messages") for mark in _marks_in(body.get(key, ()))]
    if len(marks) > MAX_MARKS:
        yield f"a maximum of 4 blocks with cache_control may be provided, found {len(marks)}"
    for mark in marks:
        if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
            yield f"cache_control: {mark}"
    lifetimes = [mark.get("ttl", "5m") for mark in marks]
    if lifetimes != sorted(lifetimes):  # "1h" sorts before "5m"
        yield f"cache_control: the longer ones have to come first, not {lifetimes}"


def _marks_in(value: Any) -> Iterator[Body]:
    """The marks of tools, blocks, and blocks inside results, in their order."""
    for item in value if isinstance(value, list) else ():
        yield from _marks_in(item.get("content"))
        if "cache_control" in item:
            yield item["cache_control"]


def _text(block: Body, place: str) -> Iterator[str]:
    if block.keys() - {"cache_control"} != {"type", "text"}:
        yield f"{place}: unexpected fields in a text block"
    if not isinstance(block["text"], str) or not block["text"].strip():
        yield f"{place}.text: must contain non-whitespace text"


def _image(block: Body, place: str) -> Iterator[str]:
    source = block["source"]
    if block.keys() - {"cache_control"} != {"type", "source"}:
        yield f"{place}: unexpected fields in an image block"
    if source["type"] == "url":
        if not source["url"].lower().startswith("https://"):
            yield f"{place}: only HTTPS URLs are supported"
    elif source["type"] == "base64":
        yield from _base64_image(source, place)
    elif source.keys() != {"type", "file_id"}:
        yield f"{place}: unknown source {source['type']!r}"


def _base64_image(source: Body, place: str) -> Iterator[str]:
    if source["media_type"] not in _MAGIC.values():
        yield f"{place}: media type {source['media_type']!r}"
    try:
        data = base64.b64decode(source["data"], validate=True)
    except (binascii.Error, ValueError):
        yield f"{place}: not base64"
        return
    if not data:
        yield f"{place}: no data"
    for magic, media_type in _MAGIC.items():
        if data.startswith(magic) and source["media_type"] != media_type:
            yield f"{place}: labelled {source['media_type']}, but it is {media_type}"


def _tool_use(block: Body, place: str) -> Iterator[str]:
    if block.keys() - {"cache_control"} != {"type", "id", "name", "input"}:
        yield f"{place}: unexpected fields in a tool_use block"
    if not _CALL_ID.fullmatch(block["id"]):
        yield f"{place}.id: should match {_CALL_ID.pattern}"
    if not _TOOL_NAME.fullmatch(block["name"]):
        yield f"{place}.name: should match {_TOOL_NAME.pattern}"
    if not isinstance(block["input"], dict):
        yield f"{place}.input: not an object"


def _tool_result(block: Body, place: str) -> Iterator[str]:
    if not block.keys() <= {"type", "tool_use_id", "content", "is_error", "cache_control"}:
        yield f"{place}: unexpected fields in a tool_result block"
    if "content" in block:
        if not block["content"]:
            yield f"{place}.content: empty"
        for number, inner in enumerate(_blocks(block["content"])):
            yield from _block(inner, f"{place}.content.{number}", "tool_result")


def _turns(messages: Sequence[Body]) -> list[tuple[str, list[Body]]]:
    """Consecutive messages of one role are joined."""
    turns: list[tuple[str, list[Body]]] = []
    for message in messages:
        if not turns or turns[-1][0] != message["role"]:
            turns.append((message["role"], []))
        turns[-1][1].extend(_blocks(message["content"]))
    return turns


def _order(turns: Sequence[tuple[str, list[Body]]], row: ModelRow) -> Iterator[str]:
    """Sections 3.1 and 3.2: who may follow whom."""
    roles = [role for role, _ in turns]
    if roles and roles[0] != "user":
        yield f"messages.0: the first message is {roles[0]}'s"
    if "system" in roles and not row.system_messages:
        yield 'messages: unexpected role "system"'
    for number, (before, after) in enumerate(pairwise(roles)):
        if after == "system" and before != "user":
            yield f"turn {number + 1}: a system message must follow a user's turn"
        if before == "system" and after != "assistant":
            yield f"turn {number + 1}: a system message must be last or be followed by an assistant's"


def _pairing(messages: Sequence[Body]) -> Iterator[str]:
    """Every call is answered once, at the start of the one user message right behind it, and nothing else is."""
    expected: list[str] = []
    for index, message in enumerate(messages):
        blocks = _blocks(message["content"])
        kinds = [block["type"] for block in blocks]
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(answered) != sorted(expected):
            yield f"messages.{index}: results for {answered}, calls were {expected}"
        if kinds[: len(answered)] != ["tool_result"] * len(answered):
            yield f"messages.{index}: results have to come before any other block"
        expected = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len(set(expected)) < len(expected):
            yield f"messages.{index}: tool_use ids must be unique"
    if expected:
        yield "messages: the last calls have no results"


def _ending(body: Body, row: ModelRow) -> Iterator[str]:
    last = body["messages"][-1] if body["messages"] else {"role": "user", "content": "?"}
    if last["role"] != "assistant":
        return
    if not row.prefill or is_thinking(body, row):
        yield "messages: this model does not support assistant message prefill"
    block = _blocks(last["content"])[-1] if last["content"] else {"type": "text", "text": "?"}
    if block["type"] == "text" and block["text"] != block["text"].rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"


def _tools(tools: Sequence[Body] | None, betas: Sequence[str]) -> Iterator[str]:
    if tools is None:
        return
    names = [tool["name"] for tool in tools if "name" in tool]
    if len(set(names)) < len(names):
        yield "tools: names must be unique"
    if sum(tool.get("strict", False) for tool in tools) > 20:
        yield "tools: too many strict tools"
    for index, tool in enumerate(tools):
        kind = tool.get("type", "custom")
        if kind != "custom":
            if not _OWN_TOOLS.fullmatch(kind):
                yield f"tools.{index}.type: {kind!r}"
            if kind in _BETA_TOOLS and _BETA_TOOLS[kind] not in betas:
                yield f"tools.{index}: {kind} needs a beta"
            continue
        if not tool.keys() <= _TOOL_FIELDS:
            yield f"tools.{index}: extra inputs"
        if tool.get("strict"):
            for broken in outside_subset(tool["input_schema"]):
                yield f"tools.{index}.input_schema: {broken}"
        if not _TOOL_NAME.fullmatch(tool["name"]):
            yield f"tools.{index}.name: should match {_TOOL_NAME.pattern}"
        schema = tool["input_schema"]
        if not isinstance(schema, dict) or schema.get("type") != "object":
            yield f"tools.{index}.input_schema.type: should be 'object'"
        elif any(union in schema for union in _SCHEMA_UNIONS):
            yield f"tools.{index}.input_schema: no oneOf, allOf or anyOf at the top level"
        elif isinstance(keys := schema.get("properties"), dict) and not all(map(_PROPERTY.fullmatch, keys)):
            yield f"tools.{index}.input_schema.properties: keys should match {_PROPERTY.pattern}"


def is_tool_forced(body: Body) -> bool:
    """Whether the model has to call a tool."""
    return body.get("tool_choice", {}).get("type") in ("any", "tool")


def _tool_choice(body: Body, row: ModelRow) -> Iterator[str]:
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not body.get("tools"):
        yield "tool_choice: only with tools"
    if not choice.keys() <= _CHOICES.get(choice["type"], set()):
        yield f"tool_choice: {choice}"
    if choice["type"] == "tool" and choice["name"] not in [tool["name"] for tool in body.get("tools", ())]:
        yield f"tool_choice: no tool {choice['name']!r}"
    if is_tool_forced(body) and not row.forced_tools:
        yield "tool_choice: this model cannot be forced"


def is_thinking(body: Body, row: ModelRow) -> bool:
    """Whether the model thinks, by the request or by its own default."""
    if "thinking" not in body:
        return row.thinks_by_default
    return body["thinking"]["type"] not in ("disabled", "between_tools")


def _thinking(body: Body, row: ModelRow, betas: Sequence[str]) -> Iterator[str]:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking["type"]
    if kind not in row.thinking:
        yield f"thinking.type: {kind!r} is not among {row.thinking}"
    if kind in ("disabled", "between_tools"):
        if thinking.keys() != {"type"}:
            yield f"thinking.{kind}: extra inputs"
        effort = body.get("output_config", {}).get("effort") or row.effort
        if row.disabled_effort and EFFORTS.index(effort) > EFFORTS.index(row.disabled_effort):
            yield f"thinking.{kind}: not with effort {effort}"
    elif _DISPLAYS.get(thinking.get("display"), "nothing") not in (None, *betas):
        yield f"thinking.display: {thinking['display']!r}"
    elif "block_binding" in thinking and _BINDING_BETA not in betas:
        yield "thinking.block_binding: extra inputs"
    if kind == "enabled":
        yield from _manual_thinking(body, thinking)
    elif "budget_tokens" in thinking:
        yield "thinking.budget_tokens: only with enabled"


def _manual_thinking(body: Body, thinking: Body) -> Iterator[str]:
    if not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        yield f"thinking.budget_tokens: {thinking['budget_tokens']} of {body['max_tokens']}"
    if is_tool_forced(body):
        yield "thinking: not when tool_choice forces tool use"
    turns = _turns(body["messages"])
    last = max((number for number, (role, _) in enumerate(turns) if role == "assistant"), default=None)
    if last is None:
        return
    is_in_tool_loop = any(block["type"] == "tool_result" for _, blocks in turns[last + 1 :] for block in blocks)
    if is_in_tool_loop and turns[last][1][0]["type"] not in ("thinking", "redacted_thinking"):
        yield "thinking: a final assistant message must start with a thinking block"


def _sampling(body: Body, row: ModelRow, version: str) -> Iterator[str]:
    """Sections 1.4 and 11.3."""
    sent = [name for name in SAMPLING if name in body]
    if sent and version != "2023-06-01":
        yield f"{sent}: extra inputs are not permitted"
    if sent and row.sampling == "none":
        yield f"{sent}: deprecated for this model"
    if "temperature" in sent and "top_p" in sent:
        yield "temperature and top_p cannot both be specified"
    for name in sent:
        if name != "top_k" and not 0 <= body[name] <= 1:
            yield f"{name}: range: 0..1"
        if is_thinking(body, row) and (name != "top_p" or body[name] < 0.95):
            yield f"{name}: not when thinking is enabled"
