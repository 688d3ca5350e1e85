"""Anthropic's own tools by their type: who runs them, and which of those that run there may be used."""

from collections.abc import Iterable
from typing import Final

# What the caller runs, or nobody: these cost tokens and nothing else, and reach nothing.
CLIENT_TOOLS: Final = frozenset({"custom", "bash", "text_editor", "computer", "browser_toolset", "memory"})
# What runs at Anthropic: it may cost more than tokens and fetches pages.
SERVER_TOOLS: Final = frozenset({"web_search", "web_fetch", "code_execution", "tool_search"})
# Reaches servers of the caller's choice, so it takes the leave to use `mcp_servers`.
MCP_TOOLSET: Final = "mcp_toolset"
# As an entry of a list of what is allowed.
EVERYTHING: Final = "*"


def may_use(kind: str, allowed: Iterable[str]) -> bool:
    """Whether a tool of that type (`web_search_20250305`) may be used; names have no date, as `web_search`."""
    return any(
        (name == EVERYTHING and kind != MCP_TOOLSET) or kind == name or kind.startswith(f"{name}_")
        for name in (*CLIENT_TOOLS, *allowed)
    )
