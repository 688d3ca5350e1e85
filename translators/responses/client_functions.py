"""`local_shell`, `shell` and `apply_patch`, which OpenAI's models know by their type, as functions for Claude.

A call of such a tool is an item with an object (`action`, `operation`) that holds the arguments, and some defaults.
"""

from collections.abc import Mapping
from typing import Final

import orjson
from msgspec import Raw, Struct

from translators.responses.kinds import Kind
from translators.wire.raw import NULL


class ClientTool(Struct, frozen=True):
    """A tool that the caller runs; `call` and `output` are the types of its items.

    `field` is the name of the object in a call's item, `defaults` its members that the model need not give.
    """

    kind: Kind
    call: str
    output: str
    field: str
    description: str
    parameters: Raw
    defaults: Mapping[str, Raw] = {}

    @property
    def name(self) -> str:
        """The function's name, unless another tool has it."""
        return self.kind.value


def _schema(required: tuple[str, ...], **properties: object) -> Raw:
    closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Raw(orjson.dumps(closed))


_TEXT: Final = {"type": "string"}
_TIMEOUT: Final = {"type": "integer", "description": "How many milliseconds the command may take."}

_LOCAL_SHELL: Final = ClientTool(
    Kind.LOCAL_SHELL,
    "local_shell_call",
    "local_shell_call_output",
    "action",
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
    {
        "type": Raw(b'"exec"'),
        "env": Raw(b"{}"),
        "timeout_ms": NULL,
        "user": NULL,
        "working_directory": NULL,
    },
)
_SHELL: Final = ClientTool(
    Kind.SHELL,
    "shell_call",
    "shell_call_output",
    "action",
    "Runs shell commands on the user's machine and returns what each prints (standard output and standard error) and "
    "its exit code. The commands are independent of each other and may run at the same time: join with && what has to "
    "run in order.",
    _schema(
        ("commands",),
        commands={"type": "array", "items": _TEXT, "description": "The commands, each a line for a shell."},
        timeout_ms={"type": "integer", "description": "How many milliseconds the commands may take."},
        max_output_length={"type": "integer", "description": "How many characters of output to return at most."},
    ),
    {"timeout_ms": NULL, "max_output_length": NULL},
)
_APPLY_PATCH: Final = ClientTool(
    Kind.APPLY_PATCH,
    "apply_patch_call",
    "apply_patch_call_output",
    "operation",
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
CLIENT_TOOLS: Final[Mapping[str, ClientTool]] = {tool.name: tool for tool in (_LOCAL_SHELL, _SHELL, _APPLY_PATCH)}
# By the type of the call's item.
CLIENT_CALLS: Final[Mapping[str, ClientTool]] = {tool.call: tool for tool in CLIENT_TOOLS.values()}
