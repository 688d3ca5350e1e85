"""What of Anthropic's API may be used with the gateway's own keys."""

import json
import re
from typing import Any, get_args

import pytest
from anthropic.types.anthropic_beta_param import AnthropicBetaParam
from anthropic.types.beta.message_create_params import MessageCreateParamsBase

from translators.errors import TranslationError
from translators.native.allowed import BETAS, FIELDS, Allowed, check_allowed, passing_betas
from translators.native.request import read_native

NOTHING_MORE = Allowed()
SERVED = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}


def checked(body: bytes | dict[str, Any], allowed: Allowed = NOTHING_MORE) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    read_native(data)
    check_allowed(data, allowed)


def refused(body: bytes | dict[str, Any], allowed: Allowed = NOTHING_MORE) -> str:
    with pytest.raises(TranslationError) as raised:
        checked(body, allowed)
    failure = raised.value.failure
    assert failure.param is not None
    assert failure.message.startswith(failure.param)
    return failure.param


def inside(text: str) -> bytes:
    """A request with this text at its end."""
    return json.dumps(SERVED).encode()[:-1] + f",{text}}}".encode()


def with_blocks(text: str) -> bytes:
    return f'{{"model":"a","messages":[{{"role":"user","content":[{text}]}}]}}'.encode()


@pytest.mark.parametrize(
    "field",
    [
        *("speed", "inference_geo", "mcp_servers", "container", "fallbacks", "fallback_credit_token"),
        *("billing_policy", "user_profile_id", "workspace_id", "tomorrows"),
    ],
)
def test_a_field_that_nobody_has_allowed_is_refused_by_its_name(field: str) -> None:
    body = {**SERVED, field: "x"}

    assert refused(body) == field
    checked({**SERVED, field: None})
    checked(body, Allowed(fields=frozenset({field})))
    checked(body, Allowed(fields=frozenset({"*"})))


@pytest.mark.parametrize("field", sorted(FIELDS - {"model", "stream", "tools", "messages"}))
def test_what_costs_tokens_only_may_be_used_by_everybody(field: str) -> None:
    checked({**SERVED, field: {"any": "thing"}})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('"mcp_servers":[{"url":"https://a"}],"mcp_servers":null', "mcp_servers"),
        ('"mcp_servers":null,"mcp_servers":[{"url":"https://a"}]', "mcp_servers"),
        (r'"mcp_servers":null,"mcp\u005fservers":[{"url":"https://a"}]', "mcp_servers"),
        ('"speed":"fast","speed":null', "speed"),
        ('"model":"claude-opus-5-5"', "model"),
        ('"max_tokens":1', "max_tokens"),
        ('"tools":[{"type":"advisor_20260301"}],"tools":[]', "tools"),
        ('"tools":[{"type":"custom","name":"a"},{"type":"advisor_20260301","type":"custom"}]', "tools.1.type"),
        ('"tools":[{"type":"custom","type":"advisor_20260301"}]', "tools.0.type"),
        (r'"tools":[{"type":"custom","\u0074ype":"advisor_20260301"}]', "tools.0.type"),
    ],
)
def test_a_name_that_stands_twice_where_it_decides_is_a_mistake(text: str, place: str) -> None:
    assert refused(inside(text)) == place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"type":"container_upload","type":"text","file_id":"f"}', "messages.0.content.0.type"),
        ('{"type":"text","type":"container_upload","file_id":"f"}', "messages.0.content.0.type"),
        (
            '{"type":"image","source":{"type":"file","file_id":"f"},"source":{"type":"url","url":"https://a"}}',
            "messages.0.content.0.source",
        ),
        (
            '{"type":"image","source":{"type":"file","type":"url","file_id":"f"}}',
            "messages.0.content.0.source.type",
        ),
        (
            '{"type":"tool_result","content":[{"type":"image","source":{"type":"file","file_id":"f"}}],"content":"x"}',
            "messages.0.content.0.content",
        ),
        # The results of Anthropic's own tools are an object, not a list.
        (
            '{"type":"web_fetch_tool_result","content":{"type":"web_fetch_result","content":'
            '{"type":"document","source":{"type":"file","file_id":"f"}}}}',
            "messages.0.content.0.content.content.source.file_id",
        ),
    ],
)
def test_an_id_of_a_file_is_found_wherever_it_stands(text: str, place: str) -> None:
    assert refused(with_blocks(text)) == place
    if not place.endswith(("type", "source", "content")):
        checked(with_blocks(text), Allowed(fields=frozenset({"file_ids"})))


def test_an_id_in_the_system_prompt_is_found_too() -> None:
    body = {**SERVED, "system": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}

    assert refused(body) == "system.0.source.file_id"


def test_a_name_may_stand_twice_where_it_decides_nothing() -> None:
    checked(with_blocks('{"type":"tool_use","input":{"file_id":1,"file_id":2}}'))
    checked(inside('"metadata":{"a":1,"a":2}'))
    checked(inside('"tools":[{"name":"a","input_schema":{"type":"object","type":"object"}}]'))


@pytest.mark.parametrize(
    "kind",
    [
        *("web_search_20250305", "web_search_20260318", "web_fetch_20260309", "code_execution_20260521"),
        *("tool_search_tool_regex_20251119", "tool_search_tool_bm25", "custom", "bash_20250124", "memory_20250818"),
        *("text_editor_20250728", "computer_20251124", "computer_toolset_20260801", "browser_toolset_20260801"),
    ],
)
def test_known_tools_may_be_used(kind: str) -> None:
    checked({**SERVED, "tools": [{"name": "own", "input_schema": {"type": "object"}}, {"type": kind, "name": "x"}]})


@pytest.mark.parametrize(
    "kind", ["advisor_20260301", "mcp_toolset", "tomorrows_20270101", "web_searching", "WEB_SEARCH"]
)
def test_other_tools_take_the_operators_leave(kind: str) -> None:
    body = {**SERVED, "tools": [{"name": "own"}, {"type": kind}]}

    assert refused(body) == "tools.1.type"
    if kind != "mcp_toolset":
        checked(body, Allowed(server_tools=frozenset({"*"})))
        checked(body, Allowed(server_tools=frozenset({kind.rpartition("_20")[0] or kind})))


def test_a_toolset_of_mcp_goes_with_its_servers() -> None:
    body = {**SERVED, "tools": [{"type": "mcp_toolset"}]}

    assert refused(body, Allowed(server_tools=frozenset({"*"}))) == "tools.0.type"
    checked(body, Allowed(fields=frozenset({"mcp_servers"})))


def test_an_operator_may_allow_fewer_tools() -> None:
    body = {**SERVED, "tools": [{"type": "web_fetch_20260309", "name": "web_fetch"}]}

    assert refused(body, Allowed(server_tools=frozenset({"web_search"}))) == "tools.0.type"


@pytest.mark.parametrize(
    "text",
    [
        ",".join(f'"x{number}":null' for number in range(200)),
        '"tools":[' + ",".join("{}" for _ in range(200_001)) + "]",
        '"tools":[' + ",".join('{"name":"x"}' for _ in range(100_001)) + "]",
        '"tools":[{' + ",".join(f'"x{number}":1' for number in range(100_001)) + "}]",
        '"tools":5',
        '"tools":[5]',
    ],
)
def test_what_is_checked_is_bounded(text: str) -> None:
    with pytest.raises(TranslationError):
        checked(inside(text))


def test_betas_pass_by_their_names_whatever_their_dates() -> None:
    betas = ("context-1m-2025-08-07", "claude-code-20250219", "effort", "context-1m-2030-01-01")

    assert passing_betas(betas, NOTHING_MORE) == (betas, None)


def test_other_betas_are_left_out_and_named() -> None:
    betas = ("effort-2025-11-24", "tomorrow-2026-12-24", "oauth-2025-04-20", "context-1m-x")

    passing, adjusted = passing_betas(betas, NOTHING_MORE)

    assert passing == ("effort-2025-11-24",)
    assert adjusted == (
        "anthropic-beta.tomorrow-2026-12-24=dropped:not-allowed; "
        "anthropic-beta.oauth-2025-04-20=dropped:not-allowed; anthropic-beta.context-1m-x=dropped:not-allowed"
    )


@pytest.mark.parametrize("allowed", ["tomorrow", "tomorrow-2026-12-24", "*"])
def test_an_operator_may_allow_more_betas(allowed: str) -> None:
    betas = ("tomorrow-2026-12-24",)

    assert passing_betas(betas, Allowed(betas=frozenset({allowed}))) == (betas, None)


def test_a_field_that_is_allowed_has_its_beta() -> None:
    betas = ("server-side-fallback-2026-07-01",)

    assert passing_betas(betas, Allowed(fields=frozenset({"fallbacks"}))) == (betas, None)
    assert passing_betas(betas, NOTHING_MORE)[0] == ()


def test_every_field_of_anthropics_sdk_is_known_one_way_or_the_other() -> None:
    # Whoever updates the SDK sees what is new, and decides.
    decided = {"speed", "inference_geo", "mcp_servers", "container", "fallbacks", "fallback_credit_token"}
    in_headers = {"betas", "user_profile_id", "workspace_id"}
    named = set(MessageCreateParamsBase.__annotations__)

    assert named - FIELDS <= decided | in_headers | {"billing_policy"}
    assert {"claude-code", "interleaved-thinking", "context-1m"} <= BETAS


# What Claude Code sends beside what Anthropic's SDK names: seen in public captures of its requests, or in recordings.
SEEN_ELSEWHERE = {
    "advanced-tool-use",
    "claude-code",
    "effort",
    "mid-conversation-system",
    "prompt-caching-scope",
    "redact-thinking",
    "tool-examples",
    "tool-search-tool",
    "web-fetch",
    # Nothing here shows it; the tool that it was for needs none any more.
    "web-search",
}
# What the SDK names and nobody needs for messages, or what operators allow.
NOT_FOR_ALL = {
    "agent-memory",
    "admin-user-sign-out",
    "analytics-usage-cost",
    "ce-claude-code-managed-settings",
    "ce-plugins",
    "ce-user-management",
    "dreaming",
    "efs",
    "experimental-claude-tag",
    "fallback-credit",
    "google-managed-data-controls",
    "inline-tools",
    "managed-agents",
    "mcp-tunnels",
    "message-batches",
    "oauth",
    "server-side-fallback",
    "spend-limit-reads",
    "telemetry-destinations",
    "user-profiles",
    "user-profiles-billing",
    "webhooks",
}


def test_every_beta_that_anthropics_sdk_knows_is_decided_and_every_other_one_was_seen() -> None:
    literal = next(part for part in get_args(AnthropicBetaParam) if get_args(part))
    # These stand in the SDK's code only.
    named = {*get_args(literal), "fine-grained-tool-streaming-2025-05-14", "oauth-2025-04-20"}
    sdks = {re.sub(r"-20\d\d-\d\d-\d\d$", "", beta) for beta in named}

    assert sdks - BETAS == NOT_FOR_ALL
    assert BETAS - sdks == SEEN_ELSEWHERE
