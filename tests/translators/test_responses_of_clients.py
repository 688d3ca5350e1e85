"""What Codex sends, and turns as each client sends them back: read to the same, with the thinking that was sealed."""

import json
from typing import Any

import pytest

from tests.support import codex
from tests.support.response_requests import SEALER, Item
from tests.support.responses_replays import REPLAYS, Replay, ai_sdk_stored, replayed
from tests.support.responses_script import function_call, message, reasoning
from translators.intent import Message, SealedTurn
from translators.responses.read import read_body
from translators.responses.request import ResponsesRequest, read_request

THINKING = '{"type":"thinking","thinking":"Look first.","signature":"c2ln"}'
SEALED = SEALER.seal([THINKING.encode()])
TURN = [
    reasoning(1, "Look first.", sealed=SEALED),
    message(2, "I look.", phase="commentary"),
    function_call(3, "look", {"at": "é"}),
]
RESULT = {"type": "function_call_output", "call_id": "call_3", "output": "It is there."}


def read(body: dict[str, Any], *known: Item) -> ResponsesRequest:
    read = read_body(json.dumps(body).encode())
    stored = {item["id"]: json.dumps(item).encode() for item in known if item["id"] in read.references}
    assert stored.keys() == set(read.references)
    return read_request(read, SEALER, (), stored)


def sealed(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the seal of our own gateway in its reasoning."""
    given = [{**item, "encrypted_content": SEALED} if item["type"] == "reasoning" else item for item in body["input"]]
    return {**body, "input": given}


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        (codex.first_turn(), ["tools.web_search"]),
        (sealed(codex.second_turn("Look first.")), ["tools.web_search"]),
        (sealed(codex.compaction_turn()), ["tools.web_search"]),
        (codex.turn_of_a_known_model(), ["reasoning.context"]),
    ],
    ids=["first", "second", "compaction", "known model"],
)
def test_the_bodies_of_codex_are_understood(body: dict[str, Any], lost: list[str]) -> None:
    request = read(body)

    assert [*request.intent.lost] == lost
    assert request.intent.noted == []
    assert not request.store
    roles = [message.role for message in request.intent.messages[:4]]
    assert roles == ["developer", "developer", "user", "user"]


def test_the_thinking_of_codex_goes_back() -> None:
    turn = read(sealed(codex.second_turn("Look first."))).intent.messages[-2]

    assert isinstance(turn, SealedTurn)
    assert turn.own_blocks == (THINKING.encode(),)


def test_the_end_of_a_conversation_that_codex_has_compacted_is_seen() -> None:
    assert read(sealed(codex.compaction_turn())).compacts_now


@pytest.mark.parametrize("body", [codex.first_turn(), codex.turn_of_a_known_model()], ids=["tools", "additional_tools"])
def test_the_tools_of_codex_are_offered_wherever_they_stand(body: dict[str, Any]) -> None:
    offered = read(body).intent.tools

    assert offered
    assert len(offered) >= 4


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda replay: replay.__name__)
def test_a_turn_is_the_same_from_each_client(replay: Replay) -> None:
    body = {"model": "gpt-5", "input": [{"role": "user", "content": "Hi"}, *replayed(TURN, replay), RESULT]}

    request = read(body, *(TURN if replay is ai_sdk_stored else ()))

    user, turn, result = request.intent.messages
    assert isinstance(turn, SealedTurn)
    assert turn.own_blocks == (THINKING.encode(),)
    assert turn.order == "otc"
    assert _text(turn) == "I look."
    (call,) = turn.tool_calls or []
    assert call.function is not None
    assert (call.id, call.function.name) == ("call_3", "look")
    assert json.loads(json.loads(bytes(call.function.arguments))) == {"at": "é"}
    assert (user.role, result.role, result.tool_call_id) == ("user", "tool", "call_3")
    assert request.intent.noted == []


def _text(turn: Message) -> str:
    content = json.loads(bytes(turn.content))
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
