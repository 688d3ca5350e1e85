"""Tools are the same in every turn, so requests share what was made of them; nothing of one shows in another."""

import json
from typing import Any

import pytest

from tests.support.conversations import chat, returned, said, tool, translate
from translators.errors import TranslationError
from translators.messages.options import Options

MARK = {"type": "ephemeral"}
LONG = "What does the second section of the contract say about the end of the term? " * 400
TOOLS = [tool("look", description=LONG), tool("talk", strict=True, parameters={"type": "object", "properties": {}})]
QUESTION = said("user", "Hello")


def tools_of(request: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = json.loads(translate(request, options=Options(**options)).body)["tools"]
    return tools


@pytest.mark.parametrize(
    ("marked", "options"),
    [
        pytest.param(chat(QUESTION, tools=TOOLS), {"caching": "auto"}, id="a mark that pays"),
        pytest.param(
            chat(said("system", "", cache_control=MARK), QUESTION, tools=TOOLS), {}, id="a mark that nothing carries"
        ),
    ],
)
def test_a_mark_on_the_last_tool_is_that_of_one_request(marked: dict[str, Any], options: dict[str, Any]) -> None:
    plain = tools_of(chat(QUESTION, tools=TOOLS))

    assert tools_of(marked, **options) == [*plain[:-1], {**plain[-1], "cache_control": MARK}]
    assert tools_of(chat(QUESTION, tools=TOOLS)) == plain
    assert "cache_control" not in json.dumps(plain)


def test_a_tool_of_the_gateways_own_is_that_of_one_request() -> None:
    searching = chat(QUESTION, tools=TOOLS, web_search_options={})

    assert [each["name"] for each in tools_of(searching)] == ["look", "talk", "web_search"]
    assert [each["name"] for each in tools_of(chat(QUESTION, tools=TOOLS))] == ["look", "talk"]


def test_a_tool_that_is_not_strict_beside_a_form_is_strict_without_it() -> None:
    # All optional parameters that a grammar may have are in the form.
    properties = {f"p{number}": {"type": "string"} for number in range(24)}
    form = {"name": "answer", "schema": {"type": "object", "properties": properties}, "strict": True}
    strict = tool("talk", strict=True, parameters={"type": "object", "properties": {"a": {"type": "string"}}})
    formed = chat(QUESTION, tools=[strict], response_format={"type": "json_schema", "json_schema": form})

    assert "strict" not in tools_of(formed)[0]
    assert tools_of(chat(QUESTION, tools=[strict]))[0]["strict"] is True


def test_the_result_of_a_legacy_function_answers_no_call_with_an_id() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turn = said("assistant", None, tool_calls=[call])
    answered = {**returned("call_1"), "role": "function", "name": "look"}

    with pytest.raises(TranslationError, match="must be a response to a preceding message with 'function_call'"):
        translate(chat(QUESTION, turn, answered, tools=TOOLS))
