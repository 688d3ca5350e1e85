"""Chat-completions requests for tests: what a caller of api.openai.com may send, also where nobody thinks of it."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.support.intents import read_intent
from translators.hosts import HostProfile
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import ModelRow, model_table

Message = dict[str, Any]
Request = dict[str, Any]

DEFAULT_MODEL = "claude-sonnet-5-5"
HOSTS = (HostProfile(), HostProfile("2026-10-21", None), HostProfile("2023-06-01", "2023-06-01"))
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(16)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(16)).decode()
GIF = base64.b64encode(b"GIF89a" + bytes(16)).decode()
WEBP = base64.b64encode(b"RIFF\x24\0\0\0WEBPVP8 " + bytes(8)).decode()


def translate(
    request: Request | bytes,
    model: str = DEFAULT_MODEL,
    *,
    host: HostProfile | None = None,
    options: Options | None = None,
) -> MessagesRequest:
    """A request, read and written for one model."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    target = Target(model, model_table().row(model), host or HostProfile())
    return write_request(read_intent(body), target, options or Options())


def chat(*messages: Message, **fields: Any) -> Request:
    """A small request: these messages (or one of the user), these fields."""
    return {"model": "gpt-5", "messages": list(messages) or [{"role": "user", "content": "Hello"}], **fields}


def said(role: str, content: Any, **keys: Any) -> Message:
    """One message."""
    return {"role": role, "content": content, **keys}


def called(*calls: tuple[str, str, Any], content: Any = None) -> Message:
    """An assistant message with calls (id, name, arguments)."""
    tool_calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in calls
    ]
    return said("assistant", content, tool_calls=tool_calls)


def returned(call_id: str, content: Any = "done") -> Message:
    """A tool's result."""
    return said("tool", content, tool_call_id=call_id)


def tool(name: str = "look", **function: Any) -> dict[str, Any]:
    """A function tool."""
    return {"type": "function", "function": {"name": name, **function}}


# Strategies.

rows: SearchStrategy[ModelRow] = st.sampled_from(model_table().rows)
hosts: SearchStrategy[HostProfile] = st.sampled_from(HOSTS)

blank_texts = st.sampled_from(["", " ", "\n", " \t\r\n", "\u00a0", "\u2003\u2028", "\x1f"])
spoken_texts = st.one_of(
    st.sampled_from(
        [
            "Hello.",
            " indented",
            "trailing \n",
            'quotes " and \\ and \\n',
            "\u00e9t\u00e9 \u6771\u4eac \U0001f600",
            "\x00\x1b[0m",
            "</system>\n<system>",
            "\u200b",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
texts = st.one_of(spoken_texts, spoken_texts, blank_texts)

_image_urls = st.one_of(
    st.sampled_from(
        [
            "https://example.com/a.png",
            "HTTPS://example.com/?q=%20\u00e9",
            f"data:image/png;base64,{PNG}",
            f"data:image/jpg;base64,{JPEG}",
            f"DATA:IMAGE/PNG;BASE64,{GIF}",
            f"data:image/gif;charset=utf-8;base64,{WEBP}",
            f"data:application/octet-stream;base64,{PNG}",
            f"data:;base64,{WEBP}",
        ]
    )
)


@st.composite
def _image_parts(draw: DrawFn) -> dict[str, Any]:
    image: dict[str, Any] = {"url": draw(_image_urls)}
    if draw(st.booleans()):
        image["detail"] = draw(st.sampled_from(["auto", "low", "high", None]))
    return {"type": "image_url", "image_url": image}


def _text_parts(texts: SearchStrategy[str] = texts) -> SearchStrategy[dict[str, Any]]:
    return texts.map(lambda text: {"type": "text", "text": text})


_user_parts = st.lists(st.one_of(_text_parts(), _text_parts(), _image_parts()), max_size=4)
_speakers = st.sampled_from(["ann", "bob", "C-3\u00d6", "", None])


@st.composite
def user_messages(draw: DrawFn) -> Message:
    """A user's message: a string, parts, or nothing, sometimes with a name."""
    message = said("user", draw(st.one_of(texts, texts, _user_parts, st.none())))
    if draw(st.integers(0, 4)) == 0:
        message["name"] = draw(_speakers)
    return message


@st.composite
def system_messages(draw: DrawFn) -> Message:
    """A system or developer message."""
    content = draw(st.one_of(texts, st.lists(_text_parts(), max_size=3)))
    return said(draw(st.sampled_from(["system", "developer"])), content)


_ECHOES: dict[str, Any] = {
    "refusal": None,
    "annotations": [],
    "audio": None,
    "function_call": None,
    "tool_calls": None,
    "parsed": None,
    "reasoning_content": "Let me think.",
    "reasoning": None,
    "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}],
    "thinking_blocks": [],
    "provider_specific_fields": {"any": [1]},
    "name": "claude",
}
_assistant_contents = st.one_of(
    texts,
    texts,
    st.none(),
    st.lists(st.one_of(_text_parts(), texts.map(lambda text: {"type": "refusal", "refusal": text})), max_size=3),
)


@st.composite
def assistant_messages(draw: DrawFn) -> Message:
    """An answer as clients echo it, without calls."""
    message = said("assistant", draw(_assistant_contents))
    message |= {key: _ECHOES[key] for key in draw(st.lists(st.sampled_from(sorted(_ECHOES)), max_size=3))}
    if draw(st.integers(0, 5)) == 0:
        message["refusal"] = draw(texts)
    if draw(st.integers(0, 9)) == 0:
        del message["content"]
    return message


call_ids = st.one_of(
    st.sampled_from(
        ["call_1", "call_2", "toolu_01A", "functions.look:0", "a b", "", "\u00e9", "x" * 60, "chatcmpl-tool/1"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
tool_names = st.one_of(
    st.sampled_from(
        ["look", "get_weather", "a.b", "a b", "n" * 64, "n" * 65, "mcp::server/tool", "\u5929\u6c17", "Model[int]"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
_arguments = st.one_of(
    st.sampled_from(
        [
            "{}",
            "",
            "  ",
            '{"b": 1.0, "a": [12345678901234567890, 1E-7]}',
            ' {"text": "\\u00e9\\n\\ud83d\\ude00"} ',
            '{"filter[id]": 1, "$top": [{"$top": 2}], "other[]": null}',
            "[1]",
            "null",
            "[]",
            '"text"',
            '{"cut": "o',
            '{"a": NaN}',
            '{"line": "a\nb"}',
            "not json",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
_result_contents = st.one_of(texts, _user_parts, st.none())


@st.composite
def tool_calls(draw: DrawFn) -> list[dict[str, Any]]:
    """Parallel calls with different ids."""
    calls = []
    for index, call_id in enumerate(draw(st.lists(call_ids, min_size=1, max_size=4, unique=True))):
        call: dict[str, Any] = {
            "id": call_id,
            "type": "function",
            "function": {"name": draw(tool_names), "arguments": draw(_arguments)},
        }
        if draw(st.booleans()):
            call["index"] = index
        calls.append(call)
    return calls


_interludes = st.lists(st.one_of(user_messages(), system_messages()), max_size=3)


@st.composite
def turns(draw: DrawFn) -> list[Message]:
    """An assistant's message and what follows it: results in any order, users and systems in between."""
    answer = draw(assistant_messages())
    following = draw(_interludes)
    if draw(st.booleans()):
        answer["tool_calls"] = draw(tool_calls())
        results = [returned(call["id"], draw(_result_contents)) for call in answer["tool_calls"]]
        following = draw(st.permutations([*following, *results]))
    return [answer, *following]


@st.composite
def segments(draw: DrawFn) -> list[list[Message]]:
    """A conversation in the pieces by which it grows: what comes before the first answer, then turn by turn."""
    opening = draw(st.lists(system_messages(), max_size=2)) + draw(_interludes)
    pieces = [opening, *draw(st.lists(turns(), max_size=4))]
    return pieces if any(pieces) else [[said("user", "Hello")]]


conversations: SearchStrategy[list[Message]] = segments().map(
    lambda pieces: [item for piece in pieces for item in piece]
)

_schemas = st.sampled_from(
    [
        None,
        {},
        {"type": "object", "properties": {}},
        {"properties": {"a": {"type": "string"}}, "required": ["a"]},
        {
            "$defs": {"T": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "type": "object",
            "properties": {"t": {"$ref": "#/$defs/T"}},
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"filter[id]": {}, "$top": {}, "\u540d": {}}, "required": ["$top"]},
        {"description": '\u00e9 "quoted"', "type": "object", "properties": {"z": {}, "a": {"default": 1.0}}},
    ]
)


@st.composite
def _tools(draw: DrawFn) -> list[dict[str, Any]]:
    return [
        tool(
            name,
            parameters=draw(_schemas),
            description=draw(st.one_of(st.none(), texts)),
            strict=draw(st.sampled_from([None, False, True])),
        )
        for name in draw(st.lists(tool_names, max_size=4, unique=True))
    ]


def _choices(tools: Sequence[dict[str, Any]]) -> SearchStrategy[Any]:
    named = [{"type": "function", "function": {"name": item["function"]["name"]}} for item in tools]
    return st.sampled_from([None, "auto", "none", "required", "any", *named])


# Every field in scope, with what a caller may put there; `null` is always allowed.
_FIELDS: dict[str, SearchStrategy[Any]] = {
    "max_tokens": st.sampled_from([0, 1, 2, 500, 1023, 1024, 1025, 2000, 64_001, 128_001, 10**12]),
    "max_completion_tokens": st.sampled_from([0, 1, 1024, 1025, 5000, 200_000, 10**30]),
    "temperature": st.sampled_from([0, 0.2, 1, 1.0, 1.5, 2]),
    "top_p": st.sampled_from([0, 0.5, 0.99, 1]),
    "stop": st.one_of(texts, st.lists(texts, max_size=4)),
    "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
    "verbosity": st.sampled_from(["low", "medium", "high"]),
    "service_tier": st.sampled_from(["auto", "default", "flex", "scale", "priority", "fast"]),
    "user": st.one_of(texts, st.sampled_from(["ann@example.com", "+1 (555) 010-0000", "u" * 300])),
    "safety_identifier": texts,
    "stream": st.booleans(),
    "stream_options": st.sampled_from([{"include_usage": True}, {}, {"include_obfuscation": False}]),
    "parallel_tool_calls": st.booleans(),
    "n": st.just(1),
    "seed": st.integers(),
    "logit_bias": st.sampled_from([{}, {"50256": -100}]),
    "logprobs": st.booleans(),
    "top_logprobs": st.integers(0, 20),
    "presence_penalty": st.sampled_from([0, 0.0, -2, 0.5]),
    "frequency_penalty": st.sampled_from([0, 2]),
    "prediction": st.just({"type": "content", "content": "code"}),
    "store": st.booleans(),
    "metadata": st.just({"team": "a"}),
    "modalities": st.just(["text"]),
    "response_format": st.just({"type": "text"}),
    "prompt_cache_key": texts,
    "vendor_extension": st.just({"a": [1, None]}),
}


@st.composite
def requests(draw: DrawFn, messages: SearchStrategy[list[Message]] = conversations) -> Request:
    """A request that the gateway has to be able to serve."""
    request: Request = {"model": "gpt-5", "messages": draw(messages)}
    for name in draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=6, unique=True)):
        request[name] = draw(st.one_of(_FIELDS[name], _FIELDS[name], st.none()))
    if draw(st.booleans()):
        request["tools"] = draw(_tools())
        request["tool_choice"] = draw(_choices(request["tools"]))
    return request


json_values: SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([0, -1, 10**30, -(10**30), 1e308, "", "auto", "function"]),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "text", "name", "id", "role", "url", "function", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)


@st.composite
def damaged(draw: DrawFn, whole: SearchStrategy[Request] | None = None) -> Request:
    """A request that was valid until one value anywhere in it was replaced."""
    request = draw(whole or requests())
    path = draw(st.sampled_from(list(_paths(request))))
    return _replaced(request, path, draw(json_values))  # type: ignore[no-any-return]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a value stands that can be replaced; the whole is not one of them."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, child in children for found in ((*path, key), *_paths(child, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def encoded(draw: DrawFn, request: Request) -> bytes:
    """A request as one of the ways in which JSON encoders write it: escapes or not, spaces or not, `\\/` or `/`."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    text = json.dumps(request, ensure_ascii=draw(st.booleans()), separators=separators)
    return (text.replace("/", "\\/") if draw(st.integers(0, 3)) == 0 else text).encode()
