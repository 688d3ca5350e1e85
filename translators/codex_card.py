"""A model in the list of models that Codex reads: `GET /v1/models?client_version=...`.

Codex refuses the whole list if an entry lacks a key that it needs, and then treats every model as unknown: without
`apply_patch`, reasoning levels and the size of the context. Fields and their meaning: Codex 0.171.0.
"""

from typing import Final

from translators.models import ModelRow

# Sent by Codex as the first message of each conversation. Without a text of ours there would be none.
BASE_INSTRUCTIONS: Final = """\
You are a coding agent. You run in Codex, a program in the user's terminal, and share one workspace with the user: the \
files in the current directory. Work on the user's task until it is done, then say what you did.

# How to work

- Look before you change: read the files concerned, and how the project builds, tests and names things. Files named \
AGENTS.md hold the project's own rules for the directory that they are in and all below it; the deepest one wins, and \
what the user says wins over all of them.
- Search with `rg` and `rg --files` where they are installed; they are faster than `grep` and `find`. Use independent \
tool calls at the same time.
- Make the change that was asked for, at its cause, in the style of the code around it. Do not mend unrelated things; \
mention them instead.
- The workspace may hold changes that are not yours. Leave them alone, and never undo them. Do not commit, create \
branches, or run destructive commands such as `git reset --hard` unless the user asks for it.
- If `update_plan` is offered, use it for tasks of several steps and keep it current.
- Check your work: run the tests or the program, the narrowest check first. Say so if you could not.
- If a command is refused by the sandbox and you need it, ask for permission in the way that the tool describes.

# Edits

Use `apply_patch` for edits by hand, if it is offered; write files with commands only where a program generates them. \
Its input is the patch itself, no JSON:

*** Begin Patch
*** Add File: path/of/new.py
+every line of a new file begins with a plus
*** Update File: path/of/old.py
@@ def the_function_that_is_changed():
 a line before, as it is
-the line that goes
+the line that comes
*** Delete File: path/of/unused.py
*** End Patch

Paths are relative. Give three lines of context before and after each change, exactly as they are in the file; add \
`@@` with the class or function around it where these are not unique.

# Messages

Before a group of tool calls, say in a sentence what you are about to do. At the end, be brief: what changed and where \
(`path/file.py:12`), how it was checked, what is left. Do not paste files that you wrote; the user has them.\
"""
# Of models whose rows name no levels: the gateway turns these into budgets of thinking.
_EFFORTS: Final = ("low", "medium", "high")
_USUAL_EFFORT: Final = "medium"
_DESCRIPTIONS: Final = {
    "low": "Answers fast, with little thought",
    "medium": "Balances speed and thought",
    "high": "Thinks longer about hard problems",
    "xhigh": "Thinks much longer about very hard problems",
    "max": "Thinks as long as the model can",
}


def codex_entry(
    name: str, display_name: str, row: ModelRow, priority: int, *, is_listed: bool = True
) -> dict[str, object]:
    """The entry of a model; models with a lower `priority` stand first, and unlisted ones are not offered to users."""
    efforts = (row.efforts or _EFFORTS) if row.can_think else ()
    return {
        "slug": name,
        "display_name": display_name,
        "description": None,
        "supported_reasoning_levels": [
            {"effort": effort, "description": _DESCRIPTIONS.get(effort, effort)} for effort in efforts
        ],
        "default_reasoning_level": (row.effort or _USUAL_EFFORT) if efforts else None,
        "supports_reasoning_summaries": bool(efforts),
        "default_reasoning_summary": "auto",
        "support_verbosity": True,
        "default_verbosity": None,
        "shell_type": "unified_exec",
        "apply_patch_tool_type": "freeform",
        "supports_parallel_tool_calls": True,
        "experimental_supported_tools": [],
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "context_window": row.context,
        "max_context_window": row.context,
        "input_modalities": ["text", "image"],
        "visibility": "list" if is_listed else "hide",
        "supported_in_api": True,
        "priority": priority,
        "base_instructions": BASE_INSTRUCTIONS,
    }
