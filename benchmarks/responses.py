"""What an event costs through the Responses door, and how much more that is than through that of chat completions."""

from collections.abc import Callable, Iterator
from typing import Final

from translators.chat.stream import ChatStream, StreamFrame
from translators.responses.frame import ResponsesFrame
from translators.responses.stream import ResponsesStream

Measure = Callable[[Callable[[], object]], float]
_ROUNDS: Final = 3


def responses_events(events: list[bytes], measure: Measure) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure; `measure` gives the microseconds that a call takes."""
    body = b"".join(events)
    many = against_chat(measure, lambda: _stream().feed(body), lambda: _chat().feed(body), len(events))
    yield "event, as one of a response (many in a read)", many
    singly = against_chat(
        measure, lambda: _one_by_one(_stream(), events), lambda: _one_by_one(_chat(), events), len(events)
    )
    yield "event, as one of a response (one in a read)", singly


def against_chat(measure: Measure, response: Callable[[], object], chat: Callable[[], object], count: int) -> str:
    """What one of so many things costs, and how much more that is than for chat completions.

    Measured in turns, since the machine gets quicker and slower.
    """
    rounds = [(measure(response), measure(chat)) for _ in range(_ROUNDS)]
    figure, chat_figure = (min(figures) / count for figures in zip(*rounds, strict=True))
    shown = f"{figure:.0f}" if figure >= 100 else f"{figure:.2f}"
    return f"{shown} µs, {figure / chat_figure:.2f} x that of chat"


def _stream() -> ResponsesStream:
    return ResponsesStream(ResponsesFrame("resp_0", 1, "claude", lambda: 2))


def _chat() -> ChatStream:
    return ChatStream(StreamFrame(1))


def _one_by_one(stream: ResponsesStream | ChatStream, events: list[bytes]) -> None:
    for event in events:
        stream.feed(event)
