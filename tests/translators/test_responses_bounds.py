"""What one response holds and repeats is bounded, whatever its request and upstream say."""

import json
from typing import Any

import pytest
from msgspec import Raw

from tests.support.messages import message, text_stream
from tests.support.responses_door import events_of, folded, frame, streamed
from tests.support.responses_grammar import stream_violations
from tests.support.responses_oracle import sdk_violations
from translators.errors import ErrorKind, FailedError
from translators.responses import answer
from translators.responses.answer import read_response
from translators.responses.events import keepalive_event, queued_events
from translators.responses.frame import DEFAULTS, MAX_ECHOED_AGAIN_BYTES, MAX_ECHOED_BYTES
from translators.responses.stream import ResponsesStream

LONG = "x" * MAX_ECHOED_AGAIN_BYTES
TOO_LONG = "x" * MAX_ECHOED_BYTES


def settings_of(**settings: Any) -> dict[str, Raw]:
    return {name: Raw(json.dumps(value).encode()) for name, value in settings.items()}


def test_only_the_first_and_the_last_event_repeat_long_settings() -> None:
    shared = frame(settings=settings_of(instructions=LONG, tools=[{"type": "function", "name": LONG}], user="u_1"))
    stream = ResponsesStream(shared)
    output = keepalive_event(shared) + keepalive_event(shared) + stream.feed(b"".join(text_stream()))
    events = events_of(output)
    told = [event["response"] for event in events if "response" in event]

    assert stream_violations(output) == []
    assert sdk_violations(events) == []
    assert [response["status"] for response in told] == ["in_progress", "in_progress", "in_progress", "completed"]
    assert [response["instructions"] for response in told] == [LONG, None, None, LONG]
    assert [len(response["tools"]) for response in told] == [1, 0, 0, 1]
    assert {response["user"] for response in told} == {"u_1"}


def test_a_queued_response_repeats_long_settings_once() -> None:
    created, queued = events_of(queued_events(frame(settings=settings_of(instructions=LONG))))

    assert (created["response"]["instructions"], queued["response"]["instructions"]) == (LONG, None)


def test_settings_that_are_not_long_stand_in_all_events() -> None:
    shared = frame(settings=settings_of(instructions="Be brief.", metadata={"a": "b"}))
    created, first = events_of(keepalive_event(shared))

    assert created["response"] == first["response"]


def test_settings_that_are_too_long_are_repeated_nowhere_and_short_ones_are() -> None:
    asked = settings_of(instructions=TOO_LONG, tools=[{"type": "function", "name": "f"}], user="u_1")
    response = folded(b"".join(text_stream()), settings=asked)

    assert response["instructions"] == json.loads(DEFAULTS["instructions"])
    assert (response["user"], len(response["tools"])) == ("u_1", 1)


def test_a_large_answer_is_a_failure_streamed_folded_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    fits, large = ["x" * 5_000] * 15, ["x" * 5_000] * 30
    monkeypatch.setattr(answer, "MAX_CONTENT_BYTES", 100_000)
    monkeypatch.setattr(answer.ResponsesReader, "_most_bytes", 100_000)
    _, fitting = streamed(text_stream(pieces=fits))
    output, stream = streamed(text_stream(pieces=large))

    assert fitting.failure is None
    assert stream.failure is not None
    assert stream.failure.kind is ErrorKind.PROTOCOL_ERROR
    assert b"response.completed" not in output
    assert folded(b"".join(text_stream(pieces=fits)))["status"] == "completed"
    for attempt in (
        lambda: folded(b"".join(text_stream(pieces=large * 2))),
        lambda: read_response(json.dumps(message("x" * 150_000)).encode(), frame()),
    ):
        with pytest.raises(FailedError, match="than 100000 bytes"):
            attempt()


def test_many_small_pieces_are_no_large_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "MAX_CONTENT_BYTES", 100_000)
    monkeypatch.setattr(answer.ResponsesReader, "_most_bytes", 100_000)
    pieces = text_stream(pieces=["word "] * 4_000)
    output, stream = streamed(pieces)

    assert len(b"".join(pieces)) > 400_000
    assert stream.failure is None
    assert b"response.completed" in output
