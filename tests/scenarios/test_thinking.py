"""Signed thinking between turns: kept before an answer has ended, and never a trouble of the caller's."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.scenarios.harness import KEY_A, KEY_B, PATH, asking, quick_gateway, services_of
from tests.support import messages
from tests.support.gateway import ClientConfig, RunningGateway, Secret, config_for, key
from tests.support.messages import message_events, thinking_block, tool_block
from tests.support.scripted import Answer, ScriptedUpstream, error_answer, json_answer, stream_answer

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])

THOUGHT, SIGNATURE, ARGUMENT = "The-thought-itself", "EqQBSignatureItself", "the-argument-itself"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
REFUSALS = (
    "messages.1.content.0: Invalid `signature` in `thinking` block",
    "messages.1.content.0: Invalid `data` in `redacted_thinking` block",
    "messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
    "modified. These blocks must remain as they were in the original response.",
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
)


def called(stream: bool = False, call_id: str = "toolu_1") -> Answer:
    """An answer that has thought, and calls."""
    arguments = json.dumps({"at": ARGUMENT})
    if stream:
        blocks = thinking_block(THOUGHT, SIGNATURE), tool_block(call_id, "look", arguments)
        return stream_answer(*[messages.sse(event) for event in message_events(*blocks, stop_reason="tool_use")])
    thought = {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
    call = {"type": "tool_use", "id": call_id, "name": "look", "input": json.loads(arguments)}
    return json_answer(200, messages.message([thought, call], stop_reason="tool_use"))


def said(stream: bool = False) -> Answer:
    return stream_answer(*messages.text_stream()) if stream else json_answer(200, messages.message())


def again(*call_ids: str, stream: bool = False, **more: Any) -> dict[str, Any]:
    """The request that follows such answers."""
    body = asking(stream=stream, tools=[TOOL], **more)
    for call_id in call_ids or ("toolu_1",):
        function = {"name": "look", "arguments": json.dumps({"at": ARGUMENT})}
        call = {"id": call_id, "type": "function", "function": function}
        body["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": "dust"},
        ]
    return body


def thoughts(upstream: ScriptedUpstream) -> list[int]:
    """How many thoughts each request took with it."""
    return [request.body.count(SIGNATURE.encode()) for request in upstream.received]


async def asked(running: RunningGateway, body: dict[str, Any], **headers: str) -> Any:
    return await running.http().post(PATH, json=body, headers=headers)


@both
@pytest.mark.parametrize("words", REFUSALS)
async def test_thinking_that_upstream_refuses_is_left_out_and_the_caller_is_answered(
    upstream: ScriptedUpstream, stream: bool, words: str
) -> None:
    upstream.script(called(stream), error_answer(400, "invalid_request_error", words), said(stream), said(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        await asked(running, asking(stream=stream, tools=[TOOL]))
        answer = await asked(running, again(stream=stream))
        later = await asked(running, again(stream=stream))
        counts = services_of(running).kept_turns.counts

    assert (answer.status_code, later.status_code) == (200, 200)
    assert answer.headers["x-gateway-adjusted"] == "thinking_blocks=dropped:refused"
    # It was no attempt in vain: nothing was wrong with the key.
    assert answer.headers["x-gateway-attempts"] == "2"
    assert thoughts(upstream) == [0, 1, 0, 0]
    assert counts.left_out == {"refused": 1}


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        # Perhaps it is about what the gateway has put in.
        ("messages.3.content: too many images", [0, 1, 0, 1, 0]),
        ("tools.0: something is wrong with it", [0, 1, 1]),
    ],
)
async def test_a_400_about_something_else_is_the_callers_and_nothing_is_forgotten(
    upstream: ScriptedUpstream, words: str, requests: list[int]
) -> None:
    upstream.script(called())
    upstream.always(error_answer(400, "invalid_request_error", words))
    async with quick_gateway(key(upstream.base_url)) as running:
        await asked(running, asking(tools=[TOOL]))
        answers = [await asked(running, again()) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert words.partition(": ")[2] in answers[0].json()["error"]["message"]
    assert thoughts(upstream) == requests


async def test_a_turn_that_upstream_does_not_take_as_it_was_made_goes_as_the_client_shows_it(
    upstream: ScriptedUpstream,
) -> None:
    refusal = "messages.1.content.0: `web_search` is not among the tools of this request."
    upstream.script(called(), error_answer(400, "invalid_request_error", refusal), said(), said())
    async with quick_gateway(key(upstream.base_url)) as running:
        await asked(running, asking(tools=[TOOL]))
        answer = await asked(running, again())
        more = again()
        more["messages"] += [{"role": "assistant", "content": "Hello, world."}, {"role": "user", "content": "And?"}]
        await asked(running, more)

    assert answer.status_code == 200
    assert answer.headers["x-gateway-adjusted"] == "thinking_blocks=dropped:refused"
    # What came after it was made without it.
    assert thoughts(upstream) == [0, 1, 0, 0]


async def test_a_refusal_that_repeats_itself_is_told_and_not_tried_for_ever(upstream: ScriptedUpstream) -> None:
    upstream.script(called())
    upstream.always(error_answer(400, "invalid_request_error", REFUSALS[0]))
    async with quick_gateway(key(upstream.base_url)) as running:
        await asked(running, asking(tools=[TOOL]))
        answer = await asked(running, again())

    assert answer.status_code == 400
    assert thoughts(upstream) == [0, 1, 0]


async def test_callers_get_nothing_of_each_others_turns(upstream: ScriptedUpstream) -> None:
    upstream.script(called())
    upstream.always(said())
    clients = [ClientConfig(name=name, api_key=Secret(f"key-of-{name}")) for name in ("one", "two")]
    async with quick_gateway(config=config_for(key(upstream.base_url), clients=clients)) as running:
        await asked(running, asking(tools=[TOOL]), authorization="Bearer key-of-one")
        for name in ("two", "one"):
            await asked(running, again(), authorization=f"Bearer key-of-{name}")

    assert thoughts(upstream) == [0, 0, 1]


async def test_who_brings_a_key_is_known_by_it(upstream: ScriptedUpstream) -> None:
    upstream.script(called())
    upstream.always(said())
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        await asked(running, asking(tools=[TOOL]), authorization=f"Bearer {KEY_A}")
        for own in (KEY_B, KEY_A):
            await asked(running, again(), authorization=f"Bearer {own}")

    assert thoughts(upstream) == [0, 0, 1]


@both
async def test_nothing_of_a_turn_and_no_key_is_in_the_log(
    upstream: ScriptedUpstream, read_log: Callable[[], str], stream: bool
) -> None:
    refusal = error_answer(400, "invalid_request_error", REFUSALS[0])
    upstream.script(called(stream), said(stream), refusal, said(stream))
    async with quick_gateway(key(upstream.base_url, api_key=KEY_A)) as running:
        await asked(running, asking(stream=stream, tools=[TOOL]))
        for _ in range(2):
            await asked(running, again(stream=stream))
        log = read_log()

    assert "Upstream refuses thinking that was sent back to it" in log
    assert [word for word in _secrets() if word in log] == []


def _secrets() -> Sequence[str]:
    return THOUGHT, SIGNATURE, ARGUMENT, "dust", KEY_A


async def test_a_conversation_goes_back_to_the_key_that_has_thought_for_it(upstream: ScriptedUpstream) -> None:
    upstream.script(called())
    upstream.always(said())
    # In turn, were it not for the thinking.
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        await asked(running, asking(tools=[TOOL]))
        for _ in range(2):
            await asked(running, again())
        await asked(running, asking("Something else"))

    first, *again_there, elsewhere = [request.api_key for request in upstream.received]
    assert again_there == [first, first]
    assert elsewhere != first
