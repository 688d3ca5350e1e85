"""The quick ways are taken where they can be: without these tests nobody would notice if none was any more."""

import json

import pytest

from gateway.http.request import ServedRequest
from tests.scenarios.harness import PATH, asking, content_of, data_of, quick_gateway
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import key
from tests.support.response_requests import SEALER
from tests.support.responses_door import whole
from tests.support.scripted import ScriptedUpstream, json_answer, stream_answer
from translators.answers.events import EventReader
from translators.chat.stream import ChatStream, StreamFrame
from translators.responses import read, request, writer

WORDS = [f"word{number} " for number in range(20)]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which quick ways to the client were taken, in order."""
    taken: list[str] = []
    for name in ("answer", "push"):
        original = getattr(ServedRequest, name)

        def counted(*args: object, name: str = name, original: object = original) -> None:
            taken.append(name)
            original(*args)  # type: ignore[operator]

        monkeypatch.setattr(ServedRequest, name, counted)
    return taken


@pytest.mark.parametrize("native", [False, True])
async def test_events_are_pushed(upstream: ScriptedUpstream, used: list[str], native: bool) -> None:
    upstream.script(stream_answer(*messages.text_stream(pieces=WORDS)).in_packets(200))
    async with quick_gateway(key(upstream.base_url)) as running:
        if native:
            response = await running.http().post(NATIVE_PATH, json=asking_natively(stream=True))
            assert WORDS[-1] in response.text
        else:
            response = await running.http().post(PATH, json=asking(stream=True))
            assert content_of(data_of(response.text)) == "".join(WORDS)

    assert used.count("push") > 2


async def test_a_whole_answer_leaves_at_once(upstream: ScriptedUpstream, used: list[str]) -> None:
    upstream.script(json_answer(200, messages.message("Hello")))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking())

    assert used == ["answer"]


def test_usual_deltas_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    feed = EventReader.feed
    monkeypatch.setattr(EventReader, "feed", lambda self, data: parsed.append(data) or feed(self, data))  # type: ignore[func-returns-value]

    output = ChatStream(StreamFrame(1)).feed(b"".join(messages.text_stream(pieces=WORDS)))

    assert content_of(data_of(output.decode())) == "".join(WORDS)
    assert b"text_delta" not in b"".join(parsed)


def test_a_response_of_one_text_is_a_message_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MessageItem", None)

    assert whole(json.dumps(messages.message("Hello")).encode())["output"][0]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize("given", ["Hello", [{"role": "user", "content": "Hello"}]])
def test_usual_input_is_read_once_and_not_in_steps(monkeypatch: pytest.MonkeyPatch, given: object) -> None:
    monkeypatch.setattr(read, "in_one_go", None)
    monkeypatch.setattr(request, "in_one_go", None)
    body = json.dumps({"model": "m", "input": given, "max_output_tokens": 10, "store": False}).encode()

    intent = request.read_request(read.read_body(body), SEALER).intent

    assert [bytes(message.content) for message in intent.messages] == [b'"Hello"']
