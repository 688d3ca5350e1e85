"""An answer's blocks go upstream again as they were made, however a client sends the items back."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support.conversations import DEFAULT_MODEL
from tests.support.messages import message
from tests.support.response_requests import SEALER
from tests.support.responses_door import whole
from tests.support.responses_replays import REPLAYS, Replay, ai_sdk_stored, replayed
from translators.answers.shape import AnswerShape
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table
from translators.responses.read import read_body
from translators.responses.request import ResponsesRequest, read_request

Block = dict[str, Any]

TARGET = Target(DEFAULT_MODEL, model_table().row(DEFAULT_MODEL))
USER: Block = {"role": "user", "content": "Go."}
SCHEMA: Block = {"type": "object", "properties": {}}
TOOLS: list[Block] = [
    {"type": "function", "name": "look", "parameters": SCHEMA},
    {"type": "namespace", "name": "crm", "description": "", "tools": [{"type": "function", "name": "find"}]},
    {"type": "custom", "name": "sql"},
    {"type": "shell"},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "web_search"},
]

THOUGHT: Block = {"type": "thinking", "thinking": "Hm. é", "signature": "c2ln"}
SECOND: Block = {"type": "thinking", "thinking": "So.", "signature": "b3RoZXI="}
HIDDEN: Block = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
OMITTED: Block = {"type": "thinking", "thinking": "", "signature": "c2ln"}
SEARCH: Block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "a"}}
FOUND: Block = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
WORDS: Block = {"type": "text", "text": 'I "look".'}
ANSWER: Block = {"type": "text", "text": "It is \U0001f600."}
BLANK: Block = {"type": "text", "text": "\n\n"}


def use(number: int, name: str, **arguments: Any) -> Block:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}


ANSWERS: dict[str, list[Block]] = {
    "thinking and text": [THOUGHT, ANSWER],
    "thinking that is not shown": [OMITTED, ANSWER],
    "redacted thinking": [THOUGHT, HIDDEN, ANSWER],
    "thinking and calls": [THOUGHT, WORDS, use(1, "look", at="é"), use(2, "look")],
    "a call without words": [THOUGHT, use(1, "look")],
    "thinking between words": [THOUGHT, WORDS, SECOND, use(1, "look")],
    "a blank text between thinking": [THOUGHT, BLANK, SECOND, ANSWER],
    "a search": [THOUGHT, SEARCH, FOUND, ANSWER],
    "a search and a call": [THOUGHT, WORDS, SEARCH, FOUND, SECOND, use(1, "look")],
    "a member of a namespace": [THOUGHT, use(1, "crm__find", a=1)],
    "a custom tool": [THOUGHT, use(1, "sql", input="select 'é'")],
    "shells": [THOUGHT, use(1, "shell", commands=["ls", "pwd"]), use(2, "local_shell", command=["ls"])],
    "a patch": [THOUGHT, use(1, "apply_patch", type="update_file", path="a", diff="@@\n-a\n+b\n")],
}
OUTPUTS: dict[str, Callable[[str], Block]] = {
    "function_call": lambda call_id: {"type": "function_call_output", "call_id": call_id, "output": "r"},
    "custom_tool_call": lambda call_id: {"type": "custom_tool_call_output", "call_id": call_id, "output": "r"},
    "shell_call": lambda call_id: {"type": "shell_call_output", "call_id": call_id, "output": []},
    "local_shell_call": lambda call_id: {"type": "local_shell_call_output", "call_id": call_id, "output": "r"},
    "apply_patch_call": lambda call_id: {"type": "apply_patch_call_output", "call_id": call_id, "status": "completed"},
}


def read(items: Sequence[Block], stored: Sequence[Block] = ()) -> ResponsesRequest:
    body = {"model": "m", "input": list(items), "tools": TOOLS, "store": False}
    known = {item["id"]: json.dumps(item).encode() for item in stored}
    return read_request(read_body(json.dumps(body).encode()), SEALER, (), known)


def written(request: ResponsesRequest) -> MessagesRequest:
    return write_request(request.intent, TARGET, Options())


def answered(blocks: Sequence[Block]) -> list[Block]:
    """The items that a client gets for an answer of these blocks."""
    first = read([USER])
    shape: AnswerShape = written(first).shape
    reason = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
    body = json.dumps(message(blocks, stop_reason=reason), ensure_ascii=False).encode()
    items: list[Block] = whole(body, shape, kinds=first.kinds, sealer=SEALER)["output"]
    return items


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda replay: replay.__name__)
@pytest.mark.parametrize("name", ANSWERS)
def test_the_blocks_of_an_answer_go_back_as_they_were_made(name: str, replay: Replay) -> None:
    items = answered(ANSWERS[name])
    try:
        sent = replayed(items, replay)
    except (KeyError, ValueError):
        pytest.skip("this client does not know such items")
    results = [OUTPUTS[item["type"]](item["call_id"]) for item in items if item["type"] in OUTPUTS]

    request = read([USER, *sent, *results, USER], stored=items if replay is ai_sdk_stored else ())

    messages = json.loads(written(request).body)["messages"]
    assert messages[1] == {"role": "assistant", "content": ANSWERS[name]}
    assert list(request.intent.noted) == []
    assert request.intent.unknown_fields == 0


@pytest.mark.parametrize("name", ANSWERS)
def test_without_seals_words_and_calls_go_back(name: str) -> None:
    items = answered(ANSWERS[name])
    sent = [{key: value for key, value in item.items() if key != "encrypted_content"} for item in items]
    results = [OUTPUTS[item["type"]](item["call_id"]) for item in items if item["type"] in OUTPUTS]

    request = read([USER, *sent, *results, USER])

    content = json.loads(written(request).body)["messages"][1]["content"]
    left = [block for block in ANSWERS[name] if block["type"] in ("text", "tool_use") and block is not BLANK]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    assert blocks == left
    assert "input.reasoning=dropped:unsigned" in (written(request).adjusted or "")
