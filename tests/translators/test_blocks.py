"""Blocks as they have to be sent back: what Anthropic's own SDK adds up, byte for byte where it counts."""

import json
from typing import Any

import httpx2
import orjson
import pytest
from anthropic._streaming import SSEDecoder
from anthropic.lib.streaming._beta_messages import accumulate_event
from hypothesis import given
from hypothesis import strategies as st

from tests.support.conversations import chat, said, translate
from tests.support.messages import encode, message_events, messages_streams, sse, text_block, tool_block
from tests.support.oracles import ACCUMULATED
from tests.support.recordings import Recording, recording_params
from translators.answers.answer import AnswerFold
from translators.answers.answer_types import State
from translators.answers.recorder import Block, BlockRecorder, sendable
from translators.answers.shape import AnswerShape

NO_HEADERS = httpx2.Headers()
STREAMS = recording_params(streamed=True, status=200, kind="messages")
SEARCH = {"type": "web_search_20260318", "name": "web_search", "allowed_callers": ["direct"]}


def events_of(stream: bytes) -> list[Any]:
    events = [json.loads(event.data) for event in SSEDecoder().iter_bytes(iter([stream + b"\n\n"]))]
    return [event for event in events if event["type"] in ACCUMULATED]


def by_the_sdk(stream: bytes) -> list[dict[str, Any]]:
    """The content that Anthropic's SDK accumulates."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events_of(stream):
        snapshot = accumulate_event(
            event=event, current_snapshot=snapshot, json_bufs=buffers, request_headers=NO_HEADERS
        )
    content: list[dict[str, Any]] = snapshot.to_dict(warnings=False)["content"]
    return content


def by_the_recorder(stream: bytes) -> list[dict[str, Any]]:
    recorder = BlockRecorder()
    for event in events_of(stream):
        recorder.observe(json.dumps(event).encode())
    return values_of(recorder.blocks)


def values_of(blocks: list[Block]) -> list[dict[str, Any]]:
    return [json.loads(block.json) for block in blocks]


def comparable(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the nulls and empty lists of fields, which mean nothing."""
    return [{name: value for name, value in block.items() if value not in (None, [])} for block in blocks]


@pytest.mark.parametrize("recording", STREAMS)
def test_a_recording_gives_the_blocks_that_the_sdk_adds_up(recording: Recording) -> None:
    # An input that the token limit has cut is no JSON; such a turn is never sent back.
    if b'"max_tokens"' not in recording.response:
        assert comparable(by_the_recorder(recording.response)) == comparable(by_the_sdk(recording.response))


@given(events=messages_streams())
def test_any_stream_gives_the_blocks_that_the_sdk_adds_up(events: list[dict[str, Any]]) -> None:
    body = encode([event for event in events if event["type"] in ACCUMULATED])

    assert comparable(by_the_recorder(body)) == comparable(by_the_sdk(body))


def paused(*blocks: Any) -> AnswerFold:
    fold = AnswerFold(AnswerShape(continues_pauses=True, counts_text=True))
    fold.feed(sse(*message_events(*blocks, stop_reason="pause_turn")))
    assert fold.state is State.PAUSED
    return fold


def test_a_paused_turn_goes_back_at_the_end_of_the_same_request() -> None:
    request = translate(chat(said("user", "Weather?"), tools=[SEARCH], max_tokens=2000))
    server = tool_block("srvtoolu_1", "web_search", '{"query": "Ulm", "n": 12345678901234567890123, "x": 1.0}')
    server = server._replace(start={**server.start, "type": "server_tool_use"})
    again = request.continued(paused(text_block("Let me look."), server).pause())

    before, after = json.loads(request.body), json.loads(again.body)
    turn = after["messages"].pop()
    assert after == before
    assert turn["role"] == "assistant"
    assert [block["type"] for block in turn["content"]] == ["text", "server_tool_use"]
    assert b'"input":{"query": "Ulm", "n": 12345678901234567890123, "x": 1.0}' in again.body
    assert (again.version, again.betas, again.shape) == (request.version, request.betas, request.shape)


def test_a_continued_request_begins_with_the_bytes_of_the_first() -> None:
    text = rb'"\u00e9 \/ 1.0"'
    body = b'{"model":"m","max_tokens":2000,"tools":[%s],"messages":[{"role":"user","content":%s}]}'
    request = translate(body % (json.dumps(SEARCH).encode(), text))
    again = request.continued(paused(text_block("One.")).pause()).continued(paused(text_block("Two.")).pause())

    assert again.body.startswith(request.body[: request.body.index(text) + len(text)])
    assert [message["role"] for message in json.loads(again.body)["messages"]] == ["user", "assistant", "assistant"]


def test_results_of_server_tools_go_back_with_every_field() -> None:
    content = [{"type": "web_search_result", "url": "https://a.example", "encrypted_content": "Eq8C", "new": [1.0, {}]}]
    block = text_block("", pieces=[])._replace(
        start={"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": content, "caller": None}
    )

    assert values_of(paused(block).pause()) == [block.start]


def test_what_was_thought_before_a_pause_is_among_the_thinking_blocks() -> None:
    thinking = text_block("", pieces=[])._replace(start={"type": "thinking", "thinking": "Hm.", "signature": "EqQB=="})
    fold = AnswerFold(AnswerShape(continues_pauses=True, shows_thinking_blocks=True))
    fold.feed(sse(*message_events(thinking, stop_reason="pause_turn")))
    fold.pause()
    fold.feed(sse(*message_events(text_block("Yes."))))

    assert fold.ending is not None
    assert json.loads(orjson.dumps(fold.ending.thinking_blocks)) == [thinking.start]


@given(data=st.data(), events=messages_streams())
def test_a_pause_never_loses_text(data: st.DataObject, events: list[dict[str, Any]]) -> None:
    text = data.draw(st.text())
    fold = paused(text_block(text, [text]))
    fold.pause()
    rest = AnswerFold(AnswerShape())
    ended = [
        {**event, "delta": {"stop_reason": "end_turn"}}
        if "delta" in event and event["type"] == "message_delta"
        else event
        for event in events
    ]
    fold.feed(encode(ended))
    rest.feed(encode(ended))

    assert fold.text == text + rest.text


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "text_delta"},
        {"type": "text_delta", "text": 1},
        {"type": "thinking_delta", "text": "a"},
        {"type": "signature_delta"},
        {"type": "input_json_delta", "partial_json": None},
        {"type": "citations_delta"},
        {"type": 5},
        {},
    ],
)
def test_a_delta_without_what_it_is_about_changes_nothing(delta: dict[str, object]) -> None:
    recorder = BlockRecorder()
    for event in (
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
    ):
        recorder.observe(json.dumps(event).encode())

    assert values_of(recorder.blocks) == [{"type": "text", "text": "Hi"}]


THOUGHT, CALL, RESULT = ("thinking", "{}"), ("tool_use", "{}"), ("web_search_tool_result", "{}")


def words(text: str) -> tuple[str, str]:
    return "text", json.dumps({"type": "text", "text": text})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([words(""), RESULT, words("A")], [RESULT, words("A")]),
        ([words(" \n"), RESULT, words("A"), words("\t")], [RESULT, words("A")]),
        ([words(" \n"), words(""), THOUGHT, words(" ")], [words(" \n"), THOUGHT]),
        ([words(" \n"), words(""), CALL, words(" ")], [words(" \n"), CALL, words(" ")]),
        ([("text", "no JSON"), ("text", '{"text": 5}')], [("text", "no JSON"), ("text", '{"text": 5}')]),
        ([words("")], []),
    ],
    ids=["empty", "blank", "before a thought", "beside a call", "no text", "nothing else"],
)
def test_texts_that_upstream_does_not_take_back_are_left_out(given: list[Any], kept: list[Any]) -> None:
    def blocks(each: list[tuple[str, str]]) -> list[Block]:
        return [Block(kind, text.encode()) for kind, text in each]

    assert sendable(blocks(given)) == blocks(kept)
