"""Simplifies contents of messages and results that hold nothing but text, so that the writer need not decode them."""

from typing import Final

import msgspec
from msgspec import Raw

from translators.reading import is_text
from translators.wire.responses import ONLY_WORDS_DECODER

_ARRAY: Final = ord("[")
_TEXT: Final = b'{"type":"text","text":%b}'


def plain(content: Raw) -> Raw:
    """A content of one text as a string, and one of several texts as chat's text parts. Both mean the same.

    Any other content, and one with a mistake in it, is returned unchanged.
    """
    if memoryview(content)[0] != _ARRAY:
        return content
    try:
        parts = ONLY_WORDS_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return content
    if len(parts) == 1:
        text = parts[0].text
        return text if is_text(text) else content
    if not parts or not all(is_text(part.text) for part in parts):
        return content
    return Raw(b"[%b]" % b",".join([_TEXT % part.text for part in parts]))
