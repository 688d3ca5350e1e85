"""Stop sequences of white space, which the gateway looks for itself."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import messages
from tests.support.costs import growth
from tests.support.messages import fragments
from translators.answers.answer import AnswerFold
from translators.answers.answer_types import State
from translators.answers.shape import AnswerShape
from translators.answers.stops import MAX_BLANK_LENGTH, MAX_BLANK_STOPS, StopCutter, blank_stops
from translators.chat.chunks import StreamFrame
from translators.chat.stream import ChatStream

_blanks = st.text(alphabet=" \n\t", min_size=1, max_size=3)
_stops = st.lists(_blanks, min_size=1, max_size=3).map(tuple)


def through(stops: tuple[str, ...], pieces: Sequence[str]) -> str:
    cutter = StopCutter(stops)
    return "".join([cutter.feed(piece) for piece in pieces]) + cutter.end()


@pytest.mark.parametrize(
    ("stops", "text", "expected"),
    [
        (("\n",), "line one\nline two", "line one"),
        (("\n\n",), "a\nb\n\nc", "a\nb"),
        (("\n\n", "\t"), "a\n\tb", "a\n"),
        (("\n\t\n", "\t"), "a\n\t\nb", "a\n"),
        ((" \n", "\n"), "a \nb", "a"),
        (("\n",), "\n", ""),
        (("\n\n",), "a\n", "a\n"),
        (("\n",), "", ""),
    ],
)
def test_the_text_ends_where_the_first_stop_sequence_is_complete(
    stops: tuple[str, ...], text: str, expected: str
) -> None:
    assert through(stops, [text]) == expected
    assert through(stops, list(text)) == expected


@given(stops=_stops, text=st.text(alphabet="a \n\t", max_size=12), data=st.data())
def test_the_place_is_the_same_however_the_text_is_cut(stops: tuple[str, ...], text: str, data: st.DataObject) -> None:
    said = through(stops, data.draw(fragments(text)))

    assert said == through(stops, [text])
    assert text.startswith(said)
    assert not any(stop in said for stop in stops)
    assert said == text or any(text.startswith(stop, len(said)) for stop in stops)


def test_only_sequences_of_white_space_are_looked_for_and_not_too_many_or_too_long() -> None:
    assert blank_stops(["\n", "END", "", "\n", " \t"]) == ("\n", " \t")
    assert len(blank_stops([" " * length for length in range(1, 100)])) == MAX_BLANK_STOPS
    assert blank_stops([" " * (MAX_BLANK_LENGTH + 1)]) == ()


def test_a_stop_ends_the_reading_wherever_the_stream_is() -> None:
    events = messages.text_stream(pieces=["one", "\n", "two", "three"])
    stream = ChatStream(StreamFrame(1), AnswerShape(stops=("\n",)))
    stream.feed(b"".join(events[:4]))

    assert stream.state is State.DONE
    assert stream.is_cut
    assert stream.feed(b"".join(events[4:])) == b""


def test_a_stop_in_the_event_that_a_broken_body_ends_with_is_one() -> None:
    events = messages.text_stream(pieces=["one\ntwo"])
    fold = AnswerFold(AnswerShape(stops=("\n",)))
    fold.feed(b"".join(events[:3])[:-2])
    fold.end()

    assert fold.text == "one"
    assert fold.ending is not None
    assert fold.ending.finish_reason == "stop"


def test_reasoning_and_arguments_are_not_stopped() -> None:
    thinking = messages.thinking_block("One\nTwo.")
    call = messages.tool_block("toolu_1", "run", '{"a":\n1}')
    fold = AnswerFold(AnswerShape(stops=("\n",)))
    fold.feed(messages.sse(*messages.message_events(thinking, call, stop_reason="tool_use")))
    fold.end()

    assert fold.reasoning_json == b'"One\\nTwo."'
    assert fold.arguments_json(fold.calls[0]) == b'"{\\"a\\":\\n1}"'


@pytest.mark.parametrize("piece", [" ", "\n", "a \n"])
def test_looking_takes_time_that_goes_with_the_length_of_the_text(piece: str) -> None:
    def work(size: int) -> None:
        through((" " * MAX_BLANK_LENGTH, "\n" * MAX_BLANK_LENGTH), [piece] * min(size, 200) + ["a"] * size)

    assert growth(work, 2_000) < 8
