"""What must hold of whatever comes out: JSON for every reader, whole events, one honest end."""

import json
from typing import Any, Final

import orjson

# What some readers refuse for its size only, and what is JSON all the same.
_BEYOND_ORJSON: Final = ("infinity", "recursion")
_DONE: Final = "[DONE]"


def json_of(data: bytes) -> Any:
    """The value in a text that has to be JSON: Python's reader and orjson both say so.

    None where it is nested too deeply for them.
    """
    text = data.decode()
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        return None
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if not any(word in str(error).lower() for word in _BEYOND_ORJSON):
            raise
    return value


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def _integer(text: str) -> float:
    return int(text) if len(text) < 300 else float("inf")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer)


def events_of(stream: bytes) -> list[Any]:
    """The values in a stream of `data:` lines and nothing else; `[DONE]` stands as it is."""
    *events, rest = stream.split(b"\n\n")
    assert rest == b"", "the stream ends in the middle of an event"
    values = []
    for event in events:
        assert event.startswith(b"data: "), "an event is something else than data"
        assert b"\n" not in event, "an event has several lines"
        assert b"\r" not in event, "some readers end a line here"
        data = event.removeprefix(b"data: ")
        values.append(_DONE if data == b"[DONE]" else json_of(data))
    return values


def assert_error(body: bytes) -> None:
    """An error as OpenAI's clients read it."""
    told = json_of(body)
    assert told is not None
    error = told["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert isinstance(error["type"], str)
    assert error["param"] is None or isinstance(error["param"], str)


def assert_native_error(body: bytes) -> None:
    """An error as Anthropic's clients read it."""
    told = json_of(body)
    if told is None:
        # In upstream's own words, with more in them than anybody looks into.
        return
    error = told["error"]
    assert isinstance(error["type"], str)
    assert error.get("message") is None or isinstance(error["message"], str)


def assert_header(value: str | None) -> None:
    """What a header may hold."""
    assert value is None or (value.isascii() and value.isprintable() and len(value) <= 2048), f"no header: {value!r}"


def assembled(stream: bytes) -> dict[str, Any]:
    """The choice that a chat stream adds up to, as the message of a completion; the stream has to end well."""
    *chunks, done = events_of(stream)
    assert done == _DONE
    assert _DONE not in chunks, "it ends twice"
    message: dict[str, Any] = {"role": None, "content": None}
    calls: list[dict[str, Any]] = []
    finish: list[str] = []
    usage = None
    for chunk in filter(None, chunks):
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            assert not finish, "something comes behind the end"
            if choice["finish_reason"] is not None:
                finish.append(choice["finish_reason"])
            _add(message, choice["delta"], calls)
    assert len(finish) == 1, "no finish chunk"
    assert message["role"] == "assistant"
    if calls:
        message["tool_calls"] = calls
    return {"message": message, "finish_reason": finish[0], "usage": usage}


def _add(message: dict[str, Any], delta: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    for name, value in delta.items():
        if name in ("content", "reasoning_content", "reasoning"):
            message[name] = value if message.get(name) is None else message[name] + (value or "")
        elif name == "tool_calls":
            for piece in value:
                _add_call(calls, piece)
        elif name == "function_call":
            _add_texts(message.setdefault("function_call", {}), value)
        else:
            assert message.get(name) is None, f"{name} comes twice"
            message[name] = value


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    assert piece["index"] in (len(calls), len(calls) - 1) or piece["index"] < len(calls)
    fields = {name: value for name, value in piece.items() if name != "index"}
    if piece["index"] == len(calls):
        calls.append(fields)
        return
    for name, value in fields.items():
        assert isinstance(value, dict), f"{name} comes twice"
        _add_texts(calls[piece["index"]].setdefault(name, {}), value)


def _add_texts(into: dict[str, str], more: dict[str, str]) -> None:
    for name, value in more.items():
        into[name] = into.get(name, "") + value
