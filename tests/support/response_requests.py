"""Requests of the Responses API for tests, and a sealer that only marks what it seals."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from translators.responses.read import read_body
from translators.responses.request import ResponsesRequest, read_request

Item = dict[str, Any]
_TEXTS: Final = msgspec.json.Decoder(list[str])
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class MarkingSealer:
    """Seals blocks readably, for one owner."""

    def __init__(self, owner: str = "me") -> None:
        self._mark = f"{owner}:"

    @property
    def summaries(self) -> "MarkingSealer":
        """The same, told apart by its mark."""
        return self if self._mark.startswith("any-") else MarkingSealer(f"any-{self._mark[:-1]}")

    def seal(self, blocks: Sequence[bytes], /) -> str:
        """The blocks behind the owner's mark."""
        return self._mark + json.dumps([block.decode() for block in blocks])

    def open(self, text: str, /) -> Sequence[bytes] | None:
        """The blocks, unless the text is somebody else's, or was altered so that they are none."""
        if not text.startswith(self._mark):
            return None
        try:
            blocks = _TEXTS.decode(text.removeprefix(self._mark))
            for block in blocks:
                _OBJECT.decode(block)
        except (msgspec.DecodeError, RecursionError):
            return None
        return [block.encode() for block in blocks]


SEALER = MarkingSealer()


def read(
    *items: Item,
    earlier: Sequence[Item] = (),
    references: Mapping[str, Item] | None = None,
    **fields: Any,
) -> ResponsesRequest:
    """A request with these items (or a text of the user's), read."""
    body = {"model": "gpt-5", "input": list(items) or "Hello", **fields}
    known = {name: json.dumps(item).encode() for name, item in (references or {}).items()}
    before = [json.dumps(item).encode() for item in earlier]
    return read_request(read_body(json.dumps(body).encode()), SEALER, before, known)


def user(content: Any = "Hello", **keys: Any) -> Item:
    """An easy message of the user's."""
    return {"role": "user", "content": content, **keys}


def assistant(content: Any = "Hi", **keys: Any) -> Item:
    """A message of the assistant's."""
    return {"type": "message", "role": "assistant", "content": content, **keys}


def call(call_id: str = "c1", name: str = "look", arguments: str = "{}", **keys: Any) -> Item:
    """A call of a function."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **keys}


def output(call_id: str = "c1", content: Any = "done", **keys: Any) -> Item:
    """The output of a function."""
    return {"type": "function_call_output", "call_id": call_id, "output": content, **keys}


def reasoning(*blocks: str, summary: str = "", owner: str = "me") -> Item:
    """A reasoning item; with blocks it is sealed."""
    item: Item = {"type": "reasoning", "id": "rs_1", "summary": []}
    if summary:
        item["summary"] = [{"type": "summary_text", "text": summary}]
    if blocks:
        item["encrypted_content"] = MarkingSealer(owner).seal([block.encode() for block in blocks])
    return item
