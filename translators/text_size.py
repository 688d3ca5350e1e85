"""How much text a body holds, without what its images and files take: an estimate before anything is counted."""

import re
from collections.abc import Generator
from typing import Final, NamedTuple

from translators.steps import in_one_go

# Of a body so many bytes make a step.
_WINDOW: Final = 64 * 1024
# Further data counts as text. No request has nearly as many images.
_MOST_DATA: Final = 5_000
# What precedes data in base64: in a URL, and in fields that are named for it.
_STARTS: Final = (b";base64,", b'data"')
_VALUE: Final = re.compile(rb'\s{0,16}:\s{0,16}"')
# Enough of a text to tell that it is none.
_DATA: Final = re.compile(rb"[A-Za-z0-9+/=_\\-]{256}")
_QUOTE: Final = b'"'
# The types of parts, in all APIs, that are no text.
_TYPE: Final = b'"type"'
_MEDIA: Final = (b'"image', b'"input_image"', b'"input_file"', b'"document"', b'"file"')
# What lets upstream read more than the body: its own tools, and what it has stored or writes itself.
_MORE: Final = re.compile(
    rb'"(?:web_|code_|tool_search|mcp|advisor|compact|context_management|container|thread|fallbacks|file_id)'
    # No encoder escapes letters: such a name is meant to look like another one.
    rb"|\\u00[4-7]"
)
_LONGEST_NAME: Final = 32
_LONGEST: Final = max(map(len, (*_MEDIA, *_STARTS)))


class TextSize(NamedTuple):
    """The bytes of text in a body, and whether it holds images or files besides."""

    bytes: int
    has_media: bool

    def with_more(self, other: "TextSize") -> "TextSize":
        """Both together."""
        return TextSize(self.bytes + other.bytes, self.has_media or other.has_media)


def text_size(body: bytes) -> TextSize:
    """The text of a body, in JSON; names and punctuation count as text, data in base64 does not."""
    # Parts that are no text say their type; most small bodies have no types at all.
    if _TYPE not in body or not any(kind in body for kind in _MEDIA):
        return TextSize(len(body), False)
    return in_one_go(text_size_in_steps(body))


def may_read_more_in_steps(body: bytes) -> Generator[None, None, bool]:
    """Whether upstream may read more for a body than its text, as far as names in it can tell; in steps."""
    for place in range(0, len(body), _WINDOW):
        if _MORE.search(body, place, place + _WINDOW + _LONGEST_NAME) is not None:
            return True
        yield
    return False


def text_size_in_steps(body: bytes) -> Generator[None, None, TextSize]:
    """The same, in steps."""
    size, place, data, searches, has_media = len(body), 0, 0, 0, False
    while place < size:
        end = min(place + _WINDOW, size)
        has_media = has_media or any(body.find(kind, place, end + _LONGEST) >= 0 for kind in _MEDIA)
        begin = _data_start(body, place, end) if searches < _MOST_DATA else -1
        if begin < 0:
            place = end
        else:
            searches += 1
            place = body.find(_QUOTE, begin) if _DATA.match(body, begin) else begin
            if place < 0:
                break
            data += place - begin
        yield
    return TextSize(size - data, has_media) if has_media else TextSize(size, False)


def _data_start(body: bytes, place: int, end: int) -> int:
    """Where what may be data begins behind `place`, if anything before `end` says so; -1 otherwise."""
    found = [
        (at, start) for start in _STARTS if (at := body.find(start, place, min(end + len(start) - 1, len(body)))) >= 0
    ]
    if not found:
        return -1
    at, start = min(found)
    begin = at + len(start)
    if start is _STARTS[0]:
        return begin
    value = _VALUE.match(body, begin)
    return value.end() if value else begin
