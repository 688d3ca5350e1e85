"""How clients read a stream of chunks that do not use an official SDK: each gives the JSON of its events in order.

Small copies of what is in use, with the habits that have broken on other gateways' streams.
"""

import json
from collections.abc import Iterable
from typing import Any

DONE = "[DONE]"


def like_openai_go(pieces: Iterable[bytes]) -> list[Any]:
    """openai-go up to early 2026: a blank line ends an event, also one without data, which is no JSON then."""
    events, data = [], ""
    for line in b"".join(pieces).decode().splitlines():
        if not line:
            if data.startswith(DONE):
                break
            events.append(json.loads(data))
            data = ""
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data += value.removeprefix(" ") + "\n"
    return events


def like_eventsource_parser(pieces: Iterable[bytes]) -> list[Any]:
    """The HTML standard, as eventsource-parser has it: comments are skipped, an event without data is none."""
    events = []
    data: list[str] = []
    for line in b"".join(pieces).decode().split("\n"):
        if line.startswith(":"):
            continue
        if not line:
            if data:
                events.append("\n".join(data))
            data = []
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
    return _until_done(events)


def by_blank_lines(pieces: Iterable[bytes]) -> list[Any]:
    """Cut at blank lines; what does not begin with `data: ` is no event, whatever follows in it."""
    blocks = b"".join(pieces).decode().split("\n\n")
    return _until_done(block.removeprefix("data: ") for block in blocks if block.startswith("data: "))


def by_lines(pieces: Iterable[bytes]) -> list[Any]:
    """Line by line: all that are not blank are data."""
    lines = b"".join(pieces).decode().split("\n")
    return _until_done(line.removeprefix("data: ") for line in lines if line.strip())


def by_reads(pieces: Iterable[bytes]) -> list[Any]:
    """The same for each read by itself, as if no event could be cut between two."""
    return _until_done(
        line.removeprefix("data: ") for piece in pieces for line in piece.decode().split("\n") if line.strip()
    )


READERS = (like_openai_go, like_eventsource_parser, by_blank_lines, by_lines, by_reads)


def _until_done(texts: Iterable[str]) -> list[Any]:
    events = []
    for text in texts:
        if text == DONE:
            break
        events.append(json.loads(text))
    return events
