"""Reads the outputs of calls (`function_call_output` and others) into messages of the role `tool`."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw

from translators.intent import Message
from translators.limits import MAX_PARTS, check_length
from translators.messages.splicing import spliced
from translators.reading import decode, is_blank, is_null, is_text, missing_parameter, text_json
from translators.responses.words import plain
from translators.wire.raw import NULL, TRUE
from translators.wire.responses import SHELL_OUTPUTS_DECODER, Item, ShellOutput

_FAILED: Final = Raw(b'"failed"')


def _plain(item: Item, place: str) -> Message:
    """A text or parts, unchanged."""
    if is_null(item.output):
        raise missing_parameter(f"{place}.output")
    return Message("tool", plain(item.output))


def _shell(item: Item, place: str) -> Message:
    """The output of each command, and how the command ended."""
    if is_null(item.output):
        raise missing_parameter(f"{place}.output")
    if is_text(item.output):
        return Message("tool", item.output)
    outputs = decode(SHELL_OUTPUTS_DECODER, item.output, f"{place}.output")
    check_length(outputs, MAX_PARTS // 3, f"{place}.output")
    parts = [part for index, output in enumerate(outputs) for part in _printed(output, f"{place}.output[{index}]")]
    return Message("tool", Raw(b"[%b]" % b",".join(map(_part, parts))))


def _printed(output: ShellOutput, place: str) -> list[bytes]:
    """The texts (JSON strings) about one command."""
    texts = []
    if not is_null(output.stdout) and not is_blank(text := text_json(output.stdout, f"{place}.stdout")):
        texts.append(text)
    if not is_null(output.stderr) and not is_blank(text := text_json(output.stderr, f"{place}.stderr")):
        texts.append(spliced("Standard error:\n", text))
    outcome = output.outcome
    if outcome is not None and outcome.type == "timeout":
        texts.append(b'"The command took too long and was stopped."')
    elif outcome is not None and outcome.exit_code is not None:
        texts.append(b'"Exit code: %d"' % outcome.exit_code)
    return texts


def _patch(item: Item, place: str) -> Message:
    """The log of a patch, or else whether it was applied."""
    failed = item.status == _FAILED
    log = b'""' if is_null(item.output) else text_json(item.output, f"{place}.output")
    words = b'"The patch could not be applied."' if failed else b'"The patch was applied."'
    return Message("tool", Raw(words if is_blank(log) else log), is_error=TRUE if failed else NULL)


def _part(text: bytes) -> bytes:
    return b'{"type":"text","text":%b}' % text


# By the type of the item.
RESULTS: Final[Mapping[str, Callable[[Item, str], Message]]] = {
    "function_call_output": _plain,
    "custom_tool_call_output": _plain,
    "local_shell_call_output": _plain,
    "shell_call_output": _shell,
    "apply_patch_call_output": _patch,
}
