"""Tools of the Responses API as the writer takes them, and the choice among them."""

import json
from typing import Any

import pytest

from tests.support.response_requests import call, output, read, user
from translators.errors import TranslationError
from translators.responses.kinds import Kind, ToolKind
from translators.responses.request import ResponsesRequest

Tool = dict[str, Any]


def function(name: str = "look", **keys: Any) -> Tool:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, **keys}


def namespace(name: str, *tools: Tool, description: str = "") -> Tool:
    return {"type": "namespace", "name": name, "description": description, "tools": list(tools)}


def listed(request: ResponsesRequest) -> list[Any]:
    return [json.loads(bytes(tool)) for tool in request.intent.tools or ()]


def chosen(request: ResponsesRequest) -> Any:
    return json.loads(bytes(request.intent.tool_choice))


def error_of(**fields: Any) -> tuple[str | None, str]:
    with pytest.raises(TranslationError) as caught:
        read(**fields)
    return caught.value.failure.param, caught.value.failure.message


def test_functions_go_on_as_they_are() -> None:
    tool = function(description="Looks.", strict=True)

    request = read(tools=[tool])

    assert [bytes(raw) for raw in request.intent.tools or ()] == [json.dumps(tool).encode()]
    assert request.kinds == {}
    assert request.intent.lost == []


def test_what_has_no_counterpart_is_taken_from_functions_and_named() -> None:
    request = read(
        tools=[
            function("a", defer_loading=True, allowed_callers=["programmatic"], output_schema={"type": "object"}),
            function("b", defer_loading=False, allowed_callers=["direct"]),
        ]
    )

    assert listed(request) == [function("a"), function("b")]
    assert request.intent.lost == ["tools.defer_loading", "tools.allowed_callers", "tools.output_schema"]


def test_custom_tools_go_on_as_they_are() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}

    request = read(tools=[{"type": "custom", "name": "sql", "description": "Asks.", "format": grammar}])

    assert listed(request) == [{"type": "custom", "name": "sql", "description": "Asks.", "format": grammar}]


def test_members_of_a_namespace_are_tools_with_longer_names() -> None:
    custom = {"type": "custom", "name": "sql", "description": "Asks."}

    request = read(tools=[namespace("crm", function("find"), custom, description="Customers.")])

    assert listed(request) == [
        function("crm__find") | {"description": "About the tools `crm__*`: Customers."},
        {"type": "custom", "name": "crm__sql", "description": "Asks."},
    ]
    assert request.kinds == {
        "crm__find": ToolKind(Kind.FUNCTION, "find", "crm"),
        "crm__sql": ToolKind(Kind.CUSTOM, "sql", "crm"),
    }


def test_a_member_of_a_namespace_gets_another_name_if_a_tool_has_it() -> None:
    request = read(tools=[namespace("crm", function("find")), function("crm__find")])

    first, second = (tool["name"] for tool in listed(request))
    assert second == "crm__find"
    assert first.startswith("crm__find_")
    assert request.kinds == {first: ToolKind(Kind.FUNCTION, "find", "crm")}


def test_long_names_of_members_are_ones_that_messages_accepts() -> None:
    request = read(tools=[namespace("n" * 60, function("é" * 60))])

    ((name, kind),) = request.kinds.items()
    assert len(name) <= 64
    assert name.isascii()
    assert (kind.namespace, kind.name) == ("n" * 60, "é" * 60)


def test_calls_of_members_go_back_under_their_longer_names() -> None:
    request = read(
        user(), call("c1", "find", namespace="crm"), output("c1"), tools=[namespace("crm", function("find"))]
    )

    (made,) = request.intent.messages[1].tool_calls or []
    assert made.function is not None
    assert made.function.name == "crm__find"


def test_a_call_of_a_member_that_is_gone_has_the_name_that_it_had() -> None:
    (made,) = read(user(), call("c1", "find", namespace="crm"), output("c1")).intent.messages[1].tool_calls or []

    assert made.function is not None
    assert made.function.name == "crm__find"


@pytest.mark.parametrize(
    ("kind", "required"), [("local_shell", ["command"]), ("shell", ["commands"]), ("apply_patch", ["type", "path"])]
)
def test_client_tools_are_functions_whose_calls_have_items_of_their_own(kind: str, required: list[str]) -> None:
    request = read(tools=[{"type": kind}])

    (tool,) = listed(request)
    assert (tool["type"], tool["name"], tool["parameters"]["required"]) == ("function", kind, required)
    assert request.kinds == {kind: ToolKind(Kind(kind), kind)}


def test_a_client_tool_gets_another_name_if_a_function_has_it() -> None:
    request = read(
        user(),
        {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c1", "output": []},
        tools=[{"type": "shell", "environment": {"type": "local"}}, function("shell")],
        tool_choice={"type": "shell"},
    )

    name = next(iter(request.kinds))
    assert [tool["name"] for tool in listed(request)] == [name, "shell"]
    assert name != "shell"
    assert chosen(request) == {"type": "function", "name": name}
    (made,) = request.intent.messages[1].tool_calls or []
    assert made.function is not None
    assert made.function.name == name


def test_a_shell_in_a_container_of_openais_is_not_offered() -> None:
    request = read(tools=[{"type": "shell", "environment": {"type": "container_auto"}}])

    assert request.intent.tools is None
    assert request.intent.lost == ["tools.shell"]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "image_generation"},
        {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "mac"},
        {"type": "mcp", "server_label": "s", "server_url": "https://example.com"},
        {"type": "tool_search"},
        {"type": "programmatic_tool_calling"},
    ],
    ids=lambda tool: tool["type"],
)
def test_tools_that_nobody_runs_here_are_dropped_and_named(tool: Tool) -> None:
    request = read(tools=[tool, function()], tool_choice={"type": tool["type"]})

    assert listed(request) == [function()]
    assert request.intent.lost == [f"tools.{tool['type']}", "tool_choice"]
    assert json.loads(bytes(request.settings["tools"])) == [tool, function() | {"strict": False}]


def test_web_search_goes_on_with_its_fields() -> None:
    search = {"type": "web_search", "filters": {"allowed_domains": ["example.com"]}, "search_context_size": "low"}

    request = read(tools=[search | {"external_web_access": True}, {"type": "web_search_preview"}])

    assert listed(request) == [search, {"type": "web_search_preview"}]
    assert request.intent.lost == []


def test_a_search_that_must_not_leave_openais_index_is_not_offered() -> None:
    request = read(tools=[function(), {"type": "web_search", "external_web_access": False}])

    assert listed(request) == [function()]
    assert request.intent.lost == ["tools.web_search"]


def test_tools_added_in_the_course_of_a_conversation_stand_behind_the_others_once() -> None:
    added = {"type": "additional_tools", "role": "developer", "tools": [function("b"), function("a")]}

    request = read(user(), added, user(), added, tools=[function("a")])

    assert listed(request) == [function("a"), function("b")]
    assert json.loads(bytes(request.settings["tools"])) == [function("a") | {"strict": False}]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("required", "required"),
        ({"type": "function", "name": "look"}, {"type": "function", "name": "look"}),
        ({"type": "custom", "name": "sql"}, {"type": "custom", "name": "sql"}),
        ({"type": "web_search_preview"}, {"type": "web_search_preview", "name": "web_search"}),
        ({"type": "apply_patch"}, {"type": "function", "name": "apply_patch"}),
        ({"type": "function", "name": "find", "namespace": "crm"}, {"type": "function", "name": "crm__find"}),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "a"}, {"type": "mcp"}],
            },
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "a"}]},
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}, "none"),
    ],
)
def test_a_choice_is_one_that_the_writer_reads(choice: Any, wanted: Any) -> None:
    assert chosen(read(tool_choice=choice)) == wanted


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "dance"}]}, "tools[0].type"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
        ({"tools": [function(), namespace("n", {"type": "web_search"})]}, "tools[1].tools[0].type"),
        ({"tools": [namespace("n", {"type": "function"})]}, "tools[0].tools[0].name"),
        ({"tools": [namespace("n", function("x" * 1025))]}, "tools[0].tools[0].name"),
        ({"tools": [namespace("", function())]}, "tools[0].name"),
        ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.tools"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "x"}]}}, "tool_choice.tools[0].name"),
        ({"tool_choice": 1}, "tool_choice"),
    ],
)
def test_mistakes_are_named_by_their_place(fields: dict[str, Any], param: str) -> None:
    assert error_of(**fields)[0] == param


def test_the_same_tools_give_the_same_bytes() -> None:
    tools = [namespace("crm", function("find"), description="C."), {"type": "shell"}, function("crm__find")]

    first, second = read(tools=tools), read(user("Later"), tools=tools)

    assert first.intent.tools == second.intent.tools
    assert first.kinds == second.kinds
