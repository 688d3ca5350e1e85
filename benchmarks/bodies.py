"""Chat-completions bodies of every size and kind that callers send."""

import base64
import json
import random
from collections.abc import Iterator
from typing import Any, TypeAlias

_Json: TypeAlias = dict[str, Any]


def requests() -> Iterator[tuple[str, bytes]]:
    """What callers send, from a question to the largest body that is taken."""
    yield "1 KB", _body(_texts(3, 220))
    yield "100 KB", _body(_texts(399, 220))
    yield "1 MB, 2,000 messages", _body(_texts(1999, 490))
    yield "1 MB, 2,000 messages in parts", _body(_in_parts(_texts(1999, 440)))
    yield "1 MB, 4,000 messages", _body(_texts(3999, 220))
    yield "1 MB, 1,000 calls and results", _body(_tool_loop(1000, 780), tools=_tools(5))
    yield "42 KB, 50 tools", _body(_texts(3, 220), tools=_tools(50))
    yield "10 MB, 10 images", _body(_images(10, 786_000))
    yield "32 MB, 8 messages", _body(_texts(7, 4_570_000))
    yield "32 MB, 62,000 messages", _body(_texts(61_999, 480))


def _body(messages: list[_Json], **fields: Any) -> bytes:
    return json.dumps({"model": "gpt-5", "messages": messages, **fields}).encode()


def _texts(count: int, size: int) -> list[_Json]:
    return [{"role": ("user", "assistant")[n % 2], "content": "x" * size} for n in range(count)]


def _in_parts(messages: list[_Json]) -> list[_Json]:
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]


def _tool_loop(count: int, size: int) -> list[_Json]:
    messages: list[_Json] = [{"role": "user", "content": "Go"}]
    for n in range(count):
        function = {"name": "tool_1", "arguments": json.dumps({"argument_0": "y" * 100})}
        call = {"id": f"call_{n}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{n}", "content": "r" * size})
    return messages


def _tools(count: int) -> list[_Json]:
    argument = {"type": "string", "description": "What to look for, in words."}
    parameters = {"type": "object", "properties": {f"argument_{n}": argument for n in range(6)}, "required": []}
    function = {"description": "Looks something up. " * 8, "parameters": parameters}
    return [{"type": "function", "function": {"name": f"tool_{n}", **function}} for n in range(count)]


def _images(count: int, size: int) -> list[_Json]:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(size)).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return [{"role": "user", "content": [{"type": "text", "text": "Look."}, *[image] * count]}]
