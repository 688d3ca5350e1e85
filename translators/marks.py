"""Removes cache marks from JSON: they move from turn to turn, and are not part of the content."""

import re
from typing import Final

from msgspec import Raw

_MARK_NAMES: Final = (b'"cache_control"', b'"prompt_cache_breakpoint"')
_IN_ALL_NAMES: Final = b"cache_"
_MARK: Final = re.compile(rb"\s*:\s*(?:\{[^{}]*\}|null)")
_COMMA: Final = re.compile(rb"\s*(?:,\s*)?")


def without_marks(json: bytes | Raw) -> bytes:
    text = bytes(json)
    if _IN_ALL_NAMES not in text:
        return text
    for name in _MARK_NAMES:
        text = _without(text, name)
    return text


def _without(text: bytes, name: bytes) -> bytes:
    """JSON without the marks of one name, and without their separating commas.

    Searches for the name in the bytes, since a content may hold images of many megabytes.
    """
    pieces = []
    done, found = 0, text.find(name)
    while found >= 0:
        end = found + len(name)
        if (mark := _MARK.match(text, end)) is not None:
            before = text[done:found].rstrip()
            end = mark.end()
            if before.endswith(b","):
                before = before[:-1]
            elif (comma := _COMMA.match(text, end)) is not None:
                end = comma.end()
            pieces.append(before)
            done = end
        found = text.find(name, end)
    return b"".join((*pieces, text[done:]))
