"""The framing of a Responses stream: server-sent events, each with a name that is the type of its data."""

import json
from typing import Any

Json = dict[str, Any]

DONE = b"[DONE]"


def read_stream(raw: bytes) -> tuple[list[Json], list[str]]:
    """The events of a stream, and what is wrong with the way they are framed."""
    events: list[Json] = []
    violations: list[str] = []
    text = raw.replace(b"\r\n", b"\n")
    if text and not text.endswith(b"\n\n"):
        violations.append("framing: the last event is not followed by a blank line")
    blocks = [block for block in text.split(b"\n\n") if block.strip(b"\n")]
    for number, block in enumerate(blocks):
        lines = [line for line in block.strip(b"\n").split(b"\n") if not line.startswith(b":")]
        if lines:
            violations += _read_block(
                lines, f"framing of event {len(events)}", events, is_last=number == len(blocks) - 1
            )
    return events, violations


def _read_block(lines: list[bytes], where: str, events: list[Json], *, is_last: bool) -> list[str]:
    names = [line[6:].strip() for line in lines if line.startswith(b"event:")]
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    if len(names) + len(data) != len(lines):
        return [f"{where}: a line is neither `event:` nor `data:`"]
    if data == [DONE] and not names:
        return [] if is_last else [f"{where}: [DONE] before the end"]
    if len(names) != 1 or not data:
        return [f"{where}: not one `event:` line with data"]
    try:
        event = json.loads(b"\n".join(data))
    except ValueError:
        return [f"{where}: the data is not JSON"]
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return [f"{where}: the data is not an object with a type"]
    events.append(event)
    name = names[0].decode("utf-8", "replace")
    return [] if name == event["type"] else [f"{where}: `event: {name}` with type {event['type']!r}"]
