"""How callers of Responses know their tools: shared by the reader, which flattens them, and the writer, which restores.

Upstream knows every tool of the caller as a function or a custom tool. `local_shell`, `shell` and `apply_patch` are
offered to it as functions; the arguments that the model gives are, as far as they are there:

- `local_shell`: `command` (a list of texts), `env`, `timeout_ms`, `user`, `working_directory`
- `shell`: `commands` (a list of texts), `timeout_ms`, `max_output_length`
- `apply_patch`: `type` (`create_file`, `update_file`, `delete_file`), `path`, `diff`
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct


class Kind(Enum):
    """What a tool is to the caller; the values are OpenAI's types of tools."""

    FUNCTION = "function"
    CUSTOM = "custom"
    LOCAL_SHELL = "local_shell"
    SHELL = "shell"
    APPLY_PATCH = "apply_patch"


class ToolKind(Struct, frozen=True):
    """A tool as the caller knows it: its name without the namespace that it may be in."""

    kind: Kind
    name: str
    namespace: str | None = None


# By the names that the answer's calls have (`Call.name`). A tool that is not listed is a function or a custom tool of
# that very name.
ToolKinds: TypeAlias = Mapping[str, ToolKind]
