"""Items of the Responses API as messages: turns, seals, calls and their results."""

import json
from typing import Any

import pytest

from tests.support.response_requests import SEALER, Item, assistant, call, output, read, reasoning, user
from translators.errors import TranslationError
from translators.intent import Message, SealedTurn
from translators.responses.read import read_body
from translators.responses.request import ResponsesRequest, read_request

THINKING = '{"type":"thinking","thinking":"Hm.","signature":"s1"}'
MORE_THINKING = '{"type":"thinking","thinking":"Hm!","signature":"s2"}'


def shown(request: ResponsesRequest) -> list[Any]:
    """Role and content of each message."""
    return [(message.role, json.loads(bytes(message.content))) for message in request.intent.messages]


def error_of(*items: Item, **fields: Any) -> tuple[str | None, str | None, str]:
    with pytest.raises(TranslationError) as caught:
        read(*items, **fields)
    failure = caught.value.failure
    return failure.param, failure.code, failure.message


def calls_of(message: Message) -> list[tuple[str, str, Any]]:
    return [
        (each.id, each.function.name, json.loads(bytes(each.function.arguments)))
        for each in message.tool_calls or []
        if each.function is not None
    ]


def test_a_text_is_one_message_of_the_users() -> None:
    request = read(input="Hello")

    assert shown(request) == [("user", "Hello")]
    assert request.intent.places == ["input"]
    assert [bytes(item) for item in request.input_items] == [b'{"type":"message","role":"user","content":"Hello"}']


def test_instructions_come_before_all_items_as_a_system_message() -> None:
    request = read(
        {"role": "developer", "content": "Be brief."}, user(), instructions="Be kind.", earlier=[user("Old")]
    )

    assert shown(request) == [("system", "Be kind."), ("user", "Old"), ("developer", "Be brief."), ("user", "Hello")]
    assert request.intent.places == ["instructions", "conversation", "input[0].content", "input[1].content"]


def test_messages_are_read_in_every_form() -> None:
    part = {"type": "input_text", "text": "Hello"}
    replayed = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}

    request = read(
        user(),
        {"type": "message", "role": "user", "content": [part], "status": "completed"},
        assistant([replayed], id="msg_1", status="completed", phase="final_answer"),
        user([part]),
    )

    assert shown(request) == [("user", "Hello"), ("user", "Hello"), ("assistant", "Hi"), ("user", "Hello")]
    assert request.intent.unknown_fields == 0


def test_the_spelling_of_texts_stays() -> None:
    body = rb'{"model":"m","input":"\u00e9 \/"}'
    request = read_request(read_body(body), SEALER)

    assert bytes(request.intent.messages[0].content) == rb'"\u00e9 \/"'


def test_a_turn_is_one_message_with_its_calls() -> None:
    request = read(
        user(),
        assistant("Let me see."),
        call("c1", "look", '{"at":1}'),
        call("c2", "look", '{"at":2}'),
        output("c2", "two"),
        output("c1", [{"type": "input_text", "text": "one"}]),
    )

    turn, *results = request.intent.messages[1:]
    assert json.loads(bytes(turn.content)) == "Let me see."
    assert [each.id for each in turn.tool_calls or ()] == ["c1", "c2"]
    assert [(result.role, result.tool_call_id) for result in results] == [("tool", "c2"), ("tool", "c1")]
    assert request.intent.places == ["input[0].content", "input[1].content", "input[4].output", "input[5].output"]


def test_several_messages_of_one_turn_are_one_content() -> None:
    request = read(user(), assistant("One."), assistant([{"type": "output_text", "text": "Two."}]), user())

    assert shown(request)[1] == (
        "assistant",
        [{"type": "output_text", "text": "One."}, {"type": "output_text", "text": "Two."}],
    )


def test_a_sealed_turn_keeps_the_order_of_its_blocks() -> None:
    request = read(
        user(),
        reasoning(THINKING, summary="Hm."),
        assistant([{"type": "output_text", "text": "Let me see."}], phase="commentary"),
        reasoning(MORE_THINKING, '{"type":"redacted_thinking","data":"x"}'),
        call("c1"),
        output("c1"),
    )

    turn = request.intent.messages[1]
    assert isinstance(turn, SealedTurn)
    assert turn.own_blocks[0] == THINKING.encode()
    assert turn.order == "otooc"
    assert [each.id for each in turn.tool_calls or ()] == ["c1"]
    assert request.intent.noted == []


def test_each_part_of_a_sealed_turns_text_has_its_letter() -> None:
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]

    turn = read(user(), reasoning(THINKING), assistant(parts), assistant(" "), assistant("c")).intent.messages[1]

    assert isinstance(turn, SealedTurn)
    assert turn.order == "ottt"
    assert len(json.loads(bytes(turn.content))) == 3


@pytest.mark.parametrize(
    ("item", "why"),
    [(reasoning(summary="Hm."), "unsigned"), (reasoning(THINKING, owner="you"), "unreadable")],
    ids=["unsigned", "foreign"],
)
def test_reasoning_that_cannot_go_back_is_named_and_no_error(item: Item, why: str) -> None:
    request = read(user(), item, assistant(), user())

    assert shown(request) == [("user", "Hello"), ("assistant", "Hi"), ("user", "Hello")]
    assert request.intent.noted == [("input.reasoning", why)]
    assert request.intent.lost == []


def test_a_thought_without_its_seal_stands_for_the_stored_one() -> None:
    sealed, unsealed = reasoning(THINKING), reasoning(summary="Hm.")

    request = read(user(), unsealed, assistant(), user(), references={"rs_1": sealed})

    turn = request.intent.messages[1]
    assert isinstance(turn, SealedTurn)
    assert turn.own_blocks == (THINKING.encode(),)
    assert request.intent.noted == []
    # The next response finds it in this one.
    assert json.loads(bytes(request.input_items[1])) == sealed


def test_a_thought_with_a_seal_needs_no_stored_one() -> None:
    sealed = reasoning(THINKING)

    assert read_body(json.dumps({"model": "m", "input": [user(), sealed]}).encode()).unsealed == ()
    assert read_body(json.dumps({"model": "m", "input": [reasoning(), reasoning()]}).encode()).unsealed == ("rs_1",)
    turn = read(user(), sealed, assistant(), user(), references={"rs_1": reasoning(MORE_THINKING)}).intent.messages[1]
    assert isinstance(turn, SealedTurn)
    assert turn.own_blocks == (THINKING.encode(),)


def test_of_a_turn_all_sealed_blocks_go_back_or_none() -> None:
    request = read(
        user(), reasoning(THINKING), call("c1"), reasoning(MORE_THINKING, owner="you"), assistant(), output()
    )

    turn = request.intent.messages[1]
    assert not isinstance(turn, SealedTurn)
    assert json.loads(bytes(turn.content)) == "Hi"
    assert request.intent.noted == [("input.reasoning", "unreadable")]


def test_reasoning_alone_is_no_message() -> None:
    assert shown(read(user(), reasoning(), user())) == [("user", "Hello"), ("user", "Hello")]


def test_a_hosted_call_is_named_unless_its_blocks_come_back() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    blocks = '{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'

    assert read(user(), search, assistant(), user()).intent.noted == [("input.web_search_call", "unsigned")]
    assert read(user(), search, reasoning(blocks), assistant(), user()).intent.noted == []


@pytest.mark.parametrize("kind", ["file_search_call", "image_generation_call", "computer_call_output", "mcp_call"])
def test_items_of_tools_that_are_not_offered_are_dropped_and_named(kind: str) -> None:
    request = read(user(), {"type": kind, "id": "x_1", "call_id": "y"}, user())

    assert request.intent.lost == [f"input.{kind}"]
    assert len(request.intent.messages) == 2


def test_an_unknown_item_is_refused_by_name() -> None:
    param, code, message = error_of(user(), {"type": "dance", "id": "d"})

    assert (param, code) == ("input[1].type", "invalid_value")
    assert "'dance'" in message


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ([user(), output("c9")], "input[1].call_id"),
        ([user(), call("c1"), output("c1"), output("c1")], "input[3].call_id"),
        ([user(), call("c1"), user()], "input[1].call_id"),
        ([user(), call("c1")], "input[1].call_id"),
        ([user(), call("c1"), call("c2"), output("c1"), assistant()], "input[2].call_id"),
        ([user(), call("c1"), call("c1"), output("c1")], "input[2].call_id"),
        ([user(), {"type": "function_call", "name": "f", "arguments": "{}"}], "input[1].call_id"),
        ([user(), {"type": "function_call", "call_id": "f", "arguments": "{}"}], "input[1].name"),
        ([user(), call("c1"), {"type": "function_call_output", "call_id": "c1"}], "input[2].output"),
        ([user(), call("c1"), {"type": "function_call_output", "output": "x"}], "input[2].call_id"),
        ([{"role": "user"}], "input[0].content"),
        ([{"type": "message", "content": "x"}], "input[0].role"),
        ([{"role": "tool", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": "x", "type": 1}], "input[0].type"),
        (["x"], "input[0]"),
        ([{"type": "compaction_trigger"}, user()], "input[0]"),
        ([{"type": "item_reference", "id": "msg_9"}], "input[0].id"),
        ([{"id": "msg_9"}], "input[0].id"),
        ([{"type": "custom_tool_call", "call_id": "c", "name": "n"}], "input[0].input"),
        ([{"type": "shell_call", "call_id": "c"}], "input[0].action"),
        ([{"type": "additional_tools", "role": "developer"}], "input[0].tools"),
        ([{"type": "compaction"}], "input[0].encrypted_content"),
        ([reasoning()], "input"),
    ],
)
def test_mistakes_are_named_by_their_place(items: list[Any], param: str) -> None:
    assert error_of(*items)[0] == param


def test_a_result_that_fails_to_come_before_the_next_turn_of_stored_items_is_told_without_a_place_of_the_body() -> None:
    param, _, message = error_of(user(), earlier=[user(), call("c1")], previous_response_id="resp_1")

    assert param == "previous_response_id.call_id"
    assert "c1" in message


def test_calls_of_stored_items_are_answered_by_items_of_the_body() -> None:
    request = read(output("c1"), earlier=[user(), call("c1")], previous_response_id="resp_1")

    assert [message.role for message in request.intent.messages] == ["user", "assistant", "tool"]
    assert [bytes(item) for item in request.input_items] == [json.dumps(output("c1")).encode()]


def test_a_reference_stands_for_its_item() -> None:
    request = read(user(), {"type": "item_reference", "id": "fc_1"}, output("c1"), references={"fc_1": call("c1")})

    assert calls_of(request.intent.messages[1]) == [("c1", "look", "{}")]
    assert json.loads(bytes(request.input_items[1])) == call("c1")


def test_a_reference_among_stored_items_is_passed_over_and_named() -> None:
    request = read(user(), earlier=[user("A"), {"type": "item_reference", "id": "msg_9"}], conversation="conv_1")

    assert shown(request) == [("user", "A"), ("user", "Hello")]
    assert list(request.intent.noted) == [("input.item_reference", "unknown")]


def test_custom_calls_and_their_results_go_back() -> None:
    custom = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "sql", "input": "select 1"}
    result = {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"}

    turn, answer = read(user(), custom, result).intent.messages[1:]

    (made,) = turn.tool_calls or []
    assert made.custom is not None
    assert (made.type, made.custom.name, json.loads(bytes(made.custom.input))) == ("custom", "sql", "select 1")
    assert json.loads(bytes(answer.content)) == "1"


def test_calls_of_client_tools_go_back_with_what_the_model_said() -> None:
    action = {"type": "exec", "command": ["ls"], "env": {}, "timeout_ms": 5, "user": None, "working_directory": None}
    local = {"type": "local_shell_call", "id": "lsh_1", "call_id": "c1", "action": action, "status": "completed"}
    shell = {
        "type": "shell_call",
        "call_id": "c2",
        "action": {"commands": ["pwd", "ls"], "timeout_ms": None, "max_output_length": 9},
    }
    patch = {
        "type": "apply_patch_call",
        "call_id": "c3",
        "status": "completed",
        "operation": {"type": "delete_file", "path": "a"},
    }
    outcome = {"type": "exit", "exit_code": 1}
    printed = [
        {"stdout": "/", "stderr": "", "outcome": {"type": "timeout"}},
        {"stdout": " ", "stderr": "no", "outcome": outcome},
    ]

    turn, *results = read(
        user(),
        local,
        shell,
        patch,
        {"type": "local_shell_call_output", "id": "c1", "output": '{"stdout":"a"}'},
        {"type": "shell_call_output", "call_id": "c2", "output": printed, "max_output_length": 9},
        {"type": "apply_patch_call_output", "call_id": "c3", "status": "failed"},
    ).intent.messages[1:]

    assert calls_of(turn) == [
        ("c1", "local_shell", {"command": ["ls"], "timeout_ms": 5}),
        ("c2", "shell", {"commands": ["pwd", "ls"], "max_output_length": 9}),
        ("c3", "apply_patch", {"type": "delete_file", "path": "a"}),
    ]
    assert json.loads(bytes(results[0].content)) == '{"stdout":"a"}'
    assert [part["text"] for part in json.loads(bytes(results[1].content))] == [
        "/",
        "The command took too long and was stopped.",
        "Standard error:\nno",
        "Exit code: 1",
    ]
    assert json.loads(bytes(results[2].content)) == "The patch could not be applied."
    assert bytes(results[2].is_error) == b"true"


def test_a_compaction_stands_for_what_the_model_and_the_tools_said_before_it() -> None:
    summary = '{"type":"text","text":"They talked."}'
    old = {"type": "compaction", "encrypted_content": 'any-me:["{\\"type\\":\\"text\\",\\"text\\":\\"Old.\\"}"]'}
    compaction = {"type": "compaction", "id": "cmp_1", "encrypted_content": "any-me:" + json.dumps([summary])}

    request = read(
        user("A"),
        assistant("B"),
        old,
        user("C"),
        call(),
        output(),
        compaction,
        assistant("D"),
        user("E"),
        instructions="F",
    )

    assert shown(request) == [
        ("system", "F"),
        ("user", "A"),
        ("user", "C"),
        ("user", [json.loads(summary)]),
        ("assistant", "D"),
        ("user", "E"),
    ]
    assert len(request.intent.places or ()) == 6


def test_an_unreadable_compaction_is_passed_over() -> None:
    compaction = {"type": "compaction", "encrypted_content": "you:[]"}

    request = read(user("A"), assistant("B"), compaction, user("C"))

    assert len(request.intent.messages) == 3
    assert request.intent.noted == [("input.compaction", "unreadable")]


def test_a_trigger_asks_for_a_compaction() -> None:
    assert read(user(), {"type": "compaction_trigger"}).compacts_now
    assert not read(user()).compacts_now


def test_an_update_changes_effort_and_form_from_there_on() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    update = {"type": "configuration_update", "reasoning": {"effort": "low"}, "text": {"format": schema}}

    intent = read(user(), update, user(), reasoning={"effort": "high", "summary": "auto"}).intent

    assert intent.reasoning is not None
    assert intent.format is not None
    assert (intent.reasoning.effort, intent.reasoning.display) == ("low", "summarized")
    assert (intent.format.type, intent.format.path) == ("json_schema", "text.format.schema")


def test_texts_alone_are_written_in_the_quickest_spelling() -> None:
    part, image = {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://example.com/a.png"}
    marked = {**part, "prompt_cache_breakpoint": {"mode": "explicit"}}

    request = read(user([part]), user([part, part]), user([part, image]), user([marked]), user([]))

    assert shown(request) == [
        ("user", "a"),
        ("user", [{"type": "text", "text": "a"}] * 2),
        ("user", [part, image]),
        ("user", [marked]),
        ("user", []),
    ]
