"""The writer of the Responses door: recordings and made-up answers, judged by the grammar and by the openai SDK."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.messages import (
    cuts,
    encode,
    error_event,
    message_events,
    messages_streams,
    newlines,
    paddings,
    text_block,
    text_stream,
    thinking_block,
    thinking_stream,
    tool_stream,
)
from tests.support.recordings import Recording, recording_params
from tests.support.responses_door import events_of, folded, frame, streamed, unstreamed, whole
from tests.support.responses_grammar import response_violations, stream_violations
from tests.support.responses_oracle import sdk_response, sdk_violations
from translators.answers.answer_types import State
from translators.errors import ErrorKind, Failure
from translators.responses.events import failure_events, keepalive_event
from translators.responses.stream import ResponsesStream

STREAMS = recording_params(streamed=True, status=200, kind="messages")
WHOLE = recording_params(streamed=False, status=200, kind="messages")
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def response_of(output: bytes) -> dict[str, Any]:
    """The response of the last event."""
    response: dict[str, Any] = events_of(output)[-1]["response"]
    return response


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recording_becomes_a_stream_that_both_judges_accept(recording: Recording) -> None:
    output, stream = streamed([recording.response])

    assert stream.state is State.DONE
    assert stream_violations(output) == []
    assert sdk_violations(events_of(output)) == []


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recording_says_the_same_streamed_folded_and_whole(recording: Recording) -> None:
    response = response_of(streamed([recording.response])[0])

    assert folded(recording.response) == response
    if (message := unstreamed(recording.response)) is not None:
        assert whole(message) == response


@pytest.mark.parametrize("recording", WHOLE)
def test_a_recorded_message_becomes_a_response_that_both_judges_accept(recording: Recording) -> None:
    response = whole(recording.response)

    assert response_violations(response) == []
    sdk_response(response)


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recording_gives_the_same_bytes_one_byte_at_a_time(recording: Recording) -> None:
    body = recording.response

    assert streamed([body[place : place + 1] for place in range(len(body))])[0] == streamed([body])[0]


@pytest.mark.parametrize("recording", STREAMS)
@settings(max_examples=5)
@given(data=st.data())
def test_a_recording_gives_the_same_bytes_however_it_is_cut(recording: Recording, data: st.DataObject) -> None:
    assert streamed(data.draw(cuts(recording.response)))[0] == streamed([recording.response])[0]


@given(events=messages_streams(), newline=newlines, padding=paddings, data=st.data())
def test_any_answer_becomes_a_stream_that_both_judges_accept(
    events: list[dict[str, Any]], newline: bytes, padding: list[int], data: st.DataObject
) -> None:
    body = encode(events, newline, padding)
    output, stream = streamed(data.draw(cuts(body)))

    assert stream.state is State.DONE
    assert stream_violations(output) == []
    assert sdk_violations(events_of(output)) == []
    assert output == streamed([body])[0]


@given(events=messages_streams())
def test_any_answer_says_the_same_streamed_folded_and_whole(events: list[dict[str, Any]]) -> None:
    body = encode(events)
    response = response_of(streamed([body])[0])
    message = unstreamed(body)

    assert response_violations(response) == []
    assert folded(body) == response
    assert message is not None
    assert whole(message) == response


@given(events=messages_streams(), data=st.data())
def test_a_terminal_event_comes_exactly_when_upstream_said_message_stop(
    events: list[dict[str, Any]], data: st.DataObject
) -> None:
    body = encode(events)
    cut = data.draw(st.integers(0, body.rindex(b"event: message_stop")))
    output, stream = streamed([body[:cut]])

    assert not any(event["type"] in TERMINAL for event in events_of(output))
    assert stream.failure is not None
    assert stream.failure.kind is ErrorKind.CUT_OFF


@given(events=messages_streams(), data=st.data())
def test_a_failure_anywhere_ends_in_failed_and_error(events: list[dict[str, Any]], data: st.DataObject) -> None:
    body = encode(events)
    started = frame()
    stream = ResponsesStream(started)
    output = stream.feed(body[: data.draw(st.integers(0, body.rindex(b"event: message_stop")))])
    for _ in range(data.draw(st.integers(0, 2))):
        output += keepalive_event(started)
    output += stream.end()
    assert stream.failure is not None
    output += failure_events(started, stream.failure)

    assert stream_violations(output) == []
    assert sdk_violations(events_of(output)) == []
    assert [event["type"] for event in events_of(output)[-2:]] == ["response.failed", "error"]


@given(st.lists(st.binary()))
def test_arbitrary_bytes_end_in_a_failure_and_in_nothing_else(pieces: list[bytes]) -> None:
    output, stream = streamed(pieces)

    assert stream.state is State.FAILED
    assert output == b""


@given(events=messages_streams(), data=st.data())
def test_one_damaged_byte_never_raises(events: list[dict[str, Any]], data: st.DataObject) -> None:
    body = bytearray(encode(events))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    output, stream = streamed([bytes(body)])

    assert stream.state in (State.DONE, State.FAILED)
    if stream.state is State.DONE:
        assert events_of(output)[-1]["type"] in TERMINAL


def test_text_deltas_are_the_texts_that_upstream_sent() -> None:
    output, _ = streamed([b"".join(text_stream(pieces=["Hé", "llo \n", "\U0001f600"]))])
    deltas = [event for event in events_of(output) if event["type"] == "response.output_text.delta"]

    assert [event["delta"] for event in deltas] == ["Hé", "llo \n", "\U0001f600"]
    assert response_of(output)["output"][0]["content"][0]["text"] == "Héllo \n\U0001f600"


def test_nothing_is_written_before_there_is_something_to_read() -> None:
    events = thinking_stream("")
    stream = ResponsesStream(frame())

    # The message has begun, and a thought that stays hidden.
    assert stream.feed(b"".join(events[:2])) == b""
    assert not stream.has_content
    assert stream.has_started_block


def test_a_second_attempt_goes_on_where_the_first_has_said_nothing() -> None:
    shared = frame()
    first = ResponsesStream(shared)
    output = first.feed(text_stream()[0]) + keepalive_event(shared) + keepalive_event(shared)
    output += first.feed(error_event())
    assert first.failure is not None
    second = ResponsesStream(shared)
    output += second.feed(b"".join(text_stream()))
    kinds = [event["type"] for event in events_of(output)]

    assert stream_violations(output) == []
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.in_progress",
        "response.output_item.added",
    ]


def test_a_sign_of_life_comes_before_anything_is_known() -> None:
    shared = frame()
    first, second = events_of(keepalive_event(shared))

    assert (first["type"], first["response"]["model"]) == ("response.created", "asked-for")
    assert second["type"] == "response.in_progress"
    assert events_of(keepalive_event(shared))[0]["sequence_number"] == 2


def test_a_sign_of_life_between_the_events_of_an_item_breaks_nothing() -> None:
    shared = frame()
    stream = ResponsesStream(shared)
    output = b"".join(
        [stream.feed(piece) + keepalive_event(shared) for piece in tool_stream(("toolu_1", "f", "{}"))[:-1]]
    )
    output += stream.feed(tool_stream()[-1])

    assert stream_violations(output) == []
    assert sdk_violations(events_of(output)) == []


def test_a_rate_limit_says_when_to_try_again_in_codexs_words() -> None:
    failure = Failure(ErrorKind.RATE_LIMITED, "All keys are at their limits.", retry_after_seconds=1.5)
    failed, error = events_of(failure_events(frame(), failure))[-2:]

    assert failed["response"]["error"] == {
        "code": "rate_limit_exceeded",
        "message": "All keys are at their limits. Please try again in 1.5s.",
    }
    assert error["error"]["code"] == error["code"] == "rate_limit_exceeded"
    assert error["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_failure_has_a_code_that_clients_know(kind: ErrorKind) -> None:
    output = failure_events(frame(), Failure(kind, "What happened: \ud83d"))

    assert stream_violations(output) == []


def test_a_failure_keeps_the_items_that_were_finished() -> None:
    shared = frame()
    stream = ResponsesStream(shared)
    blocks = message_events(thinking_block(), text_block("Hello"), text_block("rest"))
    output = stream.feed(encode(blocks[:-4])) + stream.feed(error_event())
    assert stream.failure is not None
    output += failure_events(shared, stream.failure)
    failed = events_of(output)[-2]["response"]

    assert stream_violations(output) == []
    assert [item["type"] for item in failed["output"]] == ["reasoning"]
