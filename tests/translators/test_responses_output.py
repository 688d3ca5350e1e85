"""What each kind of block becomes in a response: the items, their states, and what goes back to upstream with them."""

import json
from typing import Any

import pytest
from msgspec import Raw

from tests.support.messages import Block, encode, message_events, text_block, thinking_block, tool_block
from tests.support.responses_door import ID, events_of, folded, frame, opened, streamed
from tests.support.responses_grammar import stream_violations
from tests.support.responses_oracle import sdk_violations
from translators.answers.answer_types import State
from translators.answers.shape import AnswerShape, TextCall
from translators.responses.kinds import Kind, ToolKind
from translators.responses.stream import ResponsesStream

SEARCH = tool_block("srvtoolu_1", "web_search", '{"query":"weather"}')
SEARCH.start["type"] = "server_tool_use"
PAGES = [{"type": "web_search_result", "title": "Sun", "url": "https://sun.example/", "encrypted_content": "Eq"}]


def server_call(call_id: str, name: str, call_input: str) -> Block:
    block = tool_block(call_id, name, call_input)
    return Block({**block.start, "type": "server_tool_use"}, block.deltas)


def result(call_id: str, kind: str, content: Any) -> Block:
    return Block({"type": kind, "tool_use_id": call_id, "content": content}, [])


def found(call_id: str = "srvtoolu_1", content: Any = PAGES) -> Block:
    return result(call_id, "web_search_tool_result", content)


def cited(text: str, *citations: dict[str, Any]) -> Block:
    block = text_block(text)
    return Block(
        {**block.start, "citations": []}, [{"type": "citations_delta", "citation": c} for c in citations] + block.deltas
    )


def response_of(
    *blocks: Block, shape: AnswerShape | None = None, stop_reason: str = "end_turn", **more: Any
) -> dict[str, Any]:
    """The response that a streamed answer of these blocks ends with, judged on the way."""
    body = encode(message_events(*blocks, stop_reason=stop_reason))
    shape = shape or AnswerShape()
    output, stream = streamed([body], shape, **more)
    assert stream.state is State.DONE
    assert stream_violations(output) == []
    assert sdk_violations(events_of(output)) == []
    response: dict[str, Any] = events_of(output)[-1]["response"]
    assert folded(body, shape, **more) == response
    return response


def items_of(*blocks: Block, **more: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = response_of(*blocks, **more)["output"]
    return items


def types_of(items: list[dict[str, Any]]) -> list[str]:
    return [item["type"] for item in items]


# Messages


def test_adjacent_texts_are_one_message() -> None:
    (message,) = items_of(text_block("One, "), text_block("two, "), text_block("three."))

    assert message["content"] == [
        {"type": "output_text", "text": "One, two, three.", "annotations": [], "logprobs": []}
    ]
    assert (message["status"], message["phase"]) == ("completed", "final_answer")


def test_text_before_anything_else_is_commentary_and_text_at_the_end_the_answer() -> None:
    items = items_of(text_block("I'll look."), SEARCH, found(), text_block("It is sunny."))

    assert [item.get("phase") for item in items if item["type"] == "message"] == ["commentary", "final_answer"]


def test_no_text_is_the_answer_where_there_are_calls_to_run() -> None:
    items = items_of(tool_block("toolu_1", "f", "{}"), text_block("Wait."), stop_reason="tool_use")

    assert [item.get("phase") for item in items] == [None, "commentary"]


def test_the_phase_is_not_said_before_it_is_known() -> None:
    output, _ = streamed([encode(message_events(text_block("Hi")))])
    (added,) = (event["item"] for event in events_of(output) if event["type"] == "response.output_item.added")

    assert "phase" not in added


def test_blank_text_is_no_message_and_goes_back_with_the_thought_before_it() -> None:
    thought, call = items_of(
        thinking_block(), text_block("\n\n"), tool_block("toolu_1", "f", "{}"), stop_reason="tool_use"
    )

    blocks = opened(thought["encrypted_content"])
    assert [block["type"] for block in blocks] == ["thinking", "text"]
    assert blocks[1] == {"type": "text", "text": "\n\n"}
    assert call["type"] == "function_call"


def test_blank_text_before_a_thought_goes_back_with_it() -> None:
    (thought, _) = items_of(text_block("\n"), thinking_block(), text_block("Hi"))

    assert [block["type"] for block in opened(thought["encrypted_content"])] == ["text", "thinking"]


def test_blank_text_beside_text_is_part_of_it() -> None:
    _, message = items_of(thinking_block(), text_block("\n\n"), text_block("One"), text_block("\n"), text_block("two"))

    assert message["content"][0]["text"] == "\n\nOne\ntwo"


def test_an_answer_of_blank_text_alone_has_no_items() -> None:
    assert items_of(text_block(" \n")) == []


def test_an_empty_answer_is_a_complete_response_without_items() -> None:
    response = response_of()

    assert (response["status"], response["output"]) == ("completed", [])


def test_places_of_citations_are_characters_of_the_message() -> None:
    source = {"type": "web_search_result_location", "url": "https://sun.example/", "title": "Sun", "cited_text": "x"}
    items = items_of(
        text_block("Before the search: \U0001f50e"),
        SEARCH,
        found(),
        text_block("It is \U0001f31e "),
        cited("sunny é", source, source),
        text_block("."),
    )
    text = items[-1]["content"][0]

    assert text["text"] == "It is \U0001f31e sunny é."
    assert (
        text["annotations"]
        == [{"type": "url_citation", "start_index": 8, "end_index": 15, "url": "https://sun.example/", "title": "Sun"}]
        * 2
    )
    assert text["text"][8:15] == "sunny é"


def test_citations_of_documents_stand_beside_the_annotations_as_they_came() -> None:
    citation = {"type": "char_location", "cited_text": "a", "document_index": 0, "start_char_index": 0}
    (message,) = items_of(cited("Hello", citation))

    assert message["content"][0]["annotations"] == []
    assert message["content"][0]["citations"] == [citation]


# The end


@pytest.mark.parametrize("stop_reason", ["max_tokens", "model_context_window_exceeded"])
def test_what_was_cut_off_by_a_limit_is_incomplete(stop_reason: str) -> None:
    response = response_of(thinking_block(), text_block("Once upon"), stop_reason=stop_reason)

    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["completed_at"] is None


def test_a_call_that_was_cut_off_is_incomplete_with_what_there_is() -> None:
    response = response_of(tool_block("toolu_1", "f", '{"path": "a.p', ['{"path": "a.p']), stop_reason="max_tokens")

    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["arguments"] == '{"path": "a.p'


def test_a_thought_that_was_cut_off_has_no_seal() -> None:
    block = thinking_block("Let me")
    (thought,) = items_of(Block(block.start, block.deltas[:1]), stop_reason="max_tokens")

    assert thought["status"] == "incomplete"
    assert thought["summary"] == [{"type": "summary_text", "text": "Let me"}]
    assert "encrypted_content" not in thought


def test_a_refusal_is_a_message_of_its_own_behind_what_was_said() -> None:
    response = response_of(text_block("I begin "), stop_reason="refusal")
    said, refused = response["output"]

    assert response["status"] == "completed"
    assert [part["type"] for part in said["content"]] == ["output_text"]
    assert refused["content"] == [{"type": "refusal", "refusal": "The model declined to answer."}]
    assert (said["phase"], refused["phase"]) == ("final_answer", "final_answer")


def test_a_refusal_without_any_text_is_in_upstreams_words() -> None:
    events = message_events(thinking_block(), stop_reason="refusal")
    events[-2]["delta"]["stop_details"] = {"type": "refusal", "category": "cyber", "explanation": "It could harm."}
    output, _ = streamed([encode(events)])
    _, message = events_of(output)[-1]["response"]["output"]

    assert stream_violations(output) == []
    assert message["content"] == [{"type": "refusal", "refusal": "It could harm."}]


def test_a_filter_that_cuts_an_answer_off_leaves_it_incomplete() -> None:
    events = message_events(text_block("Once upon a time"))
    error = {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}
    output, stream = streamed([encode([*events[:-3], {"type": "error", "error": error}])])
    response = events_of(output)[-1]["response"]

    assert stream.state is State.DONE
    assert stream_violations(output) == []
    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert response["output"][0]["status"] == "incomplete"


def test_a_stop_sequence_that_the_gateway_looks_for_ends_the_response() -> None:
    response = response_of(
        text_block("One.\n\nTwo."), tool_block("toolu_1", "f", "{}"), shape=AnswerShape(stops=("\n\n",))
    )

    assert response["status"] == "completed"
    assert [item["content"][0]["text"] for item in response["output"]] == ["One."]


def test_usage_has_cached_written_and_reasoning_tokens() -> None:
    usage: dict[str, Any] = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 40,
    }
    usage["output_tokens_details"] = {"thinking_tokens": 15}
    output, _ = streamed([encode(message_events(text_block(), usage=usage))])

    assert events_of(output)[-1]["response"]["usage"] == {
        "input_tokens": 60,
        "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 15},
        "total_tokens": 100,
    }


# Reasoning


def test_each_thinking_block_is_a_reasoning_item_with_its_own_seal() -> None:
    redacted = Block({"type": "redacted_thinking", "data": "EmwK"}, [])
    first, second, third, _ = items_of(thinking_block("A"), redacted, thinking_block("B", "Sig"), text_block())

    assert [item["summary"] for item in (first, second, third)] == [
        [{"type": "summary_text", "text": "A"}],
        [],
        [{"type": "summary_text", "text": "B"}],
    ]
    assert opened(second["encrypted_content"]) == [{"type": "redacted_thinking", "data": "EmwK"}]
    assert opened(third["encrypted_content"]) == [{"type": "thinking", "thinking": "B", "signature": "Sig"}]


def test_thinking_that_is_not_shown_is_an_item_with_an_empty_summary() -> None:
    thought, _ = items_of(thinking_block(""), text_block())

    assert thought["summary"] == []
    assert opened(thought["encrypted_content"])[0]["signature"] == "EqQBCgIYAhIM"


def test_seals_are_shown_only_where_they_are_wanted_and_stored_in_any_case() -> None:
    stream = ResponsesStream(frame(shows_seals=False))
    output = stream.feed(encode(message_events(thinking_block(), text_block())))
    stored = [json.loads(item) for item in stream.sealed_items()]

    assert b"encrypted_content" not in output
    assert opened(stored[0]["encrypted_content"])[0]["type"] == "thinking"
    assert "encrypted_content" not in stored[1]


# Calls


def test_calls_have_the_callers_names_ids_and_namespaces() -> None:
    kinds = {"mail__send": ToolKind(Kind.FUNCTION, "send", "mail"), "note": ToolKind(Kind.CUSTOM, "note", "mail")}
    shape = AnswerShape(tool_names={"mail_send_1": "mail__send"}, custom_tools=frozenset({"note"}))
    send, note = items_of(
        tool_block("toolu_1", "mail_send_1", '{"to": "Ann"}'),
        tool_block("toolu_2", "note", '{"input": "buy milk"}'),
        stop_reason="tool_use",
        shape=shape,
        kinds=kinds,
    )

    assert send == {
        "id": f"fc_{ID[5:]}0000",
        "type": "function_call",
        "call_id": "toolu_1",
        "name": "send",
        "namespace": "mail",
        "arguments": '{"to": "Ann"}',
        "status": "completed",
    }
    assert note == {
        "id": f"ctc_{ID[5:]}0001",
        "type": "custom_tool_call",
        "call_id": "toolu_2",
        "name": "note",
        "namespace": "mail",
        "input": "buy milk",
    }


def test_a_call_without_arguments_has_an_empty_object() -> None:
    (call,) = items_of(tool_block("toolu_1", "f", "", [""]), stop_reason="tool_use")

    assert call["arguments"] == "{}"


CLIENT_TOOLS = {name: ToolKind(Kind(name), name) for name in ("local_shell", "shell", "apply_patch")}


@pytest.mark.parametrize(
    ("name", "arguments", "members"),
    [
        (
            "local_shell",
            {"command": ["ls", "-a"], "working_directory": "/tmp", "timeout_ms": 1000, "env": {"A": "b"}},
            {
                "type": "local_shell_call",
                "action": {
                    "type": "exec",
                    "command": ["ls", "-a"],
                    "env": {"A": "b"},
                    "timeout_ms": 1000,
                    "working_directory": "/tmp",
                },
            },
        ),
        (
            "local_shell",
            {"command": "ls -a | wc"},
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["bash", "-lc", "ls -a | wc"], "env": {}},
            },
        ),
        (
            "shell",
            {"commands": ["ls", "pwd"], "timeout_ms": 5},
            {
                "type": "shell_call",
                "action": {"commands": ["ls", "pwd"], "timeout_ms": 5, "max_output_length": None},
            },
        ),
        (
            "apply_patch",
            {"type": "create_file", "path": "a.py", "diff": "+x"},
            {"type": "apply_patch_call", "operation": {"type": "create_file", "path": "a.py", "diff": "+x"}},
        ),
        (
            "apply_patch",
            {"type": "delete_file", "path": "a.py"},
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a.py"}},
        ),
        ("apply_patch", ["?"], {"operation": {"type": "update_file", "path": "", "diff": ""}}),
    ],
)
def test_shells_and_patches_are_items_of_their_own(name: str, arguments: Any, members: dict[str, Any]) -> None:
    block = tool_block("toolu_1", name, json.dumps(arguments))
    message, call = items_of(text_block("Now."), block, stop_reason="tool_use", kinds=CLIENT_TOOLS)

    assert message["phase"] == "commentary"
    assert call.items() >= {"call_id": "toolu_1", "status": "completed", **members}.items()


def test_half_a_command_is_not_given_to_the_caller() -> None:
    block = tool_block("toolu_1", "local_shell", "", ['{"command": ["rm", "-rf", "/tmp/'])
    items = items_of(text_block("Now."), block, stop_reason="max_tokens", kinds=CLIENT_TOOLS)

    assert types_of(items) == ["message"]


def test_a_call_written_as_text_is_a_call_even_with_thinking_within_it() -> None:
    shape = AnswerShape(text_call=TextCall("f"))
    items = items_of(text_block('{"a":'), thinking_block(), text_block("1}"), shape=shape)

    assert types_of(items) == ["function_call", "reasoning"]
    assert items[0]["arguments"] == '{"a":1}'
    assert opened(items[1]["encrypted_content"])[0]["type"] == "thinking"


def test_a_call_that_stands_for_the_text_is_a_message() -> None:
    shape = AnswerShape(answer_tool="answer")
    block = tool_block("toolu_1", "answer", '{"a": 1}')
    _, message = items_of(thinking_block(), block, stop_reason="tool_use", shape=shape)

    assert message["content"][0]["text"] == '{"a": 1}'
    assert message["phase"] == "final_answer"


# Tools of upstream's own


def test_a_search_is_an_item_and_its_blocks_travel_right_behind_it() -> None:
    search, carrier, message = items_of(thinking_block(), SEARCH, found(), text_block("Sunny."))[1:]

    assert search == {
        "id": f"ws_{ID[5:]}0001",
        "type": "web_search_call",
        "status": "completed",
        "action": {
            "type": "search",
            "query": "weather",
            "queries": ["weather"],
            "sources": [{"type": "url", "url": "https://sun.example/"}],
        },
    }
    assert (carrier["type"], carrier["summary"]) == ("reasoning", [])
    sealed = opened(carrier["encrypted_content"])
    assert sealed[0] == {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "weather"},
    }
    assert sealed[1] == found().start
    assert message["type"] == "message"


def test_sources_are_given_only_to_those_that_ask() -> None:
    search = items_of(SEARCH, found(), shows_sources=False)[0]

    assert "sources" not in search["action"]


def test_nothing_carries_blocks_where_they_are_of_no_use() -> None:
    assert types_of(items_of(SEARCH, found(), text_block(), carries_blocks=False)) == ["web_search_call", "message"]


def test_searches_side_by_side_are_written_one_after_another() -> None:
    second = server_call("srvtoolu_2", "web_search", '{"query":"wind"}')
    items = items_of(SEARCH, second, found("srvtoolu_2"), found("srvtoolu_1"), text_block())

    assert types_of(items) == ["web_search_call", "web_search_call", "reasoning", "message"]
    assert [item["action"]["query"] for item in items[:2]] == ["weather", "wind"]
    assert [block["type"] for block in opened(items[2]["encrypted_content"])] == [
        "server_tool_use",
        "server_tool_use",
        "web_search_tool_result",
        "web_search_tool_result",
    ]


def test_a_search_that_failed_says_so() -> None:
    error = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}

    assert items_of(SEARCH, found(content=error), text_block())[0]["status"] == "failed"


def test_a_page_is_opened_by_a_search_call() -> None:
    fetch = server_call("srvtoolu_1", "web_fetch", '{"url":"https://sun.example/"}')
    page = result("srvtoolu_1", "web_fetch_tool_result", {"type": "web_fetch_result", "url": "https://sun.example/"})

    assert items_of(fetch, page)[0]["action"] == {"type": "open_page", "url": "https://sun.example/"}


def test_code_that_runs_upstream_is_a_code_interpreter_call() -> None:
    call = server_call("srvtoolu_1", "bash_code_execution", '{"command":"echo 1"}')
    ran = {"type": "bash_code_execution_result", "stdout": "1\n", "stderr": "", "return_code": 0, "content": []}
    code = items_of(call, result("srvtoolu_1", "bash_code_execution_tool_result", ran))[0]

    assert code == {
        "id": f"ci_{ID[5:]}0000",
        "type": "code_interpreter_call",
        "status": "completed",
        "code": "echo 1",
        "container_id": "",
        "outputs": [{"type": "logs", "logs": "1\n"}],
    }


def test_a_paused_turn_goes_on_in_the_same_response() -> None:
    shape = AnswerShape(continues_pauses=True)
    stream = ResponsesStream(frame(), shape)
    output = stream.feed(encode(message_events(text_block("I look. "), SEARCH, stop_reason="pause_turn")))
    assert stream.state is State.PAUSED
    sent_back = [block.type for block in stream.pause()]
    output += stream.feed(encode(message_events(found(), text_block("Sunny."))))
    items = events_of(output)[-1]["response"]["output"]

    assert sent_back == ["text", "server_tool_use"]
    assert stream_violations(output) == []
    assert types_of(items) == ["message", "web_search_call", "reasoning", "message"]
    assert items[1]["status"] == "completed"
    assert len(opened(items[2]["encrypted_content"])) == 2


def test_a_turn_that_has_paused_too_often_is_complete() -> None:
    stream = ResponsesStream(frame(), AnswerShape(continues_pauses=True))
    output = stream.feed(encode(message_events(text_block("I look."), stop_reason="pause_turn"))) + stream.give_up()

    assert stream_violations(output) == []
    assert events_of(output)[-1]["response"]["status"] == "completed"


def test_calls_of_code_that_waits_for_them_are_the_callers() -> None:
    code = server_call("srvtoolu_1", "code_execution", '{"code":"f()"}')
    call = tool_block("toolu_1", "f", '{"a": 1}')
    call.start["caller"] = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}
    items = items_of(code, call, stop_reason="tool_use")

    assert types_of(items) == ["code_interpreter_call", "reasoning", "function_call"]
    assert items[2]["arguments"] == '{"a": 1}'


def test_blocks_that_nobody_knows_are_carried() -> None:
    unknown = Block({"type": "block_of_tomorrow", "secret": [1, 2]}, [])
    before, carrier, after = items_of(text_block("a"), unknown, text_block("b"))

    assert opened(carrier["encrypted_content"]) == [{"type": "block_of_tomorrow", "secret": [1, 2]}]
    assert (before["type"], after["type"]) == ("message", "message")


# The response


def test_settings_are_echoed_and_those_not_sent_have_openais_defaults() -> None:
    sent = {"instructions": "Be brief.", "temperature": 0.5, "tools": None, "conversation": {"id": "conv_1"}}
    settings = {name: Raw(json.dumps(value).encode()) for name, value in sent.items()}
    response = response_of(text_block(), settings=settings)

    assert response["instructions"] == "Be brief."
    assert (response["temperature"], response["top_p"], response["tools"]) == (0.5, 1.0, [])
    assert response["conversation"] == {"id": "conv_1"}
    assert response["store"] is True
    assert (response["created_at"], response["completed_at"]) == (1_700_000_000, 1_700_000_005)


def test_the_response_names_the_model_that_answered() -> None:
    assert response_of(text_block())["model"] == "claude-sonnet-5-5"
