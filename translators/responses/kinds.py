"""The kinds of calls that callers see, by tool: what the reader and the writer of the Responses door share.

Upstream knows functions and texts. `shell`, `local_shell` and `apply_patch` are functions there, whose calls and
results have items of their own here; members of a namespace are functions whose names begin with it.
"""

from collections.abc import Mapping
from typing import Final

import orjson
from msgspec import Raw, Struct

FUNCTION_CALL: Final = "function_call"
CUSTOM_CALL: Final = "custom_tool_call"


class ToolKind(Struct, frozen=True):
    """What a call of a tool is to the caller: the type of its item, and the tool's name there.

    `arguments` is the field of the item that holds the arguments as an object; None: they are a text in the field that
    the item's type has for it (`arguments`, `input`).
    """

    item: str = FUNCTION_CALL
    name: str = ""
    namespace: str | None = None
    arguments: str | None = None
    # What the object holds beside the arguments, as JSON, by name; the arguments win.
    defaults: Mapping[str, Raw] = {}


# By the names that tools have in the intent (and in the pieces of an answer). A tool that is not in it is a function or
# a custom tool under its own name.
Kinds = Mapping[str, ToolKind]


class ClientTool(Struct, frozen=True):
    """A tool that OpenAI's models know by its type, and that the caller runs."""

    kind: ToolKind
    # The type of the item with its result.
    output: str
    description: str
    parameters: Raw


def _schema(required: tuple[str, ...], **properties: object) -> Raw:
    closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Raw(orjson.dumps(closed))


_TEXT: Final = {"type": "string"}
_TIMEOUT: Final = {"type": "integer", "description": "How many milliseconds the command may take."}
_NULL: Final = Raw(b"null")

_LOCAL_SHELL: Final = ClientTool(
    ToolKind(
        "local_shell_call",
        "local_shell",
        arguments="action",
        defaults={
            "type": Raw(b'"exec"'),
            "env": Raw(b"{}"),
            "timeout_ms": _NULL,
            "user": _NULL,
            "working_directory": _NULL,
        },
    ),
    "local_shell_call_output",
    "Runs a command on the user's machine and returns what it prints and how it ends. The command is executed "
    "directly, without a shell: for pipes, redirections or variables, call a shell, as in "
    '["bash", "-lc", "ls | wc -l"].',
    _schema(
        ("command",),
        command={"type": "array", "items": _TEXT, "description": "The program and its arguments, one item each."},
        working_directory={"type": "string", "description": "Where to run it, if not in the current directory."},
        timeout_ms=_TIMEOUT,
        env={
            "type": "object",
            "additionalProperties": _TEXT,
            "description": "Environment variables to set for the command.",
        },
    ),
)
_SHELL: Final = ClientTool(
    ToolKind(
        "shell_call",
        "shell",
        arguments="action",
        defaults={"timeout_ms": _NULL, "max_output_length": _NULL},
    ),
    "shell_call_output",
    "Runs shell commands on the user's machine and returns what each prints (standard output and standard error) and "
    "its exit code. The commands are independent of each other and may run at the same time: join with && what has to "
    "run in order.",
    _schema(
        ("commands",),
        commands={"type": "array", "items": _TEXT, "description": "The commands, each a line for a shell."},
        timeout_ms={"type": "integer", "description": "How many milliseconds the commands may take."},
        max_output_length={"type": "integer", "description": "How many characters of output to return at most."},
    ),
)
_APPLY_PATCH: Final = ClientTool(
    ToolKind("apply_patch_call", "apply_patch", arguments="operation"),
    "apply_patch_call_output",
    "Creates, updates or deletes one file of the user's. `diff` is needed to create and to update, in the V4A format. "
    "To create a file, it is the whole content, each line with a + before it. To update one, it is a list of hunks. "
    "Each hunk begins with a line @@, followed by a space and the line of the class or function that the change is in "
    "where the context alone is not unique. Then come lines with a space before them that stay (three before the "
    "change and three after it), with a - that are removed, and with a + that are added. There are no line numbers "
    "and no file headers.",
    _schema(
        ("type", "path"),
        type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
        path={"type": "string", "description": "The file, relative to the root of the workspace."},
        diff={"type": "string", "description": "What to write or to change, in the V4A format."},
    ),
)

# By the type of the tool.
CLIENT_TOOLS: Final[Mapping[str, ClientTool]] = {tool.kind.name: tool for tool in (_LOCAL_SHELL, _SHELL, _APPLY_PATCH)}
# By the type of the call's item.
CLIENT_CALLS: Final[Mapping[str, ClientTool]] = {tool.kind.item: tool for tool in CLIENT_TOOLS.values()}
