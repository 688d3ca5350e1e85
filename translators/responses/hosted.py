"""Items for calls of tools that run at Anthropic: searches, fetched pages, code.

The call is one block and its result another; each is read whole. A tool that is not listed here has no item; its blocks
go back to upstream in a reasoning item.
"""

from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw, Struct

from translators.responses.frame import OutputItem, ResponsesFrame
from translators.responses.output import COMPLETED, Item, Say
from translators.wire.raw import NULL

_WEB: Final = "web_search_call"
_CODE: Final = "code_interpreter_call"
# The type of the item, by the name of the tool.
_TYPES: Final = {
    "web_search": _WEB,
    "web_fetch": _WEB,
    "code_execution": _CODE,
    "bash_code_execution": _CODE,
    "text_editor_code_execution": _CODE,
}
_PREFIXES: Final = {_WEB: "ws", _CODE: "ci"}
_SOURCES: Final = 1_000


class _Input(Struct):
    query: str = ""
    url: str = ""
    code: str = ""
    command: str = ""


class HostedCall(Struct):
    """A call as the model has made it, and the block of its result once that is there."""

    id: str = ""
    name: str = ""
    input: Raw = NULL
    result: bytes | None = None


class _Result(Struct):
    tool_use_id: str = ""
    content: Raw = NULL


class _Page(Struct):
    url: str = ""


class _Content(Struct):
    """What a result holds, where it is an object."""

    type: str = ""
    stdout: str = ""
    stderr: str = ""
    error_code: str = ""


class HostedItem(Item):
    """A call of one of upstream's tools that is waiting for its result."""

    __slots__ = ("_frame", "_is_completed", "_name", "_said", "_text", "_type")

    def __init__(self, frame: ResponsesFrame, index: int, call: HostedCall) -> None:
        self._type = _TYPES[call.name]
        super().__init__(frame, _PREFIXES[self._type], index)
        self._frame = frame
        self._name = call.name
        self._said = _read(bytes(call.input), _Input) or _Input()
        self._text = self._said.code or self._said.command or bytes(call.input).decode()
        self._is_completed = False

    def begin(self, say: Say) -> None:
        if self._type == _WEB:
            self.add(say, self._web("in_progress", None))
            for step in (b"in_progress", b"searching"):
                say(b"response.web_search_call." + step, self.place)
            return
        self.add(say, self._code("in_progress", "", None))
        say(b"response.code_interpreter_call.in_progress", self.place)
        text = orjson.dumps(self._text)
        say(b"response.code_interpreter_call_code.delta", b'%b,"delta":%b' % (self.place, text))
        say(b"response.code_interpreter_call_code.done", b'%b,"code":%b' % (self.place, text))
        say(b"response.code_interpreter_call.interpreting", self.place)

    def end(self, result: bytes | None, status_without: bytes) -> OutputItem:
        """With its result, or without one where the answer ends before, or code waits for calls of the caller's."""
        content = None if result is None else _read(result, _Result)
        status = status_without.decode() if content is None else _status(bytes(content.content))
        self._is_completed = status == COMPLETED.decode()
        item = self._web(status, content) if self._type == _WEB else self._code(status, self._text, content)
        return OutputItem(item[:-1])

    def tell_end(self, say: Say, item: OutputItem) -> None:
        if self._is_completed:
            say(b"response.%b.completed" % self._type.encode(), self.place)
        self.done(say, item)

    def _web(self, status: str, result: _Result | None) -> bytes:
        action: dict[str, Any] = {"type": "open_page", "url": self._said.url}
        if self._name == "web_search":
            action = {"type": "search", "query": self._said.query, "queries": [self._said.query]}
            if result is not None and self._frame.shows_sources:
                pages = _read(bytes(result.content), list[_Page]) or []
                action["sources"] = [{"type": "url", "url": page.url} for page in pages[:_SOURCES]]
        return orjson.dumps({"id": self.id.decode(), "type": _WEB, "status": status, "action": action})

    def _code(self, status: str, code: str, result: _Result | None) -> bytes:
        outputs = None
        if result is not None and self._frame.shows_outputs:
            found = _read(bytes(result.content), _Content) or _Content()
            outputs = [{"type": "logs", "logs": found.stdout + found.stderr}]
        item = {"id": self.id.decode(), "type": _CODE, "status": status, "code": code}
        return orjson.dumps({**item, "container_id": "", "outputs": outputs})


def hosted_call(block: bytes) -> HostedCall | None:
    """The call in a block that has an item of its own; None for other blocks."""
    call: HostedCall | None = _read(block, HostedCall)
    if call is None or call.name not in _TYPES:
        return None
    call.result = None
    return call


def call_of_result(block: bytes) -> str:
    """The id of the call that a block is the result of; empty for other blocks."""
    result = _read(block, _Result)
    return "" if result is None else result.tool_use_id


def _status(content: bytes) -> str:
    found = _read(content, _Content)
    return "failed" if found is not None and found.type.endswith("_error") else "completed"


def _read(raw: bytes, form: type[Any]) -> Any:
    """What is read of it, or None where it has another form."""
    try:
        return msgspec.json.decode(raw, type=form)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
