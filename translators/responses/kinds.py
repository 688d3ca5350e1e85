"""What each tool is to the caller. The reader makes functions of all tools; the writer restores calls by this table.

`local_shell`, `shell` and `apply_patch` are functions to the model, with these arguments, each of which may be missing:

- `local_shell`: `command` (a list of texts), `env`, `timeout_ms`, `user`, `working_directory`
- `shell`: `commands` (a list of texts), `timeout_ms`, `max_output_length`
- `apply_patch`: `type` (`create_file`, `update_file`, `delete_file`), `path`, `diff`
"""

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

from msgspec import Struct


class Kind(Enum):
    """The type of a tool, as the caller sent it."""

    FUNCTION = "function"
    CUSTOM = "custom"
    LOCAL_SHELL = "local_shell"
    SHELL = "shell"
    APPLY_PATCH = "apply_patch"


class ToolKind(Struct, frozen=True):
    """A tool as the caller knows it; `name` is without the namespace."""

    kind: Kind
    name: str
    namespace: str | None = None


# By the name of the call in the answer (`Call.name`). A tool that is not listed is a function or a custom tool with
# the same name.
ToolKinds: TypeAlias = Mapping[str, ToolKind]
