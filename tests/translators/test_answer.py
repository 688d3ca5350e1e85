"""Unstreamed answers: read whole or folded, they say what the stream says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import cuts, encode, error_event, message, messages_streams, text_stream
from tests.support.oracles import by_openai, of_completion
from tests.support.recordings import Recording, recording_params
from translators.answers.answer import AnswerFold, read_message
from translators.answers.shape import PLAIN
from translators.chat.response import completion
from translators.chat.stream import ChatStream, StreamFrame
from translators.errors import ErrorKind, FailedError


def fold(*pieces: bytes) -> AnswerFold:
    folding = AnswerFold()
    for piece in pieces:
        folding.feed(piece)
    folding.end()
    return folding


def completed(body: bytes) -> dict[str, Any]:
    """An unstreamed message as a completion."""
    return shown(read_message(body))


def shown(answer: AnswerFold) -> dict[str, Any]:
    """An answer as the caller gets it."""
    body: dict[str, Any] = json.loads(completion([(answer, PLAIN)], answer.usage, created=1))
    return body


def streamed(body: bytes) -> bytes:
    stream = ChatStream(StreamFrame(1, include_usage=True))
    return stream.feed(body) + stream.end()


@pytest.mark.parametrize("recording", recording_params(streamed=True, status=200, kind="messages"))
def test_a_folded_recording_says_what_its_stream_says(recording: Recording) -> None:
    folded = shown(fold(recording.response))

    assert of_completion(folded) == by_openai(streamed(recording.response))


@given(events=messages_streams(), data=st.data())
def test_any_folded_stream_says_what_the_stream_says(events: list[dict[str, Any]], data: st.DataObject) -> None:
    body = encode(events)
    folded = shown(fold(*data.draw(cuts(body))))

    assert of_completion(folded) == by_openai(streamed(body))


@pytest.mark.parametrize("recording", recording_params(streamed=False, status=200, kind="messages"))
def test_a_recorded_message_becomes_a_completion(recording: Recording) -> None:
    source = json.loads(recording.response)
    answer = of_completion(completed(recording.response))

    assert answer.text == "".join(block["text"] for block in source["content"] if block["type"] == "text")
    assert answer.calls == [
        (block["name"], block["input"]) for block in source["content"] if block["type"] == "tool_use"
    ]
    assert answer.completion_tokens == source["usage"]["output_tokens"]
    assert (answer.finish == "tool_calls") == bool(answer.calls)


def test_tool_arguments_are_upstreams_own_text() -> None:
    body = json.dumps(message([{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}])).replace(
        '"input": {}', '"input": {"n": 12345678901234567890123, "x": 1.0}'
    )
    call = completed(body.encode())["choices"][0]["message"]["tool_calls"][0]

    assert call["function"]["arguments"] == '{"n": 12345678901234567890123, "x": 1.0}'


@pytest.mark.parametrize(
    ("content", "stop_reason", "expected"),
    [
        ([], "end_turn", ""),
        ([], "max_tokens", ""),
        ([], "refusal", None),
        ([{"type": "tool_use", "id": "t", "name": "f", "input": {}}], "tool_use", None),
        ([{"type": "text", "text": ""}], "end_turn", ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "end_turn", "ab"),
        ([{"type": "block_of_tomorrow", "text": "x"}], "end_turn", ""),
    ],
)
def test_content_is_null_only_where_there_is_something_else(
    content: list[dict[str, Any]], stop_reason: str, expected: str | None
) -> None:
    body = completed(json.dumps(message(content, stop_reason=stop_reason)).encode())

    assert body["choices"][0]["message"]["content"] == expected


def test_prompt_tokens_count_what_was_read_from_and_written_to_caches() -> None:
    usage = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 300,
        "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 3},
        "service_tier": "standard",
    }
    body = completed(json.dumps(message("x", usage=usage)).encode())

    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (321, 325)
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 300
    assert body["usage"]["prompt_tokens_details"]["cache_write_tokens"] == 20
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3
    assert body["service_tier"] == "default"


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"id": 1}', b"\xff", b"[" * 5000])
def test_what_is_no_message_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(FailedError) as caught:
        read_message(body)

    assert caught.value.failure.kind is ErrorKind.PROTOCOL_ERROR


def test_a_stream_cut_short_is_no_answer() -> None:
    with pytest.raises(FailedError) as caught:
        fold(*text_stream("Hello")[:-1])

    assert caught.value.failure.kind is ErrorKind.CUT_OFF


def test_an_error_in_the_stream_is_no_answer() -> None:
    with pytest.raises(FailedError) as caught:
        fold(*text_stream("Hello")[:3], error_event("overloaded_error", "Overloaded"))

    assert caught.value.failure.kind is ErrorKind.OVERLOADED


@given(st.lists(st.binary()))
def test_arbitrary_bytes_never_fold_into_an_answer(pieces: list[bytes]) -> None:
    with pytest.raises(FailedError):
        fold(*pieces)


@pytest.mark.parametrize("text", ["5", "[]", "true", r'"\ud800"', r'"\q"'])
@pytest.mark.parametrize(("block_type", "field"), [("text", "text"), ("thinking", "thinking")])
def test_a_text_that_is_none_is_a_protocol_error(block_type: str, field: str, text: str) -> None:
    body = json.dumps(message([{"type": block_type, field: "here"}])).replace('"here"', text)

    with pytest.raises(FailedError) as caught:
        read_message(body.encode())

    assert caught.value.failure.kind is ErrorKind.PROTOCOL_ERROR


@given(text=st.text(), reasoning=st.text(), ascii_only=st.booleans())
def test_texts_arrive_whatever_is_in_them(text: str, reasoning: str, ascii_only: bool) -> None:
    blocks = [{"type": "thinking", "thinking": reasoning}, {"type": "text", "text": text}, {"type": "text"}]
    told = completed(json.dumps(message(blocks), ensure_ascii=ascii_only).encode())["choices"][0]["message"]

    assert told["content"] == text
    assert told.get("reasoning_content", "") == reasoning
