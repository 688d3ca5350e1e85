"""The pattern for usual deltas: with it and without it a stream is read in the same way."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import cuts, encode, messages_streams, text_stream
from tests.support.recordings import Recording, recording_params
from translators.answers import reader
from translators.answers.deltas import DELTA
from translators.answers.shape import PLAIN, AnswerShape, TextCall
from translators.chat.stream import ChatStream, StreamFrame
from translators.wire.messages import EVENT_DECODER

SHAPES = [
    PLAIN,
    AnswerShape(is_legacy=True),
    AnswerShape(strips_fences=True),
    AnswerShape(only_json=True),
    AnswerShape(stops=("\n\n",)),
    AnswerShape(shows_reasoning_twice=True),
    AnswerShape(text_call=TextCall("get_weather")),
    AnswerShape(text_call=TextCall(None)),
    AnswerShape(shows_thinking_blocks=True, counts_text=True, continues_pauses=True),
]
shapes = st.sampled_from(SHAPES)

# What a byte of a string could be, and what it must not be.
_CHARACTERS = [
    *(b"a", b" ", b"\x7f", "é".encode(), "\u2028".encode(), "😀".encode()),
    *(b'\\"', b"\\\\", b"\\/", b"\\n", b"\\u00e9", b"\\ud83d", b"\\ud83d\\ude00"),
    *(b"\\x", b"\\", b'"', b"\\u12", b"\n", b"\r", b"\x00", b"\t", b"\xff", b"\xc3", b"\xed\xa0\x80", b"}", b"\n\n"),
]
strings = st.lists(st.sampled_from(_CHARACTERS), max_size=6).map(b"".join)


@st.composite
def deltas(draw: st.DrawFn) -> bytes:
    """An event that is a delta, or nearly one."""
    index = draw(st.sampled_from([b"0", b"1", b"2", b"00", b"-1", b"1.0", b'"0"', b"12345678901"]))
    kind = draw(st.sampled_from([b"text_delta", b"input_json_delta", b"thinking_delta", b"signature_delta"]))
    field = draw(st.sampled_from([b"text", b"partial_json", b"thinking", b"signature"]))
    value = draw(st.just(b'"%b"' % draw(strings)) | st.sampled_from([b"null", b"1", b"{}"]))
    space = draw(st.sampled_from([b"", b" ", b"      ", b"\t"]))
    more = draw(st.sampled_from([b"", b"", b"", b',"new":1']))
    name = draw(st.sampled_from([b"content_block_delta", b"content_block_delta", b"ping", b""]))
    end = draw(st.sampled_from([b"\n\n", b"\n\n", b"\n\n", b"\r\n\r\n", b"\n", b"\ndata: \n\n", b"\n: comment\n\n"]))
    body = b'{"type":"content_block_delta","index":%b,"delta":{"type":"%b","%b":%b%b}%b}'
    return b"event: %b\ndata: %b%b" % (name, body % (index, kind, field, value, more, space), end)


@contextmanager
def without_the_pattern() -> Iterator[None]:
    with mock.patch.object(reader, "DELTA", re.compile(b"(?!)")):
        yield


def result(pieces: list[bytes], shape: AnswerShape) -> list[object]:
    """Everything that is to be known of a stream after each of its pieces."""
    stream = ChatStream(StreamFrame(1, include_usage=True, reports=True), shape)
    seen: list[object] = []
    for piece in pieces:
        output = stream.feed(piece)
        seen.append((output, stream.state, stream.failure))
    if not stream.is_over:
        seen.append((stream.end(), stream.state, stream.failure))
    return [*seen, stream.usage, stream.stop_reason, stream.unknown_events, stream.has_text]


def assert_same(pieces: list[bytes], shape: AnswerShape) -> None:
    quickly = result(pieces, shape)
    with without_the_pattern():
        assert quickly == result(pieces, shape)


@given(st.data())
def test_any_stream_is_read_in_the_same_way(data: st.DataObject) -> None:
    body = encode(data.draw(messages_streams()), padding=data.draw(st.lists(st.integers(0, 9), min_size=1)))

    assert_same(data.draw(cuts(body)), data.draw(shapes))


@given(st.data(), st.lists(deltas(), min_size=1, max_size=4))
def test_so_is_one_that_is_broken(data: st.DataObject, broken: list[bytes]) -> None:
    events = text_stream("Hello, world.")
    place = data.draw(st.integers(0, len(events)))
    body = b"".join([*events[:place], *broken, *events[place:]])

    assert_same(data.draw(cuts(body)), data.draw(shapes))


@pytest.mark.parametrize("recording", recording_params(streamed=True, status=200, kind="messages"))
@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_so_is_every_recording(recording: Recording, shape: AnswerShape) -> None:
    body = recording.response
    for size in (len(body), 1000, 37):
        assert_same([body[begin : begin + size] for begin in range(0, len(body), size)], shape)


@given(deltas())
def test_what_fits_is_an_event_with_that_meaning(event: bytes) -> None:
    match = DELTA.fullmatch(event)
    if match is None:
        return
    line = event.split(b"\n")[1].removeprefix(b"data: ")
    decoded: object = EVENT_DECODER.decode(line)

    assert str(getattr(decoded, "index", None)) == match[1].decode()
    delta = getattr(decoded, "delta", None)
    assert getattr(delta, "type", None) == match[2].decode()
    field = {b"text_delta": "text", b"input_json_delta": "partial_json", b"thinking_delta": "thinking"}[match[2]]
    assert bytes(getattr(delta, field)) == match[3]


USUAL = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":3,"delta":{"type":%b}%b}\n\n'


@pytest.mark.parametrize(
    ("delta", "blanks"),
    [
        (b'"text_delta","text":"Hi"', b""),
        (b'"text_delta","text":""', b"      "),
        (b'"text_delta","text":"\\u00e9\\n\\"quoted\\""', b" "),
        (b'"text_delta","text":"' + "naïve 😀".encode() + b'"', b" "),
        (b'"input_json_delta","partial_json":"{\\"a\\": "', b"  "),
        (b'"thinking_delta","thinking":"Hm"', b""),
    ],
)
def test_what_the_hosts_send_fits(delta: bytes, blanks: bytes) -> None:
    assert DELTA.fullmatch(USUAL % (delta, blanks))


Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "damage",
    [
        lambda event: event.replace(b"\n\n", b"\n"),
        lambda event: event.replace(b"\n", b"\r\n"),
        lambda event: event.replace(b"Hi", b"\\x"),
        lambda event: event.replace(b"Hi", b"\n"),
        lambda event: event.replace(b'"Hi"', b"null"),
        lambda event: event.replace(b'"text":', b'"thinking":'),
        lambda event: event.replace(b"}", b',"more":1}', 1),
        lambda event: event.replace(b"event: content_block_delta", b"event: ping"),
        lambda event: event.replace(b":3,", b":03,"),
    ],
)
def test_anything_else_does_not(damage: Damage) -> None:
    event = USUAL % (b'"text_delta","text":"Hi"', b" ")

    assert DELTA.fullmatch(event)
    assert not DELTA.match(damage(event))


def test_an_endless_text_is_looked_at_once_a_read() -> None:
    # A pattern that goes back and forth would take years.
    begin = USUAL.partition(b"%b")[0] + b'"text_delta","text":"'

    assert DELTA.match(begin + b"\\n" * 500_000) is None
    assert DELTA.match(begin + b"\\" * 500_001) is None
