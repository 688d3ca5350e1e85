"""Anthropic's own tools by type: where they run, and which server tools may be used."""

from collections.abc import Iterable
from typing import Final

# Run by the caller or not at all: they cost only tokens, and have no access to anything.
CLIENT_TOOLS: Final = frozenset({"custom", "bash", "text_editor", "computer", "browser_toolset", "memory"})
# Run at Anthropic: they may cost more than tokens, and some fetch pages.
SERVER_TOOLS: Final = frozenset({"web_search", "web_fetch", "code_execution", "tool_search"})
# Accesses servers of the caller's choice, so it needs permission for `mcp_servers`.
MCP_TOOLSET: Final = "mcp_toolset"
# Server tools that name another model for a part of the work.
NAMES_MODELS: Final = frozenset({"advisor"})
# The entry of a list that allows everything.
EVERYTHING: Final = "*"


def narrowed(allowed: frozenset[str], barred: frozenset[str]) -> frozenset[str]:
    """The list without some tools; of one that allows everything, the usual tools remain."""
    return (SERVER_TOOLS if EVERYTHING in allowed else allowed) - barred


def may_use(kind: str, allowed: Iterable[str]) -> bool:
    """Whether a tool of that type (`web_search_20250305`) may be used; allowed names have no date, as `web_search`."""
    return any(
        (name == EVERYTHING and kind != MCP_TOOLSET) or kind == name or kind.startswith(f"{name}_")
        for name in (*CLIENT_TOOLS, *allowed)
    )
