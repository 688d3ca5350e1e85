"""An answer that a client sends back goes upstream as it was: the writer's items, read by the reader of requests."""

import json
from typing import Any, TypeAlias

import pytest
from hypothesis import given

from tests.support.messages import encode, messages_streams
from tests.support.recordings import Recording, recording_params
from tests.support.response_requests import SEALER, output, read, user
from tests.support.responses_door import frame, unstreamed
from translators.answers.recorder import Block, sendable
from translators.intent import SealedTurn
from translators.responses.stream import ResponsesStream

STREAMS = recording_params(streamed=True, status=200, kind="messages")
# A block of upstream's own with its JSON, a text, or a call by its id.
Said: TypeAlias = tuple[str, Any]


def said_by_upstream(message: bytes) -> list[Said]:
    # Upstream has never sent one that is empty: it would be of no use.
    content = [block for block in json.loads(message)["content"] if block.get("data", "?")]
    blocks = [Block(block["type"], json.dumps(block).encode()) for block in content]
    return joined([_said(json.loads(block.json)) for block in sendable(blocks)])


def _said(block: dict[str, Any]) -> Said:
    if block["type"] == "text":
        return "text", block["text"]
    return ("call", block["id"]) if block["type"] == "tool_use" else ("own", block)


def sent_back(body: bytes) -> list[Said]:
    """What becomes of the answer where a client replays it, and answers its calls."""
    stream = ResponsesStream(frame(sealer=SEALER))
    stream.feed(body)
    items = json.loads(stream.response())["output"]
    results = [output(item["call_id"]) for item in items if "call_id" in item]
    turn = read(user(), *items, *results, user()).intent.messages[1]
    assert turn.role == "assistant"
    content = json.loads(bytes(turn.content))
    texts = [content] if isinstance(content, str) else [part["text"] for part in content or ()]
    calls = [call.id for call in turn.tool_calls or ()]
    if not isinstance(turn, SealedTurn):
        return joined([*(("text", text) for text in texts), *(("call", call) for call in calls)])
    sources = {"o": ("own", map(json.loads, turn.own_blocks)), "t": ("text", iter(texts)), "c": ("call", iter(calls))}
    return joined([_said(value) if kind == "own" else (kind, value) for kind, value in _in_order(turn.order, sources)])


def _in_order(order: str, sources: dict[str, tuple[str, Any]]) -> list[Said]:
    return [(sources[letter][0], next(sources[letter][1])) for letter in order]


def joined(said: list[Said]) -> list[Said]:
    """Texts that follow each other are one text of a response, and blank ones are none (test_responses_output.py).

    Where nothing is sealed, calls come last.
    """
    one: list[Said] = []
    if not any(kind == "own" for kind, _ in said):
        said = sorted(said, key=lambda each: each[0] == "call")
    for kind, value in said:
        if kind == "text" and not value.strip():
            continue
        if kind == "text" and one and one[-1][0] == "text":
            one[-1] = (kind, one[-1][1] + value)
        else:
            one.append((kind, value))
    return one


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recorded_answer_goes_back_as_it_was(recording: Recording) -> None:
    message = unstreamed(recording.response)
    if message is None or json.loads(message)["stop_reason"] == "refusal" or not said_by_upstream(message):
        pytest.skip("nothing of it goes back")

    assert sent_back(recording.response) == said_by_upstream(message)


@given(events=messages_streams())
def test_any_answer_goes_back_as_it_was(events: list[dict[str, Any]]) -> None:
    message = unstreamed(encode(events))
    assert message is not None
    expected = said_by_upstream(message)
    if not expected or json.loads(message)["stop_reason"] == "refusal":
        return

    assert sent_back(encode(events)) == expected
