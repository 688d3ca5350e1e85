"""Large conversations by size and form, in each protocol: what holds a process up depends on both."""

import base64
import json
import random
from typing import Any, Final, Literal

Dialect = Literal["chat", "responses", "messages"]

TEXT: Final = (
    'The quick brown fox said "no", and jumped over the lazy dog.\n'
    "Später, beim Café, war alles anders — or so they say.\n"
    'def answer(question: str) -> str:\n\treturn "42" if question else ""\n'
)
_BYTES_A_CHARACTER: Final = len(json.dumps(TEXT, ensure_ascii=False).encode()) / len(TEXT)
FORMS: Final = ("long texts", "short texts", "images", "tool calls")
_LONG_TEXTS: Final = 7
_SHORT_CHARACTERS: Final = 480
# What a call and its result hold, and what stands around that.
_CALL_CHARACTERS: Final = 400
_RESULT_CHARACTERS: Final = 1400
_CALL_BYTES: Final = 2180

_Json = dict[str, Any]


def history(megabytes: int, form: str, dialect: Dialect) -> list[_Json]:
    """A conversation of about so many MB, in one of the `FORMS`."""
    size = megabytes << 20
    if form == "images":
        image = image_part(1 << 20, dialect)
        return [{"role": "user", "content": [*[image] * megabytes, text_part("What are these?", dialect)]}]
    if form == "tool calls":
        return _tool_calls(size // _CALL_BYTES, dialect)
    characters = int(size / _BYTES_A_CHARACTER)
    if form == "short texts":
        return _texts(characters // (_SHORT_CHARACTERS + 40), _SHORT_CHARACTERS)
    return _texts(_LONG_TEXTS, characters // _LONG_TEXTS)


def text_part(text: str, dialect: Dialect) -> _Json:
    """A part of a user's message."""
    return {"type": "input_text" if dialect == "responses" else "text", "text": text}


def image_part(size: int, dialect: Dialect) -> _Json:
    """A part of about this many bytes; what is in it is noise, but for a PNG's first bytes."""
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(size).randbytes(size * 3 // 4)).decode()
    url = f"data:image/png;base64,{data}"
    if dialect == "chat":
        return {"type": "image_url", "image_url": {"url": url}}
    if dialect == "responses":
        return {"type": "input_image", "image_url": url}
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


def tool(number: int, dialect: Dialect) -> _Json:
    """A tool's definition, as long as those of everyday use."""
    properties = {
        "query": {"type": "string", "description": "What to look for, in the words of the person who asks."},
        "limit": {"type": "integer", "description": "The most results to give back.", "minimum": 1, "maximum": 100},
        "order": {"type": "string", "enum": ["relevance", "newest", "oldest"]},
        "filters": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "equals": {"type": ["string", "number", "boolean"]}},
                "required": ["field", "equals"],
            },
        },
    }
    schema = {"type": "object", "properties": properties, "required": ["query"]}
    name, description = f"search_collection_{number}", f"Searches collection {number}. Use it before answering."
    if dialect == "messages":
        return {"name": name, "description": description, "input_schema": schema}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", **function} if dialect == "responses" else {"type": "function", "function": function}


def _texts(count: int, size: int) -> list[_Json]:
    """Turns of both sides, the last one the user's."""
    text = (TEXT * (size // len(TEXT) + 1))[:size]
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n in range(count - 1 + count % 2)]


def _tool_calls(count: int, dialect: Dialect) -> list[_Json]:
    query = {"query": "y" * _CALL_CHARACTERS}
    result = (TEXT * (_RESULT_CHARACTERS // len(TEXT) + 1))[:_RESULT_CHARACTERS]
    messages: list[_Json] = [{"role": "user", "content": "Look it up."}]
    for n in range(count):
        messages += _turn(f"call_{n:06d}", query, result, dialect)
    return messages


def _turn(call_id: str, query: _Json, result: str, dialect: Dialect) -> list[_Json]:
    """A call and its result."""
    name = tool(0, "messages")["name"]
    if dialect == "messages":
        use = {"type": "tool_use", "id": call_id, "name": name, "input": query}
        block = {"type": "tool_result", "tool_use_id": call_id, "content": result}
        return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [block]}]
    function = {"name": name, "arguments": f'{{"query":"{query["query"]}"}}'}
    if dialect == "responses":
        output = {"type": "function_call_output", "call_id": call_id, "output": result}
        return [{"type": "function_call", "call_id": call_id, **function}, output]
    call = {"id": call_id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": result},
    ]
