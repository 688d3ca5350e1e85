"""The writer of the Responses door takes time and memory that go with the size of an answer."""

from collections.abc import Callable

import pytest

from tests.support.costs import growth, peak_bytes
from tests.support.messages import Block, encode, message_events, text_block, text_stream, thinking_stream, tool_block
from tests.support.responses_door import frame
from translators.responses.stream import ResponsesStream

RESULT = {"type": "web_search_tool_result", "content": []}
PAGE = {"type": "web_search_result_location", "url": "https://a.example/", "title": "A", "cited_text": "x"}


def texts(size: int) -> list[Block]:
    return [text_block(pieces=["word "] * size)]


def citations(size: int) -> list[Block]:
    cited = [{"type": "citations_delta", "citation": PAGE}]
    return [
        Block({"type": "text", "text": "", "citations": []}, [*cited, *text_block("a").deltas]) for _ in range(size)
    ]


def blanks(size: int) -> list[Block]:
    return [text_block(pieces=["\n"] * size), *[text_block("\n")] * (size // 10)]


def searches(size: int) -> list[Block]:
    """All asked at once, and answered in the opposite order."""
    asked = [tool_block(f"srvtoolu_{number}", "web_search", "{}", ["{}"]) for number in range(size)]
    calls = [Block({**block.start, "type": "server_tool_use"}, block.deltas) for block in asked]
    return calls + [Block({**RESULT, "tool_use_id": f"srvtoolu_{number}"}, []) for number in reversed(range(size))]


def calls(size: int) -> list[Block]:
    return [tool_block(f"toolu_{number}", "f", "{}") for number in range(size)]


def answer(blocks: list[Block]) -> bytes:
    stream = ResponsesStream(frame())
    output = stream.feed(encode(message_events(*blocks)))
    assert output.count(b"event: response.completed\n") == 1
    return output


@pytest.mark.parametrize(
    ("blocks", "size"),
    [(texts, 4000), (citations, 500), (blanks, 1000), (searches, 400), (calls, 500)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_four_times_as_much_takes_about_four_times_as_long(blocks: Callable[[int], list[Block]], size: int) -> None:
    ready = {count: encode(message_events(*blocks(count))) for count in (size, 4 * size)}

    assert growth(lambda count: ResponsesStream(frame()).feed(ready[count]), size) < 9


@pytest.mark.parametrize("pieces", [text_stream, thinking_stream])
def test_an_event_keeps_no_more_than_its_text(pieces: Callable[..., list[bytes]]) -> None:
    start, delta = pieces()[1:3]
    stream = ResponsesStream(frame())
    stream.feed(pieces()[0] + start + delta)

    def feed() -> None:
        for _ in range(10_000):
            stream.feed(delta)

    # Twice, for thinking: once to be shown, once to go back.
    assert peak_bytes(feed) < 10_000 * 160
