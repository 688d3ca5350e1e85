"""The event decoder, against the rules of the HTML standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import cuts, encode, messages_streams, newlines, paddings
from translators.sse import Event, EventDecoder, EventTooLargeError


def decode(*pieces: bytes, max_event_bytes: int = 1000) -> list[Event]:
    decoder = EventDecoder(max_event_bytes)
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_what_stands_before_an_empty_line(newline: bytes) -> None:
    lines = [b"event: ping", b'data: {"a": 1}', b"", b"data:no space", b"", b""]

    assert decode(newline.join(lines)) == [Event(b"ping", b'{"a": 1}'), Event(b"", b"no space")]


def test_several_data_lines_are_joined_with_a_line_feed() -> None:
    assert decode(b"data: a\ndata:  b\ndata\n\n") == [Event(b"", b"a\n b\n")]


def test_comments_other_fields_and_events_without_data_are_passed_over() -> None:
    assert decode(b": keep-alive\n\nid: 7\nretry: 10\n\nevent: lonely\n\ndata: x\n\n") == [Event(b"", b"x")]


def test_a_name_does_not_outlive_its_event() -> None:
    assert decode(b"event: a\n\ndata: 1\n\n") == [Event(b"", b"1")]


def test_a_byte_order_mark_at_the_very_beginning_is_no_part_of_the_first_line() -> None:
    assert decode(b"\xef\xbb", b"\xbfdata: x\n\n", b"\xef\xbb\xbfdata: y\n\n") == [Event(b"", b"x")]


def test_a_carriage_return_ends_its_line_at_once_and_takes_a_later_line_feed_with_it() -> None:
    assert decode(b"data: x\r\r") == [Event(b"", b"x")]
    assert decode(b"data: x\r", b"\n", b"data: y\r", b"\n\r", b"\n") == [Event(b"", b"x\ny")]


def test_an_event_beyond_the_bound_is_refused_however_it_comes() -> None:
    for pieces in ([b"data: " + b"x" * 101], [b"x"] * 101, [b"data: " + b"x" * 20 + b"\n"] * 6):
        with pytest.raises(EventTooLargeError):
            decode(*pieces, max_event_bytes=100)


def test_the_bound_is_for_one_event_not_for_a_read() -> None:
    assert (
        len(decode(b"data: " + b"x" * 50 + b"\n\n" + b": " + b"c" * 90 + b"\n" + b"data: y\n\n", max_event_bytes=100))
        == 2
    )
    assert len(decode((b"data: " + b"x" * 80 + b"\n\n") * 100, max_event_bytes=100)) == 100


def test_the_last_event_may_lack_its_line_ends() -> None:
    decoder = EventDecoder()

    assert decoder.feed(b"event: message_stop\ndata: {}") == []
    assert decoder.end() == [Event(b"message_stop", b"{}")]
    assert decoder.end() == []


@given(events=messages_streams(), newline=newlines, padding=paddings, data=st.data())
def test_events_are_the_same_however_the_network_cuts_the_stream(
    events: list[dict[str, object]], newline: bytes, padding: list[int], data: st.DataObject
) -> None:
    stream = encode(events, newline, padding)

    assert decode(*data.draw(cuts(stream)), max_event_bytes=10**7) == decode(stream, max_event_bytes=10**7)
    assert len(decode(stream, max_event_bytes=10**7)) == len(events)


@given(st.binary(), st.data())
def test_arbitrary_bytes_give_the_same_events_however_they_are_cut(stream: bytes, data: st.DataObject) -> None:
    assert decode(*data.draw(cuts(stream))) == decode(stream)
