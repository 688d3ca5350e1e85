"""What Codex 0.171.0 sends and reads, in bodies of our own wording: its keys and forms, none of its texts.

`tests/contract/codex/test_what_codex_needs.py` compares the keys with what an installed Codex sends. Which body it
sends depends on the model: one in a catalog (`first_turn`), one of an unknown name (the same without `apply_patch`), or
one of OpenAI's newest, whose tools come as an item of the input (`turn_of_a_known_model`).
"""

import json
from typing import Any

from backports import zstd

from tests.support.responses_replays import codex, replayed
from tests.support.responses_script import function_call, reasoning
from tests.support.scripted import ReceivedRequest

Json = dict[str, Any]

VERSION = "0.171.0"
MODEL = "claude-sonnet-5-5"
THREAD = "01a22c95-6b70-70c0-90a0-f689adba3ab4"

# An entry of `GET /v1/models?client_version=...`. Codex refuses a list where one of the first eleven keys is missing.
CATALOG_ENTRY: Json = {
    "slug": MODEL,
    "display_name": "Claude Sonnet 5.5",
    "supported_reasoning_levels": [
        {"effort": "low", "description": "Answers quickly"},
        {"effort": "high", "description": "Thinks for longer"},
    ],
    "shell_type": "unified_exec",
    "visibility": "list",
    "supported_in_api": True,
    "priority": 1,
    "support_verbosity": False,
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "experimental_supported_tools": [],
    "base_instructions": "Be of use in this project.",
    "default_reasoning_level": "low",
    "apply_patch_tool_type": "freeform",
    "context_window": 200_000,
    "supports_parallel_tool_calls": True,
    "supports_reasoning_summaries": True,
    "default_reasoning_summary": "auto",
    "input_modalities": ["text", "image"],
}
NEEDED_OF_AN_ENTRY = [*CATALOG_ENTRY][:11]

GRAMMAR = """start: begin hunk+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?
hunk: "*** Add File: " /(.+)/ LF ("+" /(.*)/ LF)+

%import common.LF
"""
PATCH = "*** Begin Patch\n*** Add File: notes.txt\n+one\n+two\n*** End Patch\n"
COMMAND = "echo hi > made.txt; cat made.txt"
WEB_SEARCH: Json = {"type": "web_search", "external_web_access": False}


def function(name: str, description: str, *, required: str | None = None, **properties: str) -> Json:
    """A function tool with arguments of simple types."""
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind, "description": f"The {key}."} for key, kind in properties.items()},
        "required": [required] if required else [],
        "additionalProperties": False,
    }
    return {"type": "function", "name": name, "description": description, "strict": False, "parameters": parameters}


EXEC_COMMAND = function("exec_command", "Runs a command.", required="cmd", cmd="string", yield_time_ms="number")
APPLY_PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files by a patch, which is no JSON.",
    "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
}
AGENTS: Json = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Other agents.",
    "tools": [
        function("close_agent", "Closes an agent.", required="target", target="string"),
        function("wait_agent", "Waits for agents.", required="timeout_ms", timeout_ms="number"),
    ],
}


def said(role: str, *texts: str) -> Json:
    """A message of the input; Codex gives each an id of its own, and its instructions are the first of them."""
    content = [{"type": "input_text", "text": text} for text in texts]
    return {"type": "message", "id": f"msg_{THREAD}", "role": role, "content": content}


def first_turn(*more: Json, tools: list[Json] | None = None) -> Json:
    """The body of a first request, and with `more` items of later ones; there is no `instructions` field."""
    offered = [
        EXEC_COMMAND,
        function("view_image", "Shows an image.", required="path", path="string"),
        APPLY_PATCH,
        AGENTS,
        function("get_goal", "The goal."),
        WEB_SEARCH,
    ]
    return {
        "model": MODEL,
        "stream": True,
        "input": [
            said("developer", "Be of use in this project."),
            said("developer", "There is a sandbox.", "It may only be read."),
            said("user", "<environment_context>\n  <cwd>/project</cwd>\n</environment_context>"),
            said("user", "Say hello."),
            *more,
        ],
        "tools": offered if tools is None else tools,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": THREAD,
        "client_metadata": {
            "session_id": THREAD,
            "thread_id": THREAD,
            "turn_id": THREAD,
            "root_turn_id": THREAD,
            "x-codex-window-id": f"{THREAD}:0",
            "x-codex-installation-id": THREAD,
            "x-codex-turn-metadata": '{"request_kind":"turn"}',
        },
    }


def result_of(call: Json, output: Any) -> Json:
    """The item that answers a call; the output is a text, or parts where an image was looked at."""
    return {"type": f"{call['type']}_output", "id": f"fco_{THREAD}", "call_id": call["call_id"], "output": output}


def second_turn(*thought: str) -> Json:
    """The body after a turn that thought and ran a command."""
    call = function_call(1, "exec_command", {"cmd": COMMAND})
    answer = replayed([reasoning(1, *thought, sealed="c2VhbGVk"), call], codex)
    return first_turn(*answer, result_of(call, "Process exited with code 0\nOutput:\nhi\n"))


def turn_of_a_known_model() -> Json:
    """The body for a model of OpenAI's newest: the tools are the first item of the input, and there is no `tools`."""
    code = {**APPLY_PATCH, "name": "exec", "description": "Runs code that calls tools."}
    wait = function("wait", "Waits.", required="cell_id", cell_id="string")
    functions = {"type": "namespace", "name": "functions", "description": "", "tools": [code, wait]}
    tools = {"type": "additional_tools", "id": f"at_{THREAD}", "role": "developer", "tools": [functions, AGENTS]}
    body = first_turn()
    del body["tools"]
    return {
        **body,
        "model": "gpt-6.2-sol",
        "input": [tools, *body["input"]],
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "context": "all_turns"},
        "text": {"verbosity": "low"},
    }


def compaction_turn() -> Json:
    """What a provider named `OpenAI` is asked when the context is full; others get a plain request without tools."""
    body = second_turn("It is long.")
    passed = {"internal_chat_message_metadata_passthrough": {"turn_id": THREAD}}
    return {**body, "input": [*({**item, **passed} for item in body["input"]), {"type": "compaction_trigger"}]}


def body_of(request: ReceivedRequest) -> Json:
    """The body of a request, which is compressed where Codex is signed in with ChatGPT."""
    is_packed = request.headers.get("content-encoding") == "zstd"
    body: Json = json.loads(zstd.decompress(request.body) if is_packed else request.body)
    return body
