"""What upstream sends is read in time and memory that go with its size, and no answer is without bounds."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import messages
from tests.support.costs import growth, peak_bytes
from translators.answers import pieces, reader
from translators.answers.answer import AnswerFold, read_message
from translators.answers.events import EventReader, MalformedEventError
from translators.answers.filters import CustomInput, FenceStripper, WrappedArguments
from translators.answers.recorder import MAX_FIELDS, BlockRecorder
from translators.answers.shape import AnswerShape, TextCall
from translators.chat.stream import ChatStream, StreamFrame
from translators.errors import ErrorKind, FailedError, Failure
from translators.native.stream import MAX_TOLD_BYTES, NativeStream, WholeEvents
from translators.sse import EventDecoder
from translators.upstream_errors import MAX_MESSAGE

SHAPE = AnswerShape(
    tool_names={"run": "run"},
    custom_tools=frozenset({"run"}),
    strips_fences=True,
    keeps_blocks=True,
    counts_text=True,
)
START = messages.sse(messages.message_events()[0])


def event(type_: str, **fields: Any) -> bytes:
    return messages.sse({"type": type_, **fields})


def block_start(index: int = 0, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block={"type": "text", "text": "", **block})


def delta(type_: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=0, delta={"type": type_, **fields})


def text(words: str) -> bytes:
    return delta("text_delta", text=words)


def failure_of(*pieces: bytes, shape: AnswerShape = SHAPE) -> Failure | None:
    """How a stream fails that consists of these pieces, if it does."""
    stream = ChatStream(StreamFrame(1), shape)
    for piece in (START, *pieces):
        stream.feed(piece)
    return stream.failure


def assert_bounded(failure: Failure | None, words: str) -> None:
    assert failure is not None
    assert failure.kind is ErrorKind.PROTOCOL_ERROR
    assert words in failure.message


# Linear, however it is cut.


def fences(before: str, piece: str, after: str) -> Callable[[int], None]:
    def work(size: int) -> None:
        stripper = FenceStripper()
        stripper.feed(before)
        for _ in range(size):
            stripper.feed(piece)
        stripper.feed(after)
        stripper.end()

    return work


def custom(piece: str) -> Callable[[int], None]:
    def work(size: int) -> None:
        text_filter = CustomInput()
        for _ in range(size):
            text_filter.feed(piece)

    return work


def nested(size: int) -> None:
    WrappedArguments().feed('{"a":' * size + "1" + "}" * size)


def folded(piece: bytes, shape: AnswerShape) -> Callable[[int], None]:
    def work(size: int) -> None:
        fold = AnswerFold(shape)
        fold.feed(START + block_start())
        for _ in range(size):
            fold.feed(piece)

    return work


@pytest.mark.parametrize(
    ("work", "size"),
    [
        (fences("", " ", "x"), 5_000),
        (fences("", "\n", ""), 5_000),
        (fences("```json\n{}", "  ", "x"), 5_000),
        (fences("```json\n{}", "\n", "```"), 5_000),
        (fences("```json\n{}\n", "`", ""), 5_000),
        (fences("```json\n{}\n", " " * 100_000, "x"), 4),
        (custom('{"input":"a"}'), 1_000),
        (custom('{"input":"\\n'), 4_000),
        (nested, 3_000),
        (folded(text('{"call":{"arguments":[1,2'), AnswerShape(text_call=TextCall())), 500),
        (folded(text('{"call":{"name":"a"'), AnswerShape(text_call=TextCall())), 500),
        (folded(text(" "), SHAPE), 2_000),
    ],
    ids=[
        "blanks",
        "lines",
        "blanks in a fence",
        "lines in a fence",
        "backticks",
        "many blanks",
        "values that end",
        "values that do not end",
        "nesting",
        "arguments without a name",
        "many names",
        "fold",
    ],
)
def test_four_times_as_much_takes_about_four_times_as_long(work: Callable[[int], None], size: int) -> None:
    assert growth(work, size) < 9


def test_a_long_text_is_not_taken_character_by_character() -> None:
    def work(unit: str) -> Callable[[int], object]:
        return lambda size: CustomInput().feed('{"input":"' + unit * size + '"}')

    plain, escaped = growth(work("a"), 200_000), growth(work("\\n"), 100_000)

    assert max(plain, escaped) < 9
    assert peak_bytes(lambda: work("a")(1_000_000)) < 8_000_000


@pytest.mark.parametrize("piece", [b"ab", b"x\n", b"data: yz\n"])
def test_an_unfinished_event_takes_no_more_memory_than_it_has_bytes(piece: bytes) -> None:
    size = 60_000

    def feed(decoder: EventDecoder | WholeEvents | NativeStream) -> None:
        decoder.feed(b"data: ")
        for _ in range(size // len(piece)):
            decoder.feed(piece)

    for make in (EventDecoder, WholeEvents, NativeStream):
        assert peak_bytes(lambda made=make: feed(made())) < 3 * size  # type: ignore[misc]


# Bounds.


def test_blocks_have_a_bound() -> None:
    starts = [block_start(index % 3) for index in range(reader.MAX_BLOCKS)]

    assert failure_of(*starts) is None
    assert_bounded(failure_of(*starts, block_start()), "content blocks")


def test_citations_have_a_bound() -> None:
    cited = delta("citations_delta", citation={"url": "https://a.example"})
    allowed = (block_start(), *[cited] * reader.MAX_CITATIONS)

    assert failure_of(*allowed) is None
    assert_bounded(failure_of(*allowed, cited), "citations")


def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = (block_start(), text("Hello"), text("Hello"))
    monkeypatch.setattr(reader.MessageReader, "_most_bytes", len(START + b"".join(pieces)))

    assert failure_of(*pieces) is None
    assert_bounded(failure_of(*pieces, b":"), "larger than")


def test_input_that_is_filtered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = block_start(type="tool_use", id="toolu_1", name="run", input={})
    piece = delta("input_json_delta", partial_json='{"input":"')
    more = delta("input_json_delta", partial_json="aaaa")
    monkeypatch.setattr(pieces, "MAX_FILTERED_BYTES", len(json.dumps('{"input":"')) + 6)

    assert failure_of(begin, piece, more) is None
    assert_bounded(failure_of(begin, piece, more, more), "calls")


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b'{"model":"\xff"}', "a text that is not valid Unicode"), (b'{"more":' + b"[" * 5000, "nested too deeply")],
    ids=["broken-text", "too-deep"],
)
def test_an_answer_that_cannot_be_read_is_told_in_words(body: bytes, problem: str) -> None:
    with pytest.raises(FailedError) as raised:
        read_message(body, SHAPE)

    assert raised.value.failure.message == f"Upstream's answer is not a message: {problem}"


def test_a_whole_input_that_is_filtered_has_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "run", "input": {"input": "x" * 100}}
    monkeypatch.setattr(pieces, "MAX_FILTERED_BYTES", 100)

    with pytest.raises(FailedError):
        read_message(json.dumps(messages.message() | {"content": [call]}).encode(), SHAPE)


def test_a_whole_answer_with_more_values_than_any_model_writes_is_not_read() -> None:
    citations = [{"type": "x", "values": [[]] * 2_000_000}]
    content = [{"type": "text", "text": "Hello", "citations": citations}]
    body = json.dumps(messages.message() | {"content": content}, separators=(",", ":")).encode()

    def read() -> None:
        with pytest.raises(FailedError):
            read_message(body)

    assert peak_bytes(read) < 2 * len(body)


def test_a_block_with_more_fields_than_any_has_is_not_recorded() -> None:
    def start(fields: int) -> bytes:
        block = {"type": "x"} | {f"f{number}": 0 for number in range(fields - 1)}
        return json.dumps({"type": "content_block_start", "index": 0, "content_block": block}).encode()

    BlockRecorder().observe(start(MAX_FIELDS))
    with pytest.raises(MalformedEventError):
        BlockRecorder().observe(start(MAX_FIELDS + 1))
    assert_bounded(failure_of(b"data: " + start(MAX_FIELDS + 1) + b"\n\n"), "fields")


@pytest.mark.parametrize(
    "huge",
    [
        event("error", error={"type": "api_error", "message": "x", "details": [[]] * 50_000}),
        delta("citations_delta", citation={"url": [[]] * 50_000}),
        event("ping", more=[0] * 2_000_001),
    ],
    ids=["error", "citation", "values"],
)
def test_a_huge_event_is_not_built(huge: bytes) -> None:
    def read() -> None:
        with pytest.raises(MalformedEventError):
            list(EventReader().feed(huge))

    assert peak_bytes(read) < 4 * len(huge)


def test_a_long_text_or_file_in_one_event_passes() -> None:
    file = block_start(type="web_fetch_tool_result", content={"data": "QUJD" * 500_000})

    assert failure_of(file, block_start(1), event("content_block_delta", index=1, delta={"type": "text_delta"})) is None
    assert failure_of(block_start(), text("Hello, world. " * 200_000)) is None


def test_what_an_error_says_is_cut() -> None:
    long = "x" * 40_000
    failure = failure_of(event("error", error={"type": "api_error", "message": long}))
    unreadable = failure_of(b"event: error\ndata: %b\n\n" % long.encode())

    assert failure is not None
    assert unreadable is not None
    assert len(failure.message) == len(unreadable.message) == MAX_MESSAGE


def test_a_native_error_is_told_in_upstreams_words_only_if_these_are_few() -> None:
    def told(size: int) -> Failure | None:
        stream = NativeStream()
        stream.feed(START + block_start())
        stream.feed(event("error", error={"type": "overloaded_error", "message": "x" * size}))
        return stream.failure

    short, long = told(1000), told(MAX_TOLD_BYTES)

    assert b"x" * 1000 in getattr(short, "body", b"")
    assert long is not None
    assert not hasattr(long, "body")
    assert len(long.message) <= MAX_MESSAGE


def test_what_comes_before_any_content_has_a_bound() -> None:
    stream = NativeStream(max_event_bytes=1000)
    for _ in range(1000 // len(messages.sse({"type": "ping"}))):
        stream.feed(messages.sse({"type": "ping"}))
    assert stream.failure is None

    stream.feed(messages.sse({"type": "ping"}))
    assert_bounded(stream.failure, "before any content")
