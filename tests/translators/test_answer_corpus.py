"""Answers of our own writing: a case is a folder in `tests/corpus/answers` or `tests/corpus/streams`, without code.

`message.json` becomes `completion.json`; `messages.sse` becomes `chat.sse`. `case.json`, where something is not the
ordinary, holds fields of the `AnswerShape` (`text_call` by its name, "" for one that the answer names) and, for a
stream, `include_usage`. A folder of the same name in both has the same message, streamed and not.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from tests.support.oracles import ACCUMULATED, by_anthropic, by_openai
from translators.answers.answer import AnswerFold, read_message
from translators.answers.shape import AnswerShape, TextCall
from translators.chat.response import completion
from translators.chat.stream import ChatStream, State, StreamFrame

CREATED = 1_700_000_000
CORPUS = Path(__file__).resolve().parents[1] / "corpus"
ANSWERS = sorted(path for path in (CORPUS / "answers").iterdir() if path.is_dir())
STREAMS = sorted(path for path in (CORPUS / "streams").iterdir() if path.is_dir())
SETS = {"custom_tools", "wrapped_tools"}

answers = pytest.mark.parametrize("folder", ANSWERS, ids=lambda folder: folder.name)
streams = pytest.mark.parametrize("folder", STREAMS, ids=lambda folder: folder.name)


def notes_of(folder: Path) -> dict[str, Any]:
    path = folder / "case.json"
    notes: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return notes


def shape_of(folder: Path) -> AnswerShape:
    fields: dict[str, Any] = {name: value for name, value in notes_of(folder).items() if name != "include_usage"}
    if "text_call" in fields:
        fields["text_call"] = TextCall(fields["text_call"] or None)
    for name in SETS & fields.keys():
        fields[name] = frozenset(fields[name])
    if "stops" in fields:
        fields["stops"] = tuple(fields["stops"])
    return AnswerShape(**fields)


def stream_of(folder: Path) -> ChatStream:
    include_usage = notes_of(folder).get("include_usage", False)
    return ChatStream(StreamFrame(CREATED, include_usage), shape_of(folder))


def shown(answer: AnswerFold, shape: AnswerShape) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(completion([(answer, shape)], answer.usage, created=CREATED))
    return body


def lines_of(body: bytes) -> list[Any]:
    """The events of a stream of `data:` lines and nothing else."""
    *events, rest = body.decode().split("\n\n")
    assert rest == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    texts = [event.removeprefix("data: ") for event in events]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


@answers
def test_an_answer_becomes_what_the_corpus_says(folder: Path) -> None:
    shape = shape_of(folder)
    answer = read_message((folder / "message.json").read_bytes(), shape)

    assert shown(answer, shape) == json.loads((folder / "completion.json").read_bytes())


@streams
def test_a_stream_becomes_what_the_corpus_says(folder: Path) -> None:
    stream = stream_of(folder)
    output = stream.feed((folder / "messages.sse").read_bytes()) + stream.end()

    assert stream.state is State.DONE
    assert lines_of(output) == lines_of((folder / "chat.sse").read_bytes())


@streams
def test_a_stream_says_the_same_however_it_is_cut(folder: Path) -> None:
    body = (folder / "messages.sse").read_bytes()
    whole, single = stream_of(folder), stream_of(folder)
    pieces = b"".join(single.feed(body[place : place + 1]) for place in range(len(body)))

    assert pieces + single.end() == whole.feed(body) + whole.end()


@streams
def test_a_folded_stream_says_what_the_unstreamed_message_says(folder: Path) -> None:
    twin = CORPUS / "answers" / folder.name / "completion.json"
    if not twin.exists():
        return
    shape = shape_of(folder)
    answer = AnswerFold(shape)
    answer.feed((folder / "messages.sse").read_bytes())
    answer.end()

    # The numbers and the order inside of arguments are the same; only the white space is upstream's own.
    assert without_arguments(shown(answer, shape)) == without_arguments(json.loads(twin.read_bytes()))


def without_arguments(body: dict[str, Any]) -> dict[str, Any]:
    """A completion whose arguments are values instead of texts."""
    message = body["choices"][0]["message"]
    for call in [*(call.get("function", {}) for call in message.get("tool_calls", ())), message.get("function_call")]:
        if call and call["arguments"].endswith("}"):
            call["arguments"] = json.loads(call["arguments"])
    return body


@streams
def test_openais_accumulator_reads_the_corpus_as_the_completion_says(folder: Path) -> None:
    twin = CORPUS / "answers" / folder.name / "completion.json"
    expected = (folder / "chat.sse").read_bytes()
    if not twin.exists() or any(word in notes_of(folder) for word in ("custom_tools", "is_legacy")):
        return
    message = json.loads(twin.read_bytes())["choices"][0]["message"]
    assembled = by_openai(expected)

    assert assembled.text == (message["content"] or "")
    assert assembled.reasoning == message.get("reasoning_content", "")
    assert len(assembled.calls) == len(message.get("tool_calls", []))


@answers
def test_the_messages_of_the_corpus_are_such_as_upstream_sends(folder: Path) -> None:
    message = json.loads((folder / "message.json").read_bytes())
    known = [block for block in message["content"] if block["type"] != "block_of_tomorrow"]
    stop_reason = "end_turn" if message["stop_reason"] == "a_reason_of_tomorrow" else message["stop_reason"]

    TypeAdapter(Message).validate_python({**message, "content": known, "stop_reason": stop_reason})


@streams
def test_the_streams_of_the_corpus_are_such_as_upstream_sends(folder: Path) -> None:
    body = (folder / "messages.sse").read_bytes()
    twin = CORPUS / "answers" / folder.name / "message.json"
    names = [line.removeprefix("event: ") for line in body.decode().split("\n") if line.startswith("event: ")]
    # Never raises: the SDK can add it up.
    assembled = by_anthropic(body)

    assert set(names) <= {*ACCUMULATED, "ping"}
    if twin.exists():
        blocks = json.loads(twin.read_bytes())["content"]
        assert assembled.text == "".join(block["text"] for block in blocks if block["type"] == "text")
        assert assembled.calls == [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]


@answers
def test_the_completions_of_the_corpus_pass_the_official_sdks_strict_types(folder: Path) -> None:
    TypeAdapter(ChatCompletion).validate_python(json.loads((folder / "completion.json").read_bytes()), strict=True)


@streams
def test_the_chunks_of_the_corpus_pass_the_official_sdks_strict_types(folder: Path) -> None:
    *chunks, done = lines_of((folder / "chat.sse").read_bytes())

    assert done == "[DONE]"
    for chunk in chunks:
        if "custom_tools" not in notes_of(folder):
            TypeAdapter(ChatCompletionChunk).validate_python(chunk, strict=True)


@streams
def test_what_the_accumulators_would_add_up_twice_comes_once(folder: Path) -> None:
    *chunks, _ = lines_of((folder / "chat.sse").read_bytes())
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]

    assert ["role" in delta for delta in deltas] == [True, *[False] * (len(deltas) - 1)]
    for name in ("annotations", "citations", "thinking_blocks", "refusal"):
        assert sum(bool(delta.get(name)) for delta in deltas) <= 1
    heads = [call for call in calls if "id" in call]
    assert [call["index"] for call in heads] == list(range(len(heads)))
    assert all(not call.keys() & {"id", "type"} for call in calls if call not in heads)


@pytest.mark.parametrize("folder", [*ANSWERS, *STREAMS], ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_case_has_only_the_files_and_notes_that_are_looked_at(folder: Path) -> None:
    pair = {"message.json", "completion.json"} if folder.parent.name == "answers" else {"messages.sse", "chat.sse"}

    assert pair <= {path.name for path in folder.iterdir()} <= pair | {"case.json"}
    assert notes_of(folder).keys() <= {*AnswerShape.__struct_fields__, "include_usage"}
