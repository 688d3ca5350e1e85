"""Turns that are kept go back as they were made, or not at all: whatever happens, upstream finds no seal broken."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.conversations import called, chat, returned, said, tool
from tests.support.intents import read_intent
from tests.support.sealed import Sealing, flat, thoughts
from translators.answers.recorder import Block
from translators.hosts import HostProfile
from translators.kept.recalling import KnownTurns
from translators.kept.turns import KeptTurn, Origin, kept_turn, refuses_thinking
from translators.messages.options import Options
from translators.models import model_table

TOOLS = [tool("look", parameters={"type": "object", "properties": {"at": {"type": "string"}}}), tool("add")]
BOUND, UNBOUND, MANUAL = "claude-sonnet-5-5", "claude-opus-4-8", "claude-sonnet-4-5"


def think(text: str = "") -> dict[str, Any]:
    return {"type": "thinking", "thinking": text}


def use(call_id: str, name: str = "look", **value: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": value}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def asked(*messages: Any, tools: Any = TOOLS, **fields: Any) -> dict[str, Any]:
    return chat(*messages, tools=tools, **fields)


HELLO = said("system", "You look things up."), said("user", "What is there?")
ANSWER = (think("Hm."), text("Let me look."), use("toolu_1", at="here"))


def values_of_turns(loop: Sealing) -> list[bytes]:
    """The turns that are kept, without what leads to them by their places."""
    return [value for value in loop.store.values.values() if value not in loop.store.values]


def standard(message: dict[str, Any]) -> dict[str, Any]:
    """What a client keeps that knows api.openai.com only."""
    return {name: message[name] for name in ("role", "content", "tool_calls") if message.get(name) is not None}


def two_turns(first: dict[str, Any], *rest: Any, seen: Any = None, loop: Sealing, **fields: Any) -> None:
    """Ask, answer with `ANSWER`, and ask again with the result."""
    shown = standard(loop.ask(first, ANSWER))
    shown = seen(shown) if seen else shown
    loop.ask(asked(*first["messages"], shown, returned("toolu_1"), *rest, **fields), [text("Nothing.")])


def test_a_turn_goes_back_with_its_thinking_at_its_place() -> None:
    loop = Sealing()
    two_turns(asked(*HELLO), loop=loop)

    turn = json.loads(loop.bodies[1])["messages"][1]
    assert [block["type"] for block in turn["content"]] == ["thinking", "text", "tool_use"]
    assert turn["content"][0]["thinking"] == "Hm."
    assert not loop.broken
    assert flat(loop.bodies[1])[: len(flat(loop.bodies[0]))] == flat(loop.bodies[0])
    assert loop.adjusted == [None, None]


@pytest.mark.parametrize(
    "answer",
    [
        [{"type": "redacted_thinking"}, use("toolu_1", at="here")],
        [think(), think("More."), use("toolu_1", at="here")],
        [think(), text("A"), use("toolu_1", at="here"), text("B"), think("C"), use("toolu_2", "add", n=1)],
        [text("A"), use("toolu_1", at="here"), text("B")],
        [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": [{"type": "web_search_result", "url": "https://a.example", "encrypted_content": "Eq8C"}],
            },
            text("Found."),
            use("toolu_1", at="here"),
        ],
    ],
    ids=["redacted", "two thoughts", "interleaved", "text between calls", "server tool"],
)
def test_what_no_completion_shows_goes_back_in_order(answer: list[dict[str, Any]]) -> None:
    loop = Sealing()
    shown = standard(loop.ask(asked(*HELLO), answer))
    results = [returned(call["id"]) for call in shown["tool_calls"]]
    loop.ask(asked(*HELLO, shown, *results), [text("Done.")])

    sent = json.loads(loop.bodies[1])["messages"][1]["content"]
    sealed = [{name: value for name, value in block.items() if name not in ("signature", "data")} for block in sent]
    assert sealed == answer
    assert not loop.broken


def test_an_answer_of_a_server_tool_is_kept_without_calls() -> None:
    loop = Sealing()
    search: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        text("Found."),
    ]
    shown = standard(loop.ask(asked(*HELLO, web_search_options={}), search))
    loop.ask(asked(*HELLO, shown, said("user", "And?"), web_search_options={}), [text("No.")])

    assert json.loads(loop.bodies[1])["messages"][1]["content"] == search


@pytest.mark.parametrize(
    "answer",
    [[text("A"), use("toolu_1", at="here")], [think("Hm."), text("Plain.")], [use("toolu_1"), use("toolu_2")]],
    ids=["nothing hidden", "no calls", "calls only"],
)
def test_what_a_client_can_send_back_by_itself_is_not_kept(answer: list[dict[str, Any]]) -> None:
    loop = Sealing()
    loop.ask(asked(*HELLO), answer)

    assert loop.store.values == {}


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "model_context_window_exceeded", "something new"])
def test_an_answer_that_was_cut_off_is_not_kept(stop_reason: str) -> None:
    loop = Sealing()
    loop.ask(asked(*HELLO), ANSWER, stop_reason=stop_reason)

    assert loop.store.values == {}


def test_thinking_under_words_of_one_turn_is_not_kept() -> None:
    loop = Sealing()
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "look"}]}}
    loop.ask(asked(*HELLO, tool_choice=choice), ANSWER)

    assert loop.store.values == {}


def test_without_tools_nothing_is_looked_up() -> None:
    loop = Sealing()
    loop.ask(chat(*HELLO, said("assistant", "So."), said("user", "And?")), [think(), text("No.")])

    assert loop.store.fetches == 0


# What clients make of a turn.


def _spelled(message: dict[str, Any], arguments: str) -> dict[str, Any]:
    call = message["tool_calls"][0]
    return {**message, "tool_calls": [{**call, "function": {**call["function"], "arguments": arguments}}]}


@pytest.mark.parametrize(
    "seen",
    [
        lambda message: _spelled(message, '{"at":"here"}'),
        lambda message: _spelled(message, ' {"at" : "h\\u0065re"}\n'),
        lambda message: {**message, "content": "Let me look. \n"},
        lambda message: {**message, "content": [{"type": "text", "text": "Let me look."}]},
        lambda message: {**message, "refusal": None, "annotations": [], "audio": None, "function_call": None},
    ],
    ids=["spaces", "escapes", "trimmed", "parts", "nulls"],
)
def test_how_a_client_spells_a_turn_does_not_matter(seen: Any) -> None:
    loop = Sealing()
    two_turns(asked(*HELLO), seen=seen, loop=loop)

    assert len(thoughts(loop.bodies[1])) == 1
    assert not loop.broken


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (lambda message: _spelled(message, '{"at": "there"}'), "there"),
        (lambda message: {**message, "content": "Let me see."}, "Let me see."),
        (
            lambda message: {**message, "content": [{"type": "text", "text": "Let "}, {"type": "text", "text": "me"}]},
            "me",
        ),
    ],
    ids=["arguments", "text", "parts"],
)
def test_where_a_client_has_changed_a_turn_it_wins(seen: Any, says: str) -> None:
    loop = Sealing()
    two_turns(asked(*HELLO), seen=seen, loop=loop)

    assert thoughts(loop.bodies[1]) == []
    assert loop.adjusted == [None, "thinking_blocks=dropped:edited"]
    assert says in json.dumps(json.loads(loop.bodies[1])["messages"][1])


def test_thinking_that_the_client_sends_back_itself_is_used() -> None:
    loop = Sealing()
    own = {"type": "thinking", "thinking": "Mine.", "signature": "EqQB"}
    two_turns(asked(*HELLO), seen=lambda message: {**message, "thinking_blocks": [own]}, loop=loop)

    assert [json.loads(thought) for thought in thoughts(loop.bodies[1])] == [own]
    assert loop.adjusted == [None, None]


def test_the_same_thinking_from_the_client_is_no_other() -> None:
    loop = Sealing()
    first = asked(*HELLO)
    answer = [think("Hm."), text("A"), use("toolu_1", at="here"), text("B")]
    shown = loop.ask(first, answer, options=Options(show_thinking_blocks=True))
    loop.ask(asked(*HELLO, shown, returned("toolu_1")), [text("Nothing.")])

    turn = json.loads(loop.bodies[1])["messages"][1]["content"]
    assert shown["thinking_blocks"] == [turn[0]]
    assert [block["type"] for block in turn] == ["thinking", "text", "tool_use", "text"]


def test_ids_that_had_to_be_changed_are_upstreams_own_again() -> None:
    loop = Sealing()
    long_id = "toolu_" + "x" * 60
    shown = standard(loop.ask(asked(*HELLO), [think(), use(long_id, at="here")]))
    given = shown["tool_calls"][0]["id"]
    loop.ask(asked(*HELLO, shown, returned(given)), [text("Nothing.")])

    _, turn, result = json.loads(loop.bodies[1])["messages"]
    assert len(given) <= 40
    assert (turn["content"][1]["id"], result["content"][0]["tool_use_id"]) == (long_id, long_id)


def test_the_legacy_form_has_its_thinking_back() -> None:
    loop = Sealing()
    functions = [{"name": "look", "parameters": {"type": "object"}}]
    shown = loop.ask(chat(*HELLO, functions=functions), [think("Hm."), use("toolu_1", at="here")])
    result = {"role": "function", "name": "look", "content": "dust"}
    call = {"role": "assistant", "content": None, "function_call": shown["function_call"]}
    loop.ask(chat(*HELLO, call, result, functions=functions), [text("Dust.")])

    _, turn, answered = json.loads(loop.bodies[1])["messages"]
    assert [block["type"] for block in turn["content"]] == ["thinking", "tool_use"]
    assert answered["content"][0]["tool_use_id"] == "toolu_1"
    assert not loop.broken


def test_custom_tools_and_wrapped_arguments_are_known_again() -> None:
    loop = Sealing()
    union = {"anyOf": [{"type": "object"}, {"type": "null"}]}
    tools = [{"type": "custom", "custom": {"name": "write"}}, tool("pick", parameters=union)]
    answer = [think(), use("toolu_1", "write", input="free\ntext"), use("toolu_2", "pick", value={"a": 1})]
    shown = standard(loop.ask(asked(*HELLO, tools=tools), answer))
    loop.ask(asked(*HELLO, shown, returned("toolu_1"), returned("toolu_2"), tools=tools), [text("Done.")])

    assert shown["tool_calls"][0]["custom"]["input"] == "free\ntext"
    assert shown["tool_calls"][1]["function"]["arguments"] == '{"a": 1}'
    assert len(thoughts(loop.bodies[1])) == 1


def test_the_clients_marks_stay_on_a_turn_that_goes_back() -> None:
    loop = Sealing()
    mark = {"type": "ephemeral"}
    parts = [{"type": "text", "text": "Let me look.", "cache_control": mark}]
    two_turns(asked(*HELLO), seen=lambda message: {**message, "content": parts}, loop=loop)

    turn = json.loads(loop.bodies[1])["messages"][1]["content"]
    assert [block.get("cache_control") for block in turn] == [None, None, mark]


# Whose it is, and what it stands on.


def test_callers_and_models_do_not_share_turns() -> None:
    loop = Sealing()
    shown = standard(loop.ask(asked(*HELLO), ANSWER, scope=b"me"))
    again = asked(*HELLO, shown, returned("toolu_1"))
    other = Sealing("claude-opus-5-5", loop.store)

    assert thoughts(loop.written(again, scope=b"you")[0].body) == []
    assert thoughts(other.written(again)[0].body) == []
    assert len(thoughts(loop.written(again)[0].body)) == 1


@pytest.mark.parametrize(("model", "stays"), [(BOUND, 0), (UNBOUND, 1)])
@pytest.mark.parametrize("change", ["system", "tools"])
def test_a_changed_beginning_leaves_thinking_out_where_the_model_checks_it(model: str, stays: int, change: str) -> None:
    loop = Sealing(model)
    shown = standard(loop.ask(asked(*HELLO, reasoning_effort="high"), ANSWER))
    system = said("system", "Another." if change == "system" else "You look things up.")
    tools = [*TOOLS, tool("new")] if change == "tools" else TOOLS
    again = asked(system, HELLO[1], shown, returned("toolu_1"), tools=tools, reasoning_effort="high")
    request, _ = loop.written(again)

    assert len(thoughts(request.body)) == stays
    assert request.adjusted == (None if stays else "thinking_blocks=dropped:changed")


def test_an_edited_beginning_leaves_thinking_out() -> None:
    loop = Sealing(UNBOUND)
    shown = standard(loop.ask(asked(*HELLO, reasoning_effort="high"), ANSWER))
    again = asked(HELLO[0], said("user", "What was there?"), shown, returned("toolu_1"), reasoning_effort="high")

    assert thoughts(loop.written(again)[0].body) == []


def test_moving_marks_change_nothing() -> None:
    loop = Sealing()
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = {"role": "user", "content": [{"type": "text", "text": "What is there?", **mark}]}
    shown = standard(loop.ask(asked(HELLO[0], marked, tools=[TOOLS[0], {**TOOLS[1], **mark}]), ANSWER))
    loop.ask(asked(*HELLO, shown, returned("toolu_1")), [text("Nothing.")])

    assert len(thoughts(loop.bodies[1])) == 1


def test_another_account_gets_no_thinking_and_that_stays_so() -> None:
    loop = Sealing()
    first = standard(loop.ask(asked(*HELLO), ANSWER, account="a"))
    history = [*HELLO, first, returned("toolu_1")]
    second = standard(loop.ask(asked(*history), [text("Nothing.")], account="b"))
    history += [second, said("user", "Sure?")]
    loop.ask(asked(*history), [text("Yes.")], account="a")

    assert [len(thoughts(body)) for body in loop.bodies] == [0, 0, 0]
    assert loop.adjusted[1] == "thinking_blocks=dropped:account"
    assert flat(loop.bodies[2])[: len(flat(loop.bodies[1]))] == flat(loop.bodies[1])
    assert not loop.broken


def test_thinking_of_the_new_account_goes_back_to_it() -> None:
    loop = Sealing()
    first = standard(loop.ask(asked(*HELLO), ANSWER, account="a"))
    history = [*HELLO, first, returned("toolu_1")]
    second = standard(loop.ask(asked(*history), [think("B."), use("toolu_2", "add")], account="b"))
    request, writer = loop.written(asked(*history, second, returned("toolu_2")), account="b")

    assert ['"B."' in thought for thought in thoughts(request.body)] == [True]
    assert writer.recollection.account is not None
    assert writer.recollection.account.organization == "b"


def test_a_manual_model_thinks_on_where_its_thinking_is_known() -> None:
    loop = Sealing(MANUAL)
    fields = {"reasoning_effort": "low", "max_tokens": 8000}
    shown = standard(loop.ask(asked(*HELLO, **fields), ANSWER))
    again = asked(*HELLO, shown, returned("toolu_1"), **fields)
    with_it = json.loads(loop.written(again)[0].body)
    loop.store.values.clear()
    without = loop.written(again)[0]

    assert with_it["thinking"]["type"] == "enabled"
    assert "thinking" not in json.loads(without.body)
    assert without.adjusted is not None
    assert "no-signed-thinking" in without.adjusted


def test_what_upstream_refuses_is_not_sent_again() -> None:
    loop = Sealing()
    own = {"type": "thinking", "thinking": "Mine.", "signature": "EqQB"}
    first = standard(loop.ask(asked(*HELLO), ANSWER))
    history = [*HELLO, first, returned("toolu_1")]
    second = standard(loop.ask(asked(*history), [think("B."), use("toolu_2", "add")]))
    history += [{**second, "thinking_blocks": [own]}, returned("toolu_2")]
    request, writer = loop.written(asked(*history))
    writer.learn(HostProfile(), "messages.3.content.0: Invalid `signature` in `thinking` block", request)
    once_more = writer(HostProfile(), True)
    third = standard(loop.answered(writer, once_more, [think("C."), use("toolu_3", "add")]))
    later, _ = loop.written(asked(*history, third, returned("toolu_3")))

    assert len(thoughts(request.body)) == 2
    assert thoughts(once_more.body) == []
    assert once_more.adjusted == "thinking_blocks=dropped:refused"
    assert ['"C."' in thought for thought in thoughts(later.body)] == [True]
    assert loop.memory.counts.left_out == {"refused": 2}


@pytest.mark.parametrize(
    ("message", "is_about_thinking"),
    [
        ("messages.1.content.0: Invalid `signature` in `thinking` block", True),
        ("messages.1.content.0: Invalid `signature`", True),
        ("Expected `thinking` or `redacted_thinking`, but found `tool_use`.", True),
        ("messages.1.content.0: Input tag '`thinking`' found using 'type' does not match", False),
        ("messages.1.content.0: Input should be 'thinking blocks cannot be modified'", False),
        (
            "messages.5.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be "
            "modified. These blocks must remain as they were in the original response.",
            True,
        ),
        ("messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.", True),
        ('"thinking.type.enabled" is not supported for this model.', False),
        ("adaptive thinking is not supported on this model", False),
        ("`max_tokens` must be greater than `thinking.budget_tokens`.", False),
        ("`temperature` may only be set to 1 when thinking is enabled.", False),
        ("prompt is too long: 210000 tokens > 200000 maximum", False),
    ],
)
def test_upstreams_words_about_thinking_in_the_history_are_known(message: str, is_about_thinking: bool) -> None:
    assert refuses_thinking(message) is is_about_thinking


# What must always hold.

_names = st.sampled_from(["look", "add"])
_words = st.sampled_from(["", "A", "B \u00e9 \U0001f600", " c \n"])
_blocks = st.one_of(
    st.builds(think, _words),
    st.just({"type": "redacted_thinking"}),
    st.builds(text, _words.filter(str.strip)),
    st.builds(lambda name, value: use("", name, at=value), _names, _words),
    st.just({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_0", "content": []}),
)
_answers = st.lists(_blocks, min_size=1, max_size=5)
_events = st.fixed_dictionaries(
    {
        "answer": _answers,
        "account": st.sampled_from(["a", "a", "a", "b"]),
        "lost": st.sampled_from([None, None, None, 0, -1, "all"]),
        "system": st.sampled_from([None, None, None, None, "Other."]),
        "edit": st.sampled_from([None, None, None, None, "user", "assistant", "drop"]),
    }
)
_CALM = {"account": "a", "lost": None, "system": None, "edit": None}


def play(loop: Sealing, events: list[dict[str, Any]]) -> None:
    """A conversation: each event is an answer, and what happens before it."""
    system, history = "You look things up.", [said("user", "What is there?")]
    number = 0
    for event in events:
        system = event["system"] or system
        _forget(loop, event["lost"])
        history = _edited(history, event["edit"])
        answer = []
        for block in event["answer"]:
            number += 1
            answer.append({**block, "id": f"toolu_{number}"} if block["type"] == "tool_use" else block)
        shown = standard(loop.ask(asked(said("system", system), *history), answer, account=event["account"]))
        results = [returned(call["id"], "found") for call in shown.get("tool_calls", ())]
        history += [shown, *(results or [said("user", f"And {number}?")])]


def _forget(loop: Sealing, lost: Any) -> None:
    keys = list(loop.store.values)
    loop.store.forget(keys if lost == "all" else [keys[lost]] if lost is not None and keys else [])


def _edited(history: list[dict[str, Any]], edit: str | None) -> list[dict[str, Any]]:
    if edit == "drop" and len(history) > 3 and history[1]["role"] == "assistant" and not history[1].get("tool_calls"):
        return history[2:]
    if edit in ("user", "assistant"):
        for index, message in enumerate(history):
            if message["role"] == edit and message.get("content"):
                return [*history[:index], {**message, "content": "edited"}, *history[index + 1 :]]
    return history


@given(st.lists(_answers, min_size=2, max_size=7), st.sampled_from([BOUND, UNBOUND]))
def test_a_request_repeats_the_one_before_it_with_all_thinking(answers: list[Any], model: str) -> None:
    loop = Sealing(model)
    play(loop, [{"answer": answer, **_CALM} for answer in answers])

    assert not loop.broken
    for earlier, later in zip(loop.bodies, loop.bodies[1:], strict=False):
        assert flat(later)[: len(flat(earlier))] == flat(earlier)


@given(st.lists(_events, min_size=2, max_size=7))
def test_no_seal_is_ever_broken_whatever_is_lost_or_changed_or_fails_over(events: list[dict[str, Any]]) -> None:
    loop = Sealing(BOUND)
    play(loop, events)

    assert not loop.broken


@given(st.binary(max_size=40))
def test_a_value_that_cannot_be_read_is_none(value: bytes) -> None:
    loop = Sealing()
    shown = standard(loop.ask(asked(*HELLO), ANSWER))
    key = next(iter(loop.store.values))
    loop.store.values[key] = value

    assert thoughts(loop.written(asked(*HELLO, shown, returned("toolu_1")))[0].body) == []


def test_calls_made_elsewhere_are_left_as_they_are() -> None:
    loop = Sealing()
    loop.ask(asked(*HELLO, called(("call_1", "look", "{}")), returned("call_1")), [text("So.")])

    assert thoughts(loop.bodies[0]) == []
    assert loop.adjusted == [None]


# Answers that Messages gives out and does not take back.


def test_a_text_that_is_empty_does_not_go_back() -> None:
    loop = Sealing()
    answer = [think("Hm."), text(""), use("toolu_1", at="here"), text("")]
    shown = standard(loop.ask(asked(*HELLO), answer))
    loop.ask(asked(*HELLO, shown, returned("toolu_1")), [text("Nothing.")])

    turn = json.loads(loop.bodies[1])["messages"][1]["content"]
    assert [block["type"] for block in turn] == ["thinking", "tool_use"]


def test_a_turn_that_has_paused_for_good_is_not_kept() -> None:
    loop = Sealing()
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    loop.ask(asked(*HELLO), [text("I look."), search], stop_reason="pause_turn")

    assert loop.store.values == {}


def test_a_turn_that_said_nothing_still_stands_behind_a_system_message() -> None:
    loop = Sealing()
    first = standard(loop.ask(asked(*HELLO), ANSWER, account="a"))
    history = [*HELLO, first, returned("toolu_1"), said("system", "Be brief.")]
    loop.ask(asked(*history), [], account="b")
    request, _ = loop.written(asked(*history, said("assistant", ""), said("user", "And?")), account="b")

    assert len(values_of_turns(loop)) == 2
    roles = [message["role"] for message in json.loads(request.body)["messages"]]
    assert roles == ["user", "assistant", "user", "system", "assistant", "user"]


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "later_result", "text": {"a": 1}, "data": None, "id": None, "name": None, "signature": 5},
        {"type": "later_result", "input": [], "thinking": {}},
    ],
)
def test_blocks_of_types_yet_unknown_go_back_whatever_is_in_them(odd: dict[str, Any]) -> None:
    turn = kept(Origin(b"b", BOUND, b"g"), odd, use("toolu_1"))
    message = read_intent(json.dumps(chat(called(("toolu_1", "look", "{}")))).encode()).messages[0]

    found = KnownTurns(0).turn(turn, b"", message)
    assert found is not None
    assert [block["type"] for block in found.content] == ["later_result", "tool_use"]


def kept(origin: Origin, *blocks: dict[str, Any]) -> bytes:
    """The value under which an answer is kept."""
    whole = [Block(block["type"], json.dumps(block).encode()) for block in blocks]
    turn = kept_turn(origin, whole, names=[], stop_reason="tool_use", signer=("a", b"k"))
    assert turn is not None
    return turn[1]


@pytest.mark.parametrize(
    "blocks",
    [
        [("text", b"no JSON"), ("tool_use", b"{}")],
        [("thinking", b"[]")],
        [("later", b"[]"), ("tool_use", b'{"type":"tool_use","id":"toolu_1","name":"look"}')],
        [("thinking", b"{}"), ("tool_use", b'{"type":"tool_use","name":"look"}')],
    ],
    ids=["no JSON", "no object", "no object of another type", "no id"],
)
def test_a_stored_value_without_a_valid_turn_is_ignored(blocks: list[tuple[str, bytes]]) -> None:
    loop = Sealing()
    shown = standard(loop.ask(asked(*HELLO), [think("Hm."), use("toolu_1")]))
    turn = KeptTurn(1, b"g", b"", ("a", b"a"), tuple(Block(*block) for block in blocks))
    key = next(iter(loop.store.values))
    loop.store.values[key] = msgspec.msgpack.encode(turn)
    request, _ = loop.written(asked(*HELLO, shown, returned("toolu_1")))

    assert [block["type"] for block in json.loads(request.body)["messages"][1]["content"]] == ["tool_use"]


# What is known of a turn is not taken for more than it is.


def test_another_answer_at_the_same_place_is_not_taken_for_a_kept_turn() -> None:
    # The old form has no ids: two answers that call the same function in the same way look the same.
    loop = Sealing()
    functions = [{"name": "look", "parameters": {"type": "object"}}]

    def ask(*messages: dict[str, Any], answer: list[dict[str, Any]]) -> dict[str, Any]:
        shown = loop.ask(chat(*HELLO, *messages, functions=functions), answer)
        return {"role": "assistant", "content": None, "function_call": shown.get("function_call")}

    result = {"role": "function", "name": "look", "content": "dust"}
    first = ask(answer=[think("One."), use("toolu_1", at="here")])
    second = ask(first, result, answer=[think("Two."), use("toolu_2", at="there")])
    ask(answer=[think("Another."), use("toolu_3", at="here")])
    ask(first, result, second, result, answer=[text("Dust.")])

    assert not loop.broken
    assert loop.adjusted[-1] == "thinking_blocks=dropped:missing"


@pytest.mark.parametrize("comes_first", [True, False])
@pytest.mark.parametrize(
    "own",
    [
        {"thinking_blocks": [{"type": "thinking", "thinking": "Mine.", "signature": "EqQB"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Mine.", "signature": "EqQB"}]},
    ],
    ids=["thinking_blocks", "reasoning_details"],
)
def test_thinking_of_the_clients_own_counts_in_the_request_that_has_it(comes_first: bool, own: dict[str, Any]) -> None:
    loop = Sealing()
    shown = standard(loop.ask(asked(*HELLO), ANSWER))
    bare, with_own = shown, {**shown, **own}
    told = {}
    for name, turn in [("own", with_own), ("bare", bare)] if comes_first else [("bare", bare), ("own", with_own)]:
        (told[name],) = thoughts(loop.written(asked(*HELLO, turn, returned("toolu_1")))[0].body)

    assert "Mine." in told["own"]
    assert "Hm." in told["bare"]


@pytest.mark.parametrize(
    ("made", "given", "is_same"),
    [
        ({"at": 1}, '{"at": 1.0}', True),
        ({"at": 1}, '{"at": true}', False),
        ({"at": [False]}, '{"at": [0]}', False),
        ({"at": {"a": [1, {"b": 2}]}, "to": 1}, '{"to": 1, "at": {"a": [1, {"b": 2}]}}', True),
        ({"at": {"a": [1, {"b": 2}]}}, '{"at": {"a": [1, {"b": 3}]}}', False),
        ({"at": {"a": 1}}, '{"at": {"a": 1, "b": 1}}', False),
        ({"at": [1, 2]}, '{"at": [1]}', False),
        ({"at": 2**70}, f'{{"at": {2**70 + 1}}}', False),
        ({"at": 2**70}, f'{{"at":{2**70}}}', True),
        ({"at": "1"}, '{"at": 1}', False),
        ({"at": 1}, '{"at": 2, "at": 1}', True),
        ({"at": None}, "{}", False),
        ({}, "", True),
        ({}, "null", True),
        ({}, "[]", True),
        ({}, '""', True),
        ({"at": 1}, "null", False),
        ({}, "0", False),
        ({}, "false", False),
        ({}, "[0]", False),
        ({"at": [1]}, '{"at": ' + "[" * 100_000 + "]" * 100_000 + "}", False),
    ],
)
def test_arguments_are_the_same_where_their_values_are(made: dict[str, Any], given: str, is_same: bool) -> None:
    loop = Sealing()
    shown = standard(loop.ask(asked(*HELLO), [think("Hm."), use("toolu_1", **made)]))
    request, _ = loop.written(asked(*HELLO, _spelled(shown, given), returned("toolu_1")))

    assert len(thoughts(request.body)) == is_same


# What is left out stays out.


def test_what_was_missing_once_stays_out() -> None:
    loop = Sealing()
    first = standard(loop.ask(asked(*HELLO), ANSWER))
    history = [*HELLO, first, returned("toolu_1")]
    second = standard(loop.ask(asked(*history), [think("B."), use("toolu_2", "add")]))
    history += [second, returned("toolu_2")]
    key, value = next(iter(loop.store.values.items()))
    loop.store.forget([key])
    third = standard(loop.ask(asked(*history), [text("Nothing.")]))
    loop.store.values[key] = value
    loop.ask(asked(*history, third, said("user", "Sure?")), [text("Yes.")])

    assert [len(thoughts(body)) for body in loop.bodies] == [0, 1, 0, 0]
    assert flat(loop.bodies[3])[: len(flat(loop.bodies[2]))] == flat(loop.bodies[2])


def test_a_refusal_that_two_choices_meet_is_one() -> None:
    loop = Sealing()
    first = standard(loop.ask(asked(*HELLO), ANSWER))
    request, writer = loop.written(asked(*HELLO, first, returned("toolu_1")))
    writer.learn(HostProfile(), "Invalid `signature` in `thinking` block", request)
    once_more = writer(HostProfile(), True)
    writer.learn(HostProfile(), "Invalid `signature` in `thinking` block", request)

    assert writer(HostProfile(), True) is once_more
    assert loop.memory.counts.left_out == {"refused": 1}


# One rule at a time.


def is_kept(*blocks: Block, stop_reason: str = "tool_use", is_gap: bool = False) -> bool:
    origin = Origin(b"b", BOUND, b"g", is_gap=is_gap)
    return kept_turn(origin, blocks, names=[], stop_reason=stop_reason, signer=("a", b"k")) is not None


def block(kind: str, **fields: Any) -> Block:
    return Block(kind, json.dumps({"type": kind, **fields}).encode())


def test_an_answer_that_stopped_where_it_was_told_to_is_whole() -> None:
    assert is_kept(block("later"), stop_reason="stop_sequence")


def test_an_answer_that_another_model_took_over_is_not_kept() -> None:
    assert not is_kept(block("thinking"), block("fallback"), block("tool_use"))


def test_a_block_that_was_cut_off_is_not_kept() -> None:
    assert not is_kept(block("thinking"), Block("tool_use", b'{"type":"tool_use","input":{"at":}'))


def test_a_text_is_kept_only_if_a_turn_before_it_is_missing() -> None:
    assert is_kept(block("text", text="A"), stop_reason="end_turn", is_gap=True)
    assert not is_kept(block("text", text="A"), stop_reason="end_turn")
    assert not is_kept(block("text", text="A"), stop_reason="max_tokens", is_gap=True)


@pytest.mark.parametrize("system", ["First.", "Second."])
def test_all_turns_that_go_back_have_the_same_beginning_where_the_model_checks_it(system: str) -> None:
    # A model that is found to check it had turns on two grounds in one conversation before.
    loop = Sealing(UNBOUND)
    fields = {"reasoning_effort": "high"}
    hello = said("user", "What is there?")
    first = standard(loop.ask(asked(said("system", "First."), hello, **fields), ANSWER))
    history = [hello, first, returned("toolu_1")]
    second = standard(loop.ask(asked(said("system", "Second."), *history, **fields), [think("B."), use("toolu_2")]))
    body = asked(said("system", system), *history, second, returned("toolu_2"), **fields)
    row = replace(model_table().row(UNBOUND), binds_thinking=True)
    past = asyncio.run(loop.memory.recollect(read_intent(json.dumps(body).encode()), b"me", {UNBOUND: row}))

    assert len(thoughts(loop.bodies[1])) == 1
    assert past[UNBOUND].past.left_out == "changed"


def test_the_latest_turn_says_which_account_the_turns_belong_to() -> None:
    # What the first one hides is sealed by nobody, so any account goes on with it.
    loop = Sealing()
    first = standard(loop.ask(asked(*HELLO), [use("toolu_1"), text("So.")], account="a"))
    history = [*HELLO, first, returned("toolu_1")]
    second = standard(loop.ask(asked(*history), [think("B."), use("toolu_2")], account="b"))
    request, writer = loop.written(asked(*history, second, returned("toolu_2")), account="b")

    assert writer.recollection.account is not None
    assert writer.recollection.account.organization == "b"
    assert len(thoughts(request.body)) == 1
    assert flat(request.body)[: len(flat(loop.bodies[1]))] == flat(loop.bodies[1])


def test_a_turn_stored_in_another_format_is_not_used() -> None:
    message = read_intent(json.dumps(chat(called(("toolu_1", "look", "{}")))).encode()).messages[0]
    whole = (block("thinking", signature="Eq"), block("tool_use", id="toolu_1", name="look"))
    found = [
        KnownTurns(0).turn(msgspec.msgpack.encode(KeptTurn(form, b"g", b"", ("a", b"k"), whole)), b"", message)
        for form in (1, 2)
    ]

    assert [turn is not None for turn in found] == [True, False]


def test_another_account_gets_no_thinking_of_the_clients_own_either() -> None:
    loop = Sealing()
    shown = loop.ask(asked(*HELLO), ANSWER, options=Options(show_thinking_blocks=True))
    again = asked(*HELLO, shown, returned("toolu_1"))

    assert len(thoughts(loop.written(again, account="a")[0].body)) == 1
    assert thoughts(loop.written(again, account="b")[0].body) == []
