"""Thinking that comes back to the strict upstream: what it is bound to, who passes it over, what is recorded."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest

from gateway.demo import account_of
from gateway.demo.errors import MessagesError
from tests.support.preserved import thoughts_of
from tests.support.upstream_rules import StrictUpstream, run_strict_upstream
from tests.support.upstream_rules.validation import read_messages_request

NEWEST = "2026-10-21"
SONNET = "claude-sonnet-5-5"
OPUS = "claude-opus-5-5"
PRESERVING = [
    "claude-fable-5-2",
    "claude-mythos-5-2",
    "claude-fable-5-1",
    "claude-mythos-5-1",
    OPUS,
    SONNET,
    "claude-haiku-5-5",
]
LENIENT = ["claude-opus-5", "claude-mythos-5", "claude-opus-4-8"]
MANUAL = "claude-sonnet-4-5"
KEY = "sk-ant-demo-acme-eu-1"
BINDING_BETA = "thinking-binding-controls-2026-08-01"

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: dict[str, Any] = {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}
MARK = {"cache_control": {"type": "ephemeral"}}

TEXT = {"type": "text", "text": "That will do."}
INVALID = "messages.1.content.0: Invalid `signature` in `thinking` block"

JSON = dict[str, Any]


@pytest.fixture
async def upstream() -> AsyncIterator[StrictUpstream]:
    async with run_strict_upstream() as running:
        yield running


@pytest.fixture
async def wire(upstream: StrictUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    # Nothing here is encrypted, and reading the system's certificates takes longer than a test.
    headers = {"x-api-key": KEY, "anthropic-version": NEWEST}
    async with httpx2.AsyncClient(base_url=upstream.base_url, headers=headers, verify=False) as client:
        yield client


def asking(text: str = "[[tools 2]] How is the weather in Rome?", model: str = SONNET, **more: Any) -> JSON:
    body = {
        "model": model,
        "max_tokens": 1000,
        "system": "Speak like a guide.",
        "tools": [WEATHER, CLOCK],
        "messages": [{"role": "user", "content": text}],
    }
    return body | more


async def answer(wire: httpx2.AsyncClient, body: JSON, key: str = KEY, **headers: str) -> JSON:
    response = await wire.post("/v1/messages", json=body, headers={"x-api-key": key, **headers})
    assert response.status_code == 200, response.text
    value: JSON = response.json()
    return value


async def complaint(wire: httpx2.AsyncClient, body: JSON, key: str = KEY, **headers: str) -> str:
    response = await wire.post("/v1/messages", json=body, headers={"x-api-key": key, **headers})
    assert response.status_code == 400, response.text
    return str(response.json()["error"]["message"])


def results_for(content: list[JSON]) -> list[JSON]:
    """A result for each call in an answer."""
    return [
        {"type": "tool_result", "tool_use_id": block["id"], "content": f"seen by {block['name']}"}
        for block in content
        if block["type"] == "tool_use"
    ]


def continued(body: JSON, content: list[JSON], following: Any = None) -> JSON:
    """The next request of a conversation: the answer as it came, and what follows it."""
    following = results_for(content) or "And then?" if following is None else following
    messages = [
        *body["messages"],
        {"role": "assistant", "content": content},
        {"role": "user", "content": following},
    ]
    return {**body, "messages": messages}


async def after_rounds(wire: httpx2.AsyncClient, body: JSON, rounds: int = 2) -> JSON:
    """The request that follows so many answers, which all were sent back whole."""
    for _ in range(rounds):
        body = continued(body, (await answer(wire, body))["content"])
    return body


def thoughts(body: JSON) -> list[JSON]:
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [block for content in contents for block in content if block["type"].endswith("thinking")]


def without_thoughts(body: JSON) -> JSON:
    body = copy.deepcopy(body)
    for message in body["messages"]:
        if isinstance(message["content"], list):
            message["content"] = [block for block in message["content"] if not block["type"].endswith("thinking")]
    return body


# What thinking is bound to.


@pytest.mark.parametrize("model", [*PRESERVING, *LENIENT])
async def test_ten_rounds_of_tools_go_well_when_all_is_sent_back(wire: httpx2.AsyncClient, model: str) -> None:
    body = await after_rounds(
        wire, asking("[[tools 10]] Look around", model, thinking={"type": "adaptive"}, max_tokens=4000), rounds=10
    )
    final = await answer(wire, body)

    assert len(thoughts(body)) == 10
    assert len({thought["signature"] for thought in thoughts(body)}) == 10
    assert final["stop_reason"] == "end_turn"


def first_text(body: JSON) -> None:
    body["messages"][0]["content"] += "!"


def system(body: JSON) -> None:
    body["system"] += "!"


def tools(body: JSON) -> None:
    body["tools"] = body["tools"][::-1]


def fewer_tools(body: JSON) -> None:
    del body["tools"][1]


def earlier_thought(body: JSON) -> None:
    del body["messages"][1]["content"][0]


def earlier_text(body: JSON) -> None:
    del body["messages"][1]["content"][1]


def earlier_order(body: JSON) -> None:
    content = body["messages"][1]["content"]
    content[0], content[1] = content[1], content[0]


def earlier_result(body: JSON) -> None:
    body["messages"][2]["content"][0]["content"] = "something else"


def earlier_failure(body: JSON) -> None:
    body["messages"][2]["content"][0]["is_error"] = True


def earlier_input(body: JSON) -> None:
    body["messages"][1]["content"][-1]["input"]["more"] = 1


def words_after_the_result(body: JSON) -> None:
    body["messages"][2]["content"].append({"type": "text", "text": "Go on."})


CHANGES: list[tuple[Callable[[JSON], None], str]] = [
    (first_text, "messages.1.content.0"),
    (system, "messages.1.content.0"),
    (tools, "messages.1.content.0"),
    (fewer_tools, "messages.1.content.0"),
    (earlier_thought, "messages.3.content.0"),
    (earlier_text, "messages.3.content.0"),
    (earlier_order, "messages.1.content.1"),
    (earlier_result, "messages.3.content.0"),
    (earlier_failure, "messages.3.content.0"),
    (earlier_input, "messages.3.content.0"),
    (words_after_the_result, "messages.3.content.0"),
]
changes = pytest.mark.parametrize(("change", "path"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])


@changes
@pytest.mark.parametrize("endpoint", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_a_change_before_a_thought_makes_it_invalid(
    wire: httpx2.AsyncClient, change: Callable[[JSON], None], path: str, endpoint: str
) -> None:
    body = await after_rounds(wire, asking())
    change(body)
    if endpoint.endswith("count_tokens"):
        del body["max_tokens"]
    response = await wire.post(endpoint, json=body)

    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"{path}: Invalid `signature` in `thinking` block"


@changes
@pytest.mark.parametrize("model", LENIENT)
async def test_models_that_do_not_preserve_thinking_take_any_prefix(
    wire: httpx2.AsyncClient, change: Callable[[JSON], None], path: str, model: str
) -> None:
    body = await after_rounds(wire, asking(model=model, thinking={"type": "adaptive"}))
    change(body)

    assert (await answer(wire, body))["content"]


@changes
async def test_a_thought_whose_prefix_changed_can_be_dropped_and_leaves_no_trace(
    wire: httpx2.AsyncClient, change: Callable[[JSON], None], path: str
) -> None:
    body = await after_rounds(wire, asking("[[tools 9]] Look around"))
    change(body)
    dropping = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    beta = {"anthropic-beta": BINDING_BETA}
    lenient = await answer(wire, {**body, "thinking": dropping}, **beta)
    place, number = int(path.split(".")[1]), int(path.split(".")[3])

    del body["messages"][place]["content"][number]
    if place == 1:
        # What the first thought stood before is gone as well now.
        del body["messages"][3]["content"][0]
    following = continued(body, lenient["content"])

    assert lenient["content"][0]["type"] == "thinking"
    assert (await answer(wire, following))["content"]


async def test_dropping_has_to_be_asked_for_in_a_beta(wire: httpx2.AsyncClient) -> None:
    binding = {"prefix_mismatch_behavior": "drop_block"}
    thinking = {"type": "adaptive", "block_binding": binding}
    quiet = {"type": "between_tools", "block_binding": binding}
    wrong = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "shrug"}}
    beta = {"anthropic-beta": BINDING_BETA}

    assert await complaint(wire, asking(thinking=thinking)) == (
        "thinking.adaptive.block_binding: Extra inputs are not permitted"
    )
    assert await complaint(wire, asking(thinking=quiet), **beta) == (
        "thinking.between_tools.block_binding: Extra inputs are not permitted"
    )
    assert await complaint(wire, asking(thinking=wrong), **beta) == (
        "thinking.adaptive.block_binding.prefix_mismatch_behavior: Input should be 'error' or 'drop_block'"
    )


async def test_the_same_in_other_words_of_json_is_the_same(wire: httpx2.AsyncClient) -> None:
    body = await after_rounds(wire, asking())
    question, first, result, second, last = body["messages"]
    (seen,) = result["content"]
    [*others, call] = first["content"]
    del call["caller"]
    first["content"][0]["thinking"] = "Put into a kept-back thought."
    turned = {name: WEATHER[name] for name in reversed(WEATHER)}
    rewritten = {
        **body,
        "system": [{"type": "text", "text": body["system"], **MARK}],
        "tools": [{**turned, "type": "custom"}, {**CLOCK, "description": "", **MARK}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": question["content"], **MARK}]},
            {"role": "assistant", "content": others},
            {"role": "assistant", "content": [{**call, "cache_control": None}]},
            {
                "role": "user",
                "content": [{**seen, "is_error": False, "content": [{**TEXT, "text": seen["content"], **MARK}]}],
            },
            second,
            last,
        ],
    }

    assert (await answer(wire, rewritten))["content"]


def text_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a text: its container and its key."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        if isinstance(value[key], str):
            yield value, key
        else:
            yield from text_places(value[key])


async def test_no_text_before_a_thought_can_be_changed(wire: httpx2.AsyncClient) -> None:
    body = await after_rounds(wire, asking("[[interleave]] How is the weather in Rome?"), rounds=1)
    body = continued(body, (await answer(wire, body))["content"])
    parts = {"tools": body["tools"], "system": body["system"], "messages": body["messages"][:3]}
    count = len(list(text_places(parts)))
    account = account_of(KEY).organization_id
    read_messages_request(json.dumps(body).encode(), NEWEST, [], account)

    for place in range(count):
        before = copy.deepcopy(parts)
        container, key = list(text_places(before))[place]
        if key != "thinking":
            container[key] += "x"
            changed = {**body, **before, "messages": [*before["messages"], *body["messages"][3:]]}
            with pytest.raises(MessagesError):
                read_messages_request(json.dumps(changed).encode(), NEWEST, [], account)
    assert count > 25


async def test_a_thought_in_the_middle_is_bound_to_the_blocks_of_its_own_turn(wire: httpx2.AsyncClient) -> None:
    body = await after_rounds(wire, asking("[[interleave]] Look around"), rounds=1)
    content = body["messages"][1]["content"]
    content[0]["text"] += "!"

    assert await complaint(wire, body) == "messages.1.content.1: Invalid `signature` in `thinking` block"


async def test_who_has_said_something_counts(wire: httpx2.AsyncClient) -> None:
    body = asking("[[tools 1]] Look around")
    body["messages"] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day."},
        *body["messages"],
    ]
    body = continued(body, (await answer(wire, body))["content"])
    body["messages"][1]["role"] = "user"

    assert await complaint(wire, body) == INVALID


async def test_an_answer_that_continues_a_turn_belongs_to_it(wire: httpx2.AsyncClient) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found: JSON = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    body = asking("Hello", tools=[])
    body["messages"].append({"role": "assistant", "content": [search, found]})
    said = (await answer(wire, body))["content"]
    joined, apart = copy.deepcopy(body), copy.deepcopy(body)
    joined["messages"][1]["content"] += said
    apart["messages"].append({"role": "assistant", "content": said})

    for following in (joined, apart):
        following["messages"].append({"role": "user", "content": "And then?"})
        assert (await answer(wire, following))["content"]
    assert said[0]["type"] == "thinking"


# Edits, accounts, models.


async def test_an_edited_thought_is_named_by_where_it_stands(wire: httpx2.AsyncClient) -> None:
    shown = {"type": "adaptive", "display": "summarized"}
    body = await after_rounds(wire, asking(thinking=shown))
    latest, earlier = copy.deepcopy(body), copy.deepcopy(body)
    latest["messages"][3]["content"][0]["thinking"] += "!"
    earlier["messages"][1]["content"][0]["thinking"] += "!"

    assert await complaint(wire, latest) == (
        "messages.3.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be"
        " modified. These blocks must remain as they were in the original response."
    )
    assert await complaint(wire, earlier) == INVALID


def damaged_head(sealed: str) -> str:
    return ("A" if sealed[0] != "A" else "B") + sealed[1:]


@pytest.mark.parametrize("model", [SONNET, "claude-opus-5"])
@pytest.mark.parametrize("damage", [lambda sealed: sealed[4:], lambda sealed: sealed[:-4], lambda _: "", damaged_head])
async def test_a_damaged_signature_is_invalid(
    wire: httpx2.AsyncClient, model: str, damage: Callable[[str], str]
) -> None:
    body = await after_rounds(wire, asking(model=model), rounds=1)
    thought = body["messages"][1]["content"][0]
    thought["signature"] = damage(thought["signature"])

    assert await complaint(wire, body) == INVALID


@pytest.mark.parametrize("model", [SONNET, "claude-opus-5"])
async def test_a_thought_belongs_to_the_account_that_it_was_given_to(wire: httpx2.AsyncClient, model: str) -> None:
    body = await after_rounds(wire, asking(model=model))

    assert await complaint(wire, body, "sk-ant-other") == INVALID
    assert await complaint(wire, body, "sk-ant-demo-umbrella-eu-1") == INVALID
    assert (await answer(wire, body, "sk-ant-demo-acme-us-7"))["content"]


async def test_keys_say_in_their_name_whose_they_are(wire: httpx2.AsyncClient) -> None:
    keys = ["sk-ant-demo-acme-eu-1", "sk-ant-demo-acme-eu", "sk-ant-demo-acme-us", "one", "two", "one"]
    told = []
    for key in keys:
        headers = (await wire.get("/v1/models", headers={"x-api-key": key})).headers
        told.append((headers["anthropic-organization-id"], headers["anthropic-workspace-id"]))
    organizations, workspaces = zip(*told, strict=True)

    assert told == [(account_of(key).organization_id, account_of(key).workspace_id) for key in keys]
    assert [organizations.index(each) for each in organizations] == [0, 0, 0, 3, 4, 3]
    assert [workspaces.index(each) for each in workspaces] == [0, 0, 2, 3, 4, 3]


async def test_the_thoughts_of_another_model_are_passed_over(wire: httpx2.AsyncClient) -> None:
    body = {**await after_rounds(wire, asking(model=OPUS)), "model": SONNET}
    body["messages"][0]["content"] = "[[tools 9]] Something else"
    following = continued(body, (await answer(wire, body))["content"])

    assert len(thoughts(following)) == 3
    assert (await answer(wire, following))["content"]
    with_one_left = continued(without_thoughts(body), following["messages"][-2]["content"])
    assert (await answer(wire, with_one_left))["content"]


async def test_an_edited_thought_of_another_model_is_refused_where_such_are_not_passed_over(
    wire: httpx2.AsyncClient,
) -> None:
    shown = {"type": "adaptive", "display": "summarized"}
    body = await after_rounds(wire, asking(model=OPUS, thinking=shown))
    body["messages"][1]["content"][0]["thinking"] += "!"

    assert (await answer(wire, {**body, "model": SONNET}))["content"]
    assert await complaint(wire, {**body, "model": "claude-opus-5"}) == INVALID


async def test_fable_reads_what_opus_thought(wire: httpx2.AsyncClient) -> None:
    body = {**await after_rounds(wire, asking(model=OPUS)), "model": "claude-fable-5-1"}

    assert (await answer(wire, body))["content"]
    body["system"] += "!"
    assert await complaint(wire, body) == INVALID


@pytest.mark.parametrize("model", PRESERVING)
async def test_thoughts_may_be_left_out_from_the_end_on_or_altogether(wire: httpx2.AsyncClient, model: str) -> None:
    body = await after_rounds(wire, asking(model=model))
    without_last = copy.deepcopy(body)
    del without_last["messages"][3]["content"][0]

    assert (await answer(wire, without_last))["content"]
    assert (await answer(wire, without_thoughts(body)))["content"]


async def test_manual_thinking_wants_its_thought_in_an_open_loop(wire: httpx2.AsyncClient) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = await after_rounds(wire, asking(model=MANUAL, thinking=thinking, max_tokens=4000))

    assert (await answer(wire, body))["content"]
    assert (await complaint(wire, without_thoughts(body))).startswith(
        "messages.3.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`."
    )


# Redacted thinking.


async def test_redacted_thinking_can_be_ordered_and_goes_back_like_any_other(wire: httpx2.AsyncClient) -> None:
    body = await after_rounds(wire, asking("[[tools 3]] [[redact]] Look around"), rounds=3)

    kinds = [thought["type"] for thought in thoughts(body)]
    assert kinds == ["thinking", "redacted_thinking"] * 3
    assert (await answer(wire, body))["content"]


async def test_redacted_thinking_is_bound_and_sealed_too(wire: httpx2.AsyncClient) -> None:
    body = await after_rounds(wire, asking("[[redact]] Hello", tools=[]), rounds=1)
    moved, damaged = copy.deepcopy(body), copy.deepcopy(body)
    del moved["messages"][1]["content"][0]
    damaged["messages"][1]["content"][1]["data"] = damaged["messages"][1]["content"][0]["signature"]

    assert await complaint(wire, moved) == "messages.1.content.0: Invalid `data` in `redacted_thinking` block"
    assert await complaint(wire, damaged) == "messages.1.content.1: Invalid `data` in `redacted_thinking` block"
    assert await complaint(wire, body, "sk-ant-other") == INVALID


async def test_a_signature_is_no_data(wire: httpx2.AsyncClient) -> None:
    body = await after_rounds(wire, asking("[[redact]] Hello", "claude-opus-4-8", tools=[]), rounds=1)
    content = body["messages"][1]["content"]
    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "text"]
    content[1]["data"] = content[0]["signature"]

    assert await complaint(wire, body) == "messages.1.content.1: Invalid `data` in `redacted_thinking` block"


async def test_redacted_thinking_streams_in_one_event(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/messages", json=asking("[[redact]] Hello", stream=True))
    events = [json.loads(line[5:]) for line in response.text.splitlines() if line.startswith("data:")]
    (start,) = [event for event in events if event.get("content_block", {}).get("type") == "redacted_thinking"]

    assert start["content_block"]["data"]
    assert [event["type"] for event in events if event.get("index") == start["index"]] == [
        "content_block_start",
        "content_block_stop",
    ]


# Runs of tool calls.


async def test_tools_are_called_as_often_as_ordered(wire: httpx2.AsyncClient) -> None:
    body, names = asking("[[tools 4]] Look around"), []
    while (said := await answer(wire, body))["stop_reason"] == "tool_use":
        names.append([block["name"] for block in said["content"] if block["type"] == "tool_use"])
        body = continued(body, said["content"])
    again = continued(body, said["content"], "Thanks.")

    assert names == [["get_weather"], ["get_time"]] * 2
    assert (await answer(wire, again))["stop_reason"] == "end_turn"


async def test_an_order_holds_for_the_run_of_calls_and_not_beyond(wire: httpx2.AsyncClient) -> None:
    body = asking("[[tools 2]] [[redact]] Look around")
    first = await answer(wire, body)
    second = await answer(wire, body := continued(body, first["content"]))
    third = await answer(wire, continued(body, second["content"], [*results_for(second["content"]), TEXT]))

    for said in (first, second):
        assert "redacted_thinking" in [block["type"] for block in said["content"]]
    assert [block["type"] for block in third["content"]] == ["thinking", "text"]


async def test_an_order_does_not_hold_for_what_is_shown_later(wire: httpx2.AsyncClient) -> None:
    shown = [{"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}]
    body = continued(asking("[[error 500]]"), [{"type": "text", "text": "Sorry."}], shown)

    assert (await answer(wire, body))["stop_reason"] == "end_turn"


async def test_no_words_precede_forced_calls_however_interleaved(wire: httpx2.AsyncClient) -> None:
    body = asking("[[interleave]] Look around", "claude-haiku-5-5", tool_choice={"type": "any"})

    assert [block["type"] for block in (await answer(wire, body))["content"]] == ["tool_use", "tool_use"]


@pytest.mark.parametrize(
    ("model", "thinking", "kinds"),
    [
        (SONNET, {"type": "adaptive"}, ["text", "thinking", "tool_use", "text", "tool_use"]),
        (
            MANUAL,
            {"type": "enabled", "budget_tokens": 1024},
            ["thinking", "text", "thinking", "tool_use", "text", "tool_use"],
        ),
    ],
)
async def test_text_thinking_and_calls_can_be_interleaved(
    wire: httpx2.AsyncClient, model: str, thinking: JSON, kinds: list[str]
) -> None:
    body = asking("[[interleave]] How is the weather in Rome?", model, thinking=thinking, max_tokens=4000)
    said = await answer(wire, body)

    assert [block["type"] for block in said["content"]] == kinds
    assert (await answer(wire, continued(body, said["content"])))["stop_reason"] == "end_turn"


# What is recorded, and accounts that fail.


async def test_a_request_is_kept_with_its_thoughts_and_its_answer(
    wire: httpx2.AsyncClient, upstream: StrictUpstream
) -> None:
    body = await after_rounds(wire, asking("[[redact]] Use get_time"), rounds=1)
    said = await answer(wire, body)
    body["system"] += "!"
    refused = await complaint(wire, body)
    first, second, third = upstream.received

    assert [len(thoughts_of(received)) for received in upstream.received] == [0, 2, 2]
    assert thoughts_of(second) == thoughts(body)
    assert first.answer["content"] == body["messages"][1]["content"]
    assert (second.status, second.answer) == (200, said)
    assert (third.status, third.answer["error"]["message"]) == (400, refused)
    assert {received.account for received in upstream.received} == {account_of(KEY)}


async def test_a_streamed_answer_is_kept_as_the_message_that_it_assembles_to(
    wire: httpx2.AsyncClient, upstream: StrictUpstream
) -> None:
    body = asking("Use get_time", stream=True)
    await wire.post("/v1/messages", json=body)
    content = upstream.received[-1].answer["content"]

    assert upstream.received[-1].status == 200
    assert (await answer(wire, {**continued(body, content), "stream": False}))["content"]


async def test_what_is_no_conversation_has_no_thoughts(wire: httpx2.AsyncClient, upstream: StrictUpstream) -> None:
    for body in (b"[]", b"{", b'{"messages": [1, {"content": 5}, {"content": [2, {}, {"type": ["thinking"]}]}]}'):
        await wire.post("/v1/messages", content=body)

    assert [thoughts_of(received) for received in upstream.received] == [[], [], []]


@pytest.mark.parametrize(
    ("failing", "statuses"),
    [
        (account_of(KEY).organization_id, [529, 529, 200]),
        (account_of(KEY).workspace_id, [529, 200, 200]),
    ],
)
async def test_an_account_or_a_workspace_can_be_made_to_fail(
    wire: httpx2.AsyncClient, upstream: StrictUpstream, failing: str, statuses: list[int]
) -> None:
    async def answers() -> list[httpx2.Response]:
        keys = [KEY, "sk-ant-demo-acme-us-1", "sk-ant-other"]
        return [await wire.post("/v1/messages", json=asking(), headers={"x-api-key": key}) for key in keys]

    upstream.failing[failing] = 529
    failed = await answers()
    upstream.failing.clear()

    assert [answer.status_code for answer in failed] == statuses
    assert [answer.status_code for answer in await answers()] == [200, 200, 200]
    assert failed[0].headers["anthropic-organization-id"] == account_of(KEY).organization_id
