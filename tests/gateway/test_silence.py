"""What a silent stream of chunks says."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from gateway.doors.silence import Silence, StreamMaker
from tests.support import messages
from translators.answers.shape import PLAIN
from translators.chat.chunks import StreamFrame
from translators.chat.stream import ChatStream
from translators.completions.stream import CompletionStream

EVENTS = messages.text_stream()


def chunk_of(data: bytes) -> dict[str, Any]:
    """The only event of a piece."""
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    chunk: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    return chunk


def silence_of(frame: StreamFrame, makers: Sequence[StreamMaker], own_id: str = "chatcmpl-req_1") -> Silence:
    return Silence(frame, makers, own_id=own_id, model=lambda: "claude-opus-5-5")


def test_before_upstream_has_named_an_id_the_gateways_own_is_fixed_for_all_chunks() -> None:
    frame = StreamFrame(5)
    silence = silence_of(frame, [partial(ChatStream, frame)])
    first = chunk_of(silence.sign_of_life())
    stream = silence.makers[0](PLAIN)
    opening = chunk_of(stream.feed(EVENTS[0] + EVENTS[1] + EVENTS[2]).partition(b"\n\n")[0] + b"\n\n")

    assert (first["id"], first["model"]) == ("chatcmpl-req_1", "claude-opus-5-5")
    assert opening["id"] == "chatcmpl-req_1"
    assert first["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}]
    TypeAdapter(ChatCompletionChunk).validate_python(first, strict=True)


def test_once_upstream_has_named_an_id_it_stays_with_whoever_takes_over() -> None:
    frame = StreamFrame(5, include_usage=True)
    silence = silence_of(frame, [partial(ChatStream, frame)])
    silence.makers[0](PLAIN).feed(EVENTS[0])
    sign = chunk_of(silence.sign_of_life())
    other = silence.makers[0](PLAIN)
    other.feed(messages.text_stream(message_id="msg_02")[0])

    assert sign["id"] == other.id == "chatcmpl-msg_01"
    assert sign["usage"] is None


def test_an_attempt_that_was_never_told_of_leaves_the_next_its_own_id() -> None:
    frame = StreamFrame(5)
    silence = silence_of(frame, [partial(ChatStream, frame)])
    silence.makers[0](PLAIN).feed(EVENTS[0])
    other = silence.makers[0](PLAIN)
    other.feed(messages.text_stream(message_id="msg_02")[0])

    assert other.id == "chatcmpl-msg_02"


def test_a_choice_that_has_ended_says_nothing_more() -> None:
    frame = StreamFrame(5, id="chatcmpl-req_1", choices=2)
    silence = silence_of(frame, [partial(ChatStream, frame, index=index) for index in range(2)])
    first, second = (make(PLAIN) for make in silence.makers)
    before = chunk_of(silence.sign_of_life())
    first.feed(b"".join(EVENTS))
    between = chunk_of(silence.sign_of_life())
    second.feed(b"".join(EVENTS))

    assert before["choices"][0]["index"] == 0
    assert between["choices"][0]["index"] == 1
    assert silence.sign_of_life() == b""


def test_the_legacy_form_has_an_empty_text() -> None:
    frame = StreamFrame(5)
    silence = silence_of(frame, [partial(CompletionStream, frame, echo="Say: ")], own_id="cmpl-req_1")
    sign = chunk_of(silence.sign_of_life())

    assert sign["id"] == "cmpl-req_1"
    assert sign["choices"] == [{"text": "", "index": 0, "logprobs": None, "finish_reason": None}]
    TypeAdapter(Completion).validate_python({**sign, "choices": [{**sign["choices"][0], "finish_reason": "stop"}]})
