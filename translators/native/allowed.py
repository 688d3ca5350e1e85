"""What of Anthropic's API may be used with the gateway's own keys: allow lists, not block lists.

Future fields may cost money or give access to other systems. What is on these lists costs tokens at most, is limited
by another list, or is what Anthropic's own SDKs and Claude Code send by themselves; operators can extend the lists.
"""

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from msgspec import Raw

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.members import OBJECT, OBJECTS, each_once
from translators.native.request import FILE_IDS, place_of_file_id_in_steps
from translators.reading import is_null
from translators.server_tools import EVERYTHING, MCP_TOOLSET, NAMES_MODELS, SERVER_TOOLS, may_use, narrowed
from translators.steps import in_one_go

FIELDS: Final = frozenset(
    {
        "cache_control",
        "compaction",
        "context_management",
        "diagnostics",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "thread",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
# Fields that name models besides `model`.
NAMING_MODELS: Final = frozenset({"fallbacks"})
# Without their dates: a new date is a new version of the same beta. The fields and tools of a beta are on other lists.
BETAS: Final = frozenset(
    {
        "advanced-tool-use",
        "advisor-tool",
        "cache-diagnosis",
        "claude-code",
        "code-execution",
        "compact",
        "computer-use",
        "context-1m",
        "context-management",
        "dev-full-thinking",
        "effort",
        "extended-cache-ttl",
        "fast-mode",
        "files-api",
        "fine-grained-tool-streaming",
        "interleaved-thinking",
        "mcp-client",
        "message-threads",
        "mid-conversation-output-config",
        "mid-conversation-system",
        "mid-conversation-system-clear-at",
        "mid-conversation-tool-changes",
        "model-context-window-exceeded",
        "output-128k",
        "output-300k",
        "pdfs",
        "prompt-caching",
        "prompt-caching-scope",
        "redact-thinking",
        "skills",
        "structured-outputs",
        "task-budgets",
        "thinking-binding-controls",
        "thinking-display-updates",
        "thinking-token-count",
        "token-counting",
        "token-efficient-tools",
        "tool-examples",
        "tool-search-tool",
        "web-fetch",
        "web-search",
    }
)
# What a field that an operator allows cannot do without.
_BETA_OF_FIELD: Final = {
    "fallbacks": "server-side-fallback",
    "fallback_credit_token": "fallback-credit",
    "billing_policy": "user-profiles-billing",
}
_DATE: Final = re.compile(r"-20\d\d-?\d\d-?\d\d$")
_MOST_TOOLS: Final = 10_000
# Each object has an opening brace, and schemas have many; this is twice what fits into the largest context.
_MOST_BRACES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows in addition: fields and `file_ids`, betas with or without date, server tools.

    `barred` are fields that are not allowed, whatever `fields` says.
    """

    fields: frozenset[str] = frozenset()
    betas: frozenset[str] = frozenset()
    server_tools: frozenset[str] = SERVER_TOOLS
    barred: frozenset[str] = frozenset()

    def without_other_models(self) -> "Allowed":
        """The same for somebody who may use some models only: no field and no tool names another."""
        return replace(self, barred=NAMING_MODELS, server_tools=narrowed(self.server_tools, NAMES_MODELS))


def check_allowed(body: bytes, allowed: Allowed) -> None:
    """Raise `TranslationError`, with the place, if a body (that `read_native` has accepted) has something not allowed.

    A duplicate name in a place that is checked is an error: JSON parsers differ in which of the two values they use.
    """
    in_one_go(check_allowed_in_steps(body, allowed))


def check_allowed_in_steps(body: bytes, allowed: Allowed) -> Generator[None, None, None]:
    """The same, in steps."""
    fields = each_once(OBJECT.read(body))
    yield
    for name, value in fields.items():
        if is_null(value) or name in FIELDS:
            continue
        if name in allowed.barred or not (name in allowed.fields or EVERYTHING in allowed.fields):
            raise not_allowed(name)
    if (tools := fields.get("tools")) is not None and not is_null(tools):
        yield from _check_tools(tools, allowed)
    if FILE_IDS not in allowed.fields and (place := (yield from place_of_file_id_in_steps(body))) is not None:
        raise not_allowed(place)


def passing_betas(betas: Iterable[str], allowed: Allowed) -> tuple[tuple[str, ...], str | None]:
    """The betas to send, and the adjustments for the others, which are dropped."""
    may_pass = BETAS | allowed.betas
    if allowed.fields:
        may_pass |= {beta for field, beta in _BETA_OF_FIELD.items() if field in allowed.fields}
    passing, notes = [], Adjustments()
    for beta in betas:
        if beta in may_pass or _DATE.sub("", beta) in may_pass or EVERYTHING in may_pass:
            passing.append(beta)
        else:
            notes.note(f"anthropic-beta.{beta}", "dropped", "not-allowed")
    return tuple(passing), notes.header


def not_allowed(place: str) -> TranslationError:
    """The error for something that is not on a list."""
    return TranslationError(f"{place}: not allowed with the gateway's own keys.", param=place)


def _check_tools(tools: Raw, allowed: Allowed) -> Generator[None, None, None]:
    if memoryview(tools).nbytes > 2 * _MOST_BRACES and bytes(tools).count(b"{") > _MOST_BRACES:
        raise _too_many_tools()
    listed = OBJECTS.read(tools, "tools")
    if len(listed) > _MOST_TOOLS:
        raise _too_many_tools()
    for index, members in enumerate(listed):
        yield
        tool = each_once(members, f"tools.{index}")
        kind = _text(tool.get("type"))
        if kind is None:
            continue
        if kind == MCP_TOOLSET and "mcp_servers" in allowed.fields:
            continue
        if not may_use(kind, allowed.server_tools):
            raise not_allowed(f"tools.{index}.type")


def _too_many_tools() -> TranslationError:
    return TranslationError("tools: there are too many.", param="tools")


def _text(value: Raw | None) -> str | None:
    """A `type` if it is a string; upstream reports anything else."""
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.ValidationError:
        return None
