"""Writes calls of `local_shell`, `shell` and `apply_patch`, which are functions to the model, as the caller's items.

The arguments become an object of the item, so the item is written when they are complete.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import orjson
from msgspec import Struct

from translators.answers.answer_types import Call
from translators.responses.frame import OutputItem, ResponsesFrame
from translators.responses.kinds import Kind
from translators.responses.output import COMPLETED, Item, Say, joined, read_text

Values: TypeAlias = dict[str, Any]


class _LocalShell(Struct):
    command: list[str] | str = []
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class _Shell(Struct):
    commands: list[str] | str = []
    timeout_ms: int | None = None
    max_output_length: int | None = None


class _Patch(Struct):
    type: str = "update_file"
    path: str = ""
    diff: str = ""


def _local_shell(arguments: str) -> Values:
    found = _read(arguments, _LocalShell)
    command = ["bash", "-lc", found.command] if isinstance(found.command, str) else found.command
    more = {name: getattr(found, name) for name in ("timeout_ms", "user", "working_directory")}
    given = {name: value for name, value in more.items() if value is not None}
    return {"type": "exec", "command": command, "env": found.env, **given}


def _shell(arguments: str) -> Values:
    found = _read(arguments, _Shell)
    commands = [found.commands] if isinstance(found.commands, str) else found.commands
    return {"commands": commands, "timeout_ms": found.timeout_ms, "max_output_length": found.max_output_length}


def _patch(arguments: str) -> Values:
    found = _read(arguments, _Patch)
    operation = {"type": found.type if found.type in _OPERATIONS else "update_file", "path": found.path}
    return operation if operation["type"] == "delete_file" else {**operation, "diff": found.diff}


def _read(arguments: str, form: type[Any]) -> Any:
    """The arguments; defaults if they were cut off or have another form."""
    try:
        return msgspec.json.decode(arguments, type=form)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return form()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


class _Form(NamedTuple):
    """How calls of one kind are written: id, type, the member that says what to do, and how it is read."""

    prefix: str
    type: str
    member: str
    read: Callable[[str], Values]


_OPERATIONS: Final = ("create_file", "update_file", "delete_file")
FORMS: Final = {
    Kind.LOCAL_SHELL: _Form("lsh", "local_shell_call", "action", _local_shell),
    Kind.SHELL: _Form("sh", "shell_call", "action", _shell),
    Kind.APPLY_PATCH: _Form("apc", "apply_patch_call", "operation", _patch),
}


class ClientToolItem(Item):
    """A call of one of these tools."""

    __slots__ = ("_action", "_form", "call", "is_ended")

    def __init__(self, frame: ResponsesFrame, index: int, call: Call, kind: Kind) -> None:
        super().__init__(frame, FORMS[kind].prefix, index)
        self._form = FORMS[kind]
        self.call = call
        self.is_ended = False
        # What is to be done, once it is finished.
        self._action: Values = {}

    def begin(self, say: Say) -> None:
        """Nothing yet."""

    def end(self, status: bytes) -> OutputItem | None:
        """All of it, or None where it was cut off: half of it must not be run."""
        arguments = read_text(joined(self.pieces))
        if status != COMPLETED and not _is_json(arguments):
            return None
        self._action = self._form.read(arguments)
        return OutputItem(self._members(self._action, "completed"))

    def tell_end(self, say: Say, item: OutputItem) -> None:
        action = self._action
        commands = action["commands"] if self._form.type == "shell_call" else []
        begun = {**action, "commands": []} if commands else action
        self.add(say, self._members(begun, "in_progress") + b"}")
        for number, command in enumerate(commands):
            self._say_command(say, number, command)
        self.done(say, item)

    def _members(self, action: Values, status: str) -> bytes:
        members = {"id": self.id.decode(), "type": self._form.type, "status": status, "call_id": self.call.id}
        return orjson.dumps({**members, self._form.member: action})[:-1]

    def _say_command(self, say: Say, number: int, command: str) -> None:
        place = b'"output_index":%d,"command_index":%d' % (self.index, number)
        text = orjson.dumps(command)
        say(b"response.shell_call_command.added", place + b',"command":""')
        say(b"response.shell_call_command.delta", b'%b,"delta":%b' % (place, text))
        say(b"response.shell_call_command.done", b'%b,"command":%b' % (place, text))
