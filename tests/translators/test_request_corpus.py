"""Requests of our own writing: a case is a folder in `tests/corpus/requests`, and a new one needs no code.

`chat.json` is what the caller sends, `messages.json` what upstream has to get. `case.json`, where something is not
the ordinary: `model`, the `adjusted` header, the `version` header, the `betas` header, `tool_names`, `options`, `host`,
fields of the answer's `shape` (`text_call` by its name, "" for one that the answer names), `expects_call`, or the
`error` (`param` and `code`) that stands in the place of `messages.json`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from anthropic.types.beta import message_create_params as beta
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from pydantic import TypeAdapter

from tests.support.conversations import DEFAULT_MODEL, called, chat, returned, said, tool, translate
from tests.support.legality import SAMPLING, violations
from translators.answers.shape import AnswerShape, TextCall
from translators.errors import ErrorKind, TranslationError
from translators.hosts import CURRENT_VERSION, HostProfile
from translators.messages.options import Options
from translators.models import model_table

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "requests"
FOLDERS = sorted(path for path in CORPUS.iterdir() if path.is_dir())
NOTES = {
    "model",
    "adjusted",
    "version",
    "betas",
    "tool_names",
    "options",
    "host",
    "shape",
    "expects_call",
    "error",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One folder."""

    chat: bytes
    messages: dict[str, Any] | None
    notes: dict[str, Any]

    @property
    def model(self) -> str:
        """The model that the request is written for."""
        return str(self.notes.get("model", DEFAULT_MODEL))

    @property
    def options(self) -> Options:
        """What the operator decided."""
        options = self.notes.get("options", {})
        for name in ("allowed_fields", "server_tools"):
            if name in options:
                options = {**options, name: frozenset(options[name])}
        return Options(**options)

    @property
    def host(self) -> HostProfile:
        """The host that the request goes to."""
        return HostProfile(**self.notes.get("host", {}))


def read_case(folder: Path) -> Case:
    messages, notes = folder / "messages.json", folder / "case.json"
    return Case(
        (folder / "chat.json").read_bytes(),
        json.loads(messages.read_bytes()) if messages.exists() else None,
        json.loads(notes.read_bytes()) if notes.exists() else {},
    )


def cases(*, refused: bool) -> list[Any]:
    return [
        pytest.param(case, id=folder.name)
        for folder in FOLDERS
        if ("error" in (case := read_case(folder)).notes) == refused
    ]


@pytest.mark.parametrize("case", cases(refused=False))
def test_a_request_becomes_what_the_corpus_says(case: Case) -> None:
    written = translate(case.chat, case.model, host=case.host, options=case.options)

    assert case.messages is not None
    assert in_blocks(json.loads(written.body)) == in_blocks(case.messages)
    assert written.adjusted == case.notes.get("adjusted")
    assert written.version == case.notes.get("version", CURRENT_VERSION)
    assert list(written.betas) == case.notes.get("betas", [])
    assert written.expects_call == case.notes.get("expects_call", False)
    if "tool_names" in case.notes:
        assert written.shape.tool_names == case.notes["tool_names"]
    wanted = case.notes.get("shape", {})
    assert {name: shape_field(written.shape, name) for name in wanted} == wanted


def shape_field(shape: AnswerShape, name: str) -> Any:
    """A field of the shape as JSON has it."""
    value = getattr(shape, name)
    if isinstance(value, TextCall):
        return value.name or ""
    if isinstance(value, tuple):
        return list(value)
    return sorted(value) if isinstance(value, frozenset) else value


def in_blocks(body: dict[str, Any]) -> dict[str, Any]:
    """A body in which the assistant's texts are blocks: a string equals one text block."""
    messages = [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if message["role"] == "assistant" and isinstance(message["content"], str)
        else message
        for message in body["messages"]
    ]
    return {**body, "messages": messages}


@pytest.mark.parametrize("case", cases(refused=True))
def test_a_request_is_refused_as_the_corpus_says(case: Case) -> None:
    with pytest.raises(TranslationError) as caught:
        translate(case.chat, case.model, host=case.host, options=case.options)

    failure = caught.value.failure
    assert failure.kind is ErrorKind.INVALID_REQUEST
    assert {"param": failure.param, "code": failure.code} == case.notes["error"]


@pytest.mark.parametrize("case", cases(refused=False))
def test_the_corpus_is_legal(case: Case) -> None:
    assert case.messages is not None
    version = case.notes.get("version", CURRENT_VERSION)

    assert violations(case.messages, model_table().row(case.model), version, case.notes.get("betas", ())) == []


@cache
def sdk_types() -> dict[tuple[bool, bool], TypeAdapter[Any]]:
    """The types of a body, by whether it streams and whether it needs a beta."""
    return {
        (True, False): TypeAdapter(MessageCreateParamsStreaming),
        (False, False): TypeAdapter(MessageCreateParamsNonStreaming),
        (True, True): TypeAdapter(beta.MessageCreateParamsStreaming),
        (False, True): TypeAdapter(beta.MessageCreateParamsNonStreaming),
    }


@pytest.mark.parametrize("case", cases(refused=False))
def test_the_corpus_fits_the_official_sdks_types(case: Case) -> None:
    assert case.messages is not None
    # The SDK's newest version does not know the sampling fields any more.
    body = {name: value for name, value in case.messages.items() if name not in SAMPLING}

    validated = sdk_types()[body.get("stream", False), "betas" in case.notes].validate_python(body)

    # What the types do not know would be left out.
    assert consumed(validated) == body


def consumed(value: Any) -> Any:
    """A validated value with its lazy iterators read to the end, which is when pydantic looks at their items."""
    if isinstance(value, dict):
        return {key: consumed(item) for key, item in value.items()}
    if isinstance(value, str | int | float | None):
        return value
    return [consumed(item) for item in value]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_case_has_only_the_files_and_notes_that_are_looked_at(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    notes = read_case(folder).notes

    assert names <= {"chat.json", "messages.json", "case.json"}
    assert ("messages.json" in names) != ("error" in notes)
    assert notes.keys() <= NOTES


def test_every_model_of_the_corpus_is_in_the_table() -> None:
    table = model_table()
    known = {name for row in table.rows for name in (row.id, *row.aliases)}
    models = {read_case(folder).model for folder in FOLDERS}

    # Older models have rows, but are not listed.
    assert [model for model in models - known if table.row(model) is table.row("nobody's")] == []


# What passes through is spliced: not one byte of it is decoded and encoded again.

ODD_NUMBERS = b'{"z":1.0,"a":12345678901234567890,"e":1E-7,"m":-0.0,"n":100000000000000000000000.5}'
SPELLINGS = [
    rb'"\u00e9 \/ \" \\ \u0041"',
    '"é / \U0001f600"'.encode(),
    rb'"\ud83d\ude00\u0000\t"',
]


def request_bytes(messages: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"m","max_tokens":2000,"messages":[' + messages + b"]" + more + b"}"


@pytest.mark.parametrize("text", SPELLINGS)
@pytest.mark.parametrize(
    "message",
    [
        b'{"role":"user","content":%s}',
        b'{"role":"system","content":%s}',
        b'{"role":"developer","content":[{"type":"text","text":%s}]}',
        b'{"role":"user","content":[{"type":"text","text":%s},{"type":"text","text":"x"}]}',
        b'{"role":"assistant","content":%s},{"role":"user","content":"x"}',
        b'{"role":"assistant","content":[{"type":"refusal","refusal":%s}]},{"role":"user","content":"x"}',
    ],
    ids=["user", "system", "developer-part", "user-part", "assistant", "refusal-part"],
)
def test_a_text_keeps_its_spelling(message: bytes, text: bytes) -> None:
    written = translate(request_bytes(message % text))

    assert text in written.body


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_text_with_words_of_the_gateway_around_it_keeps_its_spelling(text: bytes) -> None:
    messages = b'{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":%s}'

    written = translate(request_bytes(messages % text))

    assert text[1:-1] in written.body
    assert json.loads(text) in json.loads(written.body)["messages"][-1]["content"][0]["text"]


def test_a_schema_keeps_its_numbers_its_order_and_its_escapes() -> None:
    schema = rb'{"type":"object","$defs":{"b":{},"a":{}},"x-n":' + ODD_NUMBERS + rb',"title":"\u00e9\/"}'
    tools = b',"tools":[{"type":"function","function":{"parameters":' + schema + b',"name":"f"}}]'

    written = translate(request_bytes(b'{"role":"user","content":"a"}', tools))

    assert schema in written.body


def test_a_schema_that_gets_its_type_keeps_the_rest_as_it_was() -> None:
    schema = rb'{ "properties":{"b":' + ODD_NUMBERS + rb'},"title":"\u00e9" }'
    tools = b',"tools":[{"type":"function","function":{"parameters":' + schema + b',"name":"f"}}]'

    written = translate(request_bytes(b'{"role":"user","content":"a"}', tools))

    assert schema[1:-1].strip() in written.body
    assert json.loads(written.body)["tools"][0]["input_schema"]["type"] == "object"


@pytest.mark.parametrize("arguments", [ODD_NUMBERS.decode(), r'{"b":"\u00e9\/","a":{ "d":1,"c":[ ]}}'])
def test_arguments_keep_their_numbers_their_order_and_their_escapes(arguments: str) -> None:
    written = translate(chat(said("user", "Go"), called(("c1", "f", arguments)), returned("c1"), max_tokens=2000))

    assert b'"input":' + arguments.encode() + b"}" in written.body


def test_an_image_keeps_every_byte_of_its_data() -> None:
    data = "iVBORw0KGgoA" + "A+/z" * 1000 + "AA=="
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}

    written = translate(chat(said("user", [part])))

    assert f'"data":"{data}"'.encode() in written.body


def test_tools_and_messages_keep_the_callers_order() -> None:
    names = ["zebra", "ant", "mole"]
    request = chat(*[said("user", name) for name in names], tools=[tool(name) for name in names], max_tokens=2000)

    written = json.loads(translate(request).body)

    assert [definition["name"] for definition in written["tools"]] == names
    assert [message["content"] for message in written["messages"]] == names


def fields_of(text: str) -> Iterator[str]:
    return (match[1] for match in re.finditer(r"(?:^|; )([^=;]+)=", text))


def test_every_adjusted_field_of_the_corpus_is_one_that_the_caller_sent() -> None:
    for folder in FOLDERS:
        case = read_case(folder)
        for field in fields_of(case.notes.get("adjusted", "")):
            assert f'"{field.split(".")[-1]}"'.encode() in case.chat
