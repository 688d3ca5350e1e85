"""The stream translator: real recordings and made-up streams, judged by both official SDKs."""

import json
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
    sse,
    text_block,
    text_stream,
    thinking_block,
    thinking_stream,
    tool_block,
    tool_stream,
)
from tests.support.oracles import by_anthropic, by_openai, chunks_of, is_done
from tests.support.recordings import Recording, recording_params
from translators.answers.shape import AnswerShape
from translators.chat.stream import ChatStream, State, StreamFrame
from translators.errors import ErrorKind

STREAMS = recording_params(streamed=True, status=200, kind="messages")


def translate(pieces: list[bytes], *, include_usage: bool = True) -> tuple[bytes, ChatStream]:
    stream = ChatStream(StreamFrame(1_700_000_000, include_usage))
    output = b"".join(stream.feed(piece) for piece in pieces)
    return output + stream.end(), stream


def deltas(*pieces: bytes, include_usage: bool = False) -> list[dict[str, Any]]:
    """The deltas of a finished stream."""
    output, stream = translate(list(pieces), include_usage=include_usage)
    assert stream.state is State.DONE
    return [choice["delta"] for chunk in chunks_of(output) for choice in chunk["choices"]]


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recording_reads_the_same_through_both_sdks(recording: Recording) -> None:
    output, stream = translate([recording.response])

    assert stream.state is State.DONE
    assert is_done(output)
    assert by_openai(output) == by_anthropic(recording.response)


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recording_gives_the_same_bytes_one_byte_at_a_time(recording: Recording) -> None:
    body = recording.response

    assert translate([body[place : place + 1] for place in range(len(body))])[0] == translate([body])[0]


@pytest.mark.parametrize("recording", STREAMS)
@settings(max_examples=10)
@given(data=st.data())
def test_a_recording_gives_the_same_bytes_however_it_is_cut(recording: Recording, data: st.DataObject) -> None:
    assert translate(data.draw(cuts(recording.response)))[0] == translate([recording.response])[0]


@given(events=messages_streams(), newline=newlines, padding=paddings, data=st.data())
def test_any_stream_reads_the_same_through_both_sdks(
    events: list[dict[str, Any]], newline: bytes, padding: list[int], data: st.DataObject
) -> None:
    body = encode(events, newline, padding)
    output, stream = translate(data.draw(cuts(body)))

    assert stream.state is State.DONE
    assert is_done(output)
    assert by_openai(output) == by_anthropic(encode(events))


@given(events=messages_streams(), data=st.data())
def test_done_comes_exactly_when_upstream_said_message_stop(events: list[dict[str, Any]], data: st.DataObject) -> None:
    body = encode(events)
    stop = body.index(
        b'data: {"type":"message_stop"' if b'data: {"type":"message_stop"' in body else b"event: message_stop"
    )
    cut = data.draw(st.integers(0, stop))
    output, stream = translate([body[:cut]])

    assert b"[DONE]" not in output.rsplit(b"\n\n", 2)[-2:]
    assert not output.endswith(b"data: [DONE]\n\n")
    assert stream.failure is not None
    assert stream.failure.kind is ErrorKind.CUT_OFF


@given(st.lists(st.binary()))
def test_arbitrary_bytes_end_in_a_failure_and_in_nothing_else(pieces: list[bytes]) -> None:
    output, stream = translate(pieces)

    assert stream.state is State.FAILED
    assert b"[DONE]" not in output


@given(events=messages_streams(), data=st.data())
def test_one_damaged_byte_never_raises(events: list[dict[str, Any]], data: st.DataObject) -> None:
    body = bytearray(encode(events))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    output, stream = translate([bytes(body)])

    assert stream.state in (State.DONE, State.FAILED)
    assert is_done(output) == (stream.state is State.DONE)
    output.decode()


def test_a_text_stream_opens_once_and_finishes_with_usage() -> None:
    output, _ = translate(text_stream("Hi there"))
    first, *texts, finish, usage = chunks_of(output)

    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert [chunk["choices"][0]["delta"] for chunk in texts] == [{"content": "Hi"}, {"content": " there"}]
    assert (finish["choices"][0]["delta"], finish["choices"][0]["finish_reason"]) == ({}, "stop")
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 19)
    assert all(chunk["usage"] is None for chunk in (first, *texts, finish))
    assert {chunk["id"] for chunk in (first, *texts, finish, usage)} == {"chatcmpl-msg_01"}


def test_without_include_usage_there_is_no_word_of_it() -> None:
    output, _ = translate(text_stream("Hi"), include_usage=False)

    assert b"usage" not in output


def test_all_events_of_one_read_leave_in_one_piece() -> None:
    stream = ChatStream(StreamFrame(1))

    assert len(chunks_of(stream.feed(b"".join(text_stream("a b c"))))) == 5


def test_parallel_calls_get_dense_indices_whatever_the_blocks_index() -> None:
    body = tool_stream(("toolu_a", "first", '{"x": 1}'), ("toolu_b", "second", ""), text="Let me see.")
    heads = [call for delta in deltas(*body) for call in delta.get("tool_calls", []) if "id" in call]
    pieces = [call for delta in deltas(*body) for call in delta.get("tool_calls", []) if "id" not in call]

    assert [(head["index"], head["id"], head["type"], head["function"]) for head in heads] == [
        (0, "toolu_a", "function", {"name": "first", "arguments": ""}),
        (1, "toolu_b", "function", {"name": "second", "arguments": ""}),
    ]
    assert all(piece.keys() == {"index", "function"} for piece in pieces)
    assert "".join(piece["function"]["arguments"] for piece in pieces if piece["index"] == 0) == '{"x": 1}'
    assert [piece["function"]["arguments"] for piece in pieces if piece["index"] == 1] == ["{}"]


def test_a_call_as_the_first_visible_block_opens_with_null() -> None:
    opening = deltas(*tool_stream(("toolu_a", "f", "{}")))[0]

    assert opening == {"role": "assistant", "content": None, "refusal": None}


def test_an_empty_text_block_before_a_call_leaves_the_content_null() -> None:
    body = sse(*message_events(text_block("", pieces=[]), tool_block("toolu_a", "f", "{}"), stop_reason="tool_use"))

    assert all(delta.get("content") is None for delta in deltas(body))


def test_an_input_that_comes_whole_in_the_block_start_is_kept() -> None:
    block = tool_block("toolu_a", "f", "", pieces=[])
    body = sse(*message_events(block._replace(start={**block.start, "input": {"x": [1, "ü"]}}), stop_reason="tool_use"))

    assert by_openai(translate([body])[0]).calls == [("f", {"x": [1, "ü"]})]


def test_the_initial_text_of_a_block_is_sent() -> None:
    block = text_block("b", pieces=["b"])
    body = sse(*message_events(block._replace(start={"type": "text", "text": "a"})))

    assert by_openai(translate([body])[0]).text == "ab"


def test_server_tools_are_no_calls_and_take_no_index() -> None:
    server = tool_block("srvtoolu_1", "web_search", '{"query": "x"}')
    server = server._replace(start={**server.start, "type": "server_tool_use"})
    body = sse(*message_events(server, tool_block("toolu_a", "f", "{}"), stop_reason="tool_use"))
    calls = [call for delta in deltas(body) for call in delta.get("tool_calls", [])]

    assert {call["index"] for call in calls} == {0}
    assert b"srvtoolu" not in translate([body])[0]


def test_thinking_has_its_own_field_and_leaves_the_content_alone() -> None:
    seen = deltas(*thinking_stream("Hm.", "Yes."))

    assert seen[0] == {"role": "assistant", "content": None, "refusal": None}
    assert {"reasoning_content": "Hm."} in seen
    assert by_openai(translate(thinking_stream("Hm.", "Yes."))[0]).text == "Yes."


def test_thinking_that_is_not_shown_is_a_sign_of_life_but_no_output() -> None:
    stream = ChatStream(StreamFrame(1))
    output = stream.feed(sse(*message_events(thinking_block(""))[:3]))

    assert output == b""
    assert stream.has_started_block


@pytest.mark.parametrize(
    ("stop_reason", "content"), [("end_turn", ""), ("max_tokens", ""), ("refusal", None), ("stop_sequence", "")]
)
def test_an_answer_without_a_block_is_an_empty_text_or_a_refusal(stop_reason: str, content: str | None) -> None:
    output, _ = translate([sse(*message_events(stop_reason=stop_reason))])
    opening, finish = (chunk["choices"][0] for chunk in chunks_of(output)[:1] + chunks_of(output)[-2:-1])

    assert opening["delta"]["content"] == content
    assert finish["finish_reason"] == by_anthropic(sse(*message_events(stop_reason=stop_reason))).finish


def test_a_refusal_says_why() -> None:
    events = message_events(text_block("Sure, the first"), stop_reason="refusal")
    events[-2]["delta"]["stop_details"] = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    seen = deltas(sse(*events))

    assert [delta["refusal"] for delta in seen if delta.get("refusal")] == ["Not this."]


def test_an_error_event_fails_the_stream_and_keeps_upstreams_type() -> None:
    body = text_stream("Hello")
    output, stream = translate([*body[:3], error_event("overloaded_error", "Overloaded"), *body[3:]])

    assert stream.failure is not None
    assert (stream.failure.kind, stream.failure.upstream_type) == (ErrorKind.OVERLOADED, "overloaded_error")
    assert b"[DONE]" not in output
    assert json.loads(stream.failure.as_event()[6:])["error"]["code"] == "server_is_overloaded"


def test_an_error_event_that_is_no_json_is_an_error_too() -> None:
    _, stream = translate([b"event: error\ndata: upstream exploded\n\n"])

    assert stream.failure is not None
    assert stream.failure.message == "upstream exploded"


@pytest.mark.parametrize(
    "event",
    [
        b"data: not json\n\n",
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":5}}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff"}}\n\n',
        b'data: {"type":"content_block_delta","index":"0"}\n\n',
        b"data: []\n\n",
    ],
)
def test_what_cannot_be_read_is_shown_and_not_skipped(event: bytes) -> None:
    body = text_stream("Hello")
    output, stream = translate([*body[:3], event, *body[3:]])

    assert stream.failure is not None
    assert stream.failure.kind is ErrorKind.PROTOCOL_ERROR
    assert b"[DONE]" not in output
    output.decode()


@pytest.mark.parametrize("place", range(1, 7))
def test_events_of_tomorrow_are_passed_over_and_counted(place: int) -> None:
    body = text_stream("Hello")
    news = sse({"type": "content_block_news", "index": 0, "what": [1]})
    output, stream = translate([*body[:place], news, *body[place:]])

    assert output == translate(body)[0]
    assert stream.unknown_events == (1 if place < len(body) else 0)


@pytest.mark.parametrize("first", range(1, 6))
def test_a_stream_that_does_not_begin_with_its_beginning_is_broken(first: int) -> None:
    _, stream = translate(text_stream("Hello")[first:])

    assert stream.failure is not None
    assert stream.failure.kind in (ErrorKind.PROTOCOL_ERROR, ErrorKind.CUT_OFF)


def test_nothing_comes_after_the_end() -> None:
    stream = ChatStream(StreamFrame(1))
    stream.feed(b"".join(text_stream("Hello")))

    assert stream.feed(b"".join(text_stream("again"))) == b""
    assert stream.end() == b""
    assert stream.failure is None


def test_names_that_were_rewritten_are_restored() -> None:
    stream = ChatStream(StreamFrame(1), AnswerShape({"get_weather_1a2b": "get.weather"}))
    output = stream.feed(b"".join(tool_stream(("toolu_a", "get_weather_1a2b", "{}"))))

    assert by_openai(output).calls == [("get.weather", {})]


def test_an_id_too_long_for_openais_clients_is_shortened() -> None:
    heads = deltas(*tool_stream(("toolu_" + "x" * 60, "f", "{}")))[1]

    assert len(heads["tool_calls"][0]["id"]) <= 40
