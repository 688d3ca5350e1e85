"""The Responses door on damaged input: streams that the judge accepts, one honest end, the same folded as streamed."""

from random import Random
from typing import Any

from tests.fuzz.answers import SHAPES, cut, folded
from tests.fuzz.judging import json_of
from tests.support.responses_door import frame
from tests.support.responses_grammar import event_violations, response_violations
from translators.errors import FailedError
from translators.responses.answer import ResponsesAnswer, read_response
from translators.responses.events import failure_events, keepalive_event
from translators.responses.kinds import Kind, ToolKind
from translators.responses.stream import ResponsesStream

_KINDS = {
    "look": ToolKind(Kind.SHELL, "shell"),
    "a.look": ToolKind(Kind.FUNCTION, "look", "a"),
    "get_weather": ToolKind(Kind.LOCAL_SHELL, "local_shell"),
}


def stream(data: bytes, random: Random) -> None:
    """A stream ends as upstream's does, whatever comes in between."""
    shape, kinds = random.choice(SHAPES), random.choice(({}, _KINDS))
    shared = frame(kinds)
    made = ResponsesStream(shared, shape)
    _summary(cut(data, random))
    output = b""
    for piece in cut(data, random):
        output += made.feed(piece)
        if random.random() < 0.05 and not made.is_over:
            output += keepalive_event(shared)
    output += made.end() if not made.is_over else b""
    assert made.is_over
    if made.failure is not None:
        output += failure_events(shared, made.failure)
    said = _events(output)
    fold = ResponsesAnswer(frame(kinds), shape)
    failure = folded(fold, cut(data, random))
    assert (failure and failure.kind) == (made.failure and made.failure.kind)
    if failure is None:
        if said is not None:
            ended, whole_one = said[-1]["response"], json_of(fold.response())
            # A sign of life has told what was known then.
            known = {} if said[0]["response"]["model"] != "asked-for" else {"model": "asked-for"}
            assert ended == {**whole_one, **known}
        for item in made.sealed_items():
            json_of(item)


def _summary(pieces: list[bytes]) -> None:
    """The same as a summary is one item, or a failure, streamed as folded; nothing of it is sent before its end."""
    made, output = ResponsesStream(frame(summarizes=True)), b""
    try:
        for piece in pieces:
            assert output == b""
            output += made.feed(piece)
            if made.is_over:
                break
        output += b"" if made.is_over else made.end()
        failure = made.failure
    except FailedError as error:
        failure = error.failure
    fold = ResponsesAnswer(frame(summarizes=True))
    told = folded(fold, pieces)
    assert (told and told.kind) == (failure and failure.kind)
    if failure is None and (events := _events(output)) is not None:
        assert [item["type"] for item in events[-1]["response"]["output"]] == ["compaction"]
        assert events[-1]["response"] == json_of(fold.response())


def _events(output: bytes) -> list[dict[str, Any]] | None:
    """The events; None where one is nested too deeply for those who judge."""
    lines = [line.removeprefix(b"data: ") for line in output.split(b"\n") if line.startswith(b"data: ")]
    events = [json_of(line) for line in lines]
    if None in events:
        return None
    assert _named(event_violations(events)) == []
    return events


def whole(data: bytes, random: Random) -> None:
    """A message becomes a response that the judge accepts, or it is none."""
    try:
        answer = read_response(data, frame(random.choice(({}, _KINDS))), random.choice(SHAPES))
    except FailedError:
        return
    response = json_of(answer.response())
    assert response is None or _named(response_violations(response)) == []


def _named(violations: list[str]) -> list[str]:
    """Without those that come of a call, or a model, to which upstream has given no name."""
    return [words for words in violations if "`name` is not" not in words and "`model` is not" not in words]
