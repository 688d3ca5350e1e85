"""Decodes a caller's JSON; every mistake becomes a `TranslationError` that names its place."""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.wire.raw import NULL, TEXT_DECODER

_PIECE_BYTES: Final = 64 * 1024
# Longer texts that begin with white space are not checked completely: upstream rejects blank ones.
_LONGEST_BLANK: Final = 2**20
_QUOTE: Final = ord('"')

_T_co = TypeVar("_T_co", covariant=True)

# msgspec ends its messages with " - at `$.messages[0].content`".
_PLACE: Final = re.compile(r"^(?P<text>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?$", re.DOTALL)
# Strings and punctuation, for tracking the position; a string may be unterminated.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\],]', re.DOTALL)
# A string up to an unpaired half of a surrogate pair.
_PAIRED: Final = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+", re.DOTALL
)
# The search for a mistake is limited to this size: enough for any conversation, and some 20 ms at most.
_SEARCHED_BYTES: Final = 1024 * 1024
_SEARCHED_TOKENS: Final = 40_000
# Nearly all JSON strings begin in a way that shows they are not blank: with an ASCII character that is no white space,
# with the first byte of a script without white space, or with an escape, possibly after white space.
_SEEN: Final = rb"[!#-\[\]-~\xc3-\xe0\xe4-\xf4]"
# The skipped white space is bounded, since the regular expression's memory grows with each repetition.
SPOKEN: Final = re.compile(
    rb'"(?:%b|(?: |\\[nrt]){0,64}(?:%b|\xe3[\x81-\xbf]|\\["\\/b]|\\u[4-9a-eA-E]))' % (_SEEN, _SEEN)
)
# The first characters that decide most cases, as a table; copying such a short text costs nothing.
_IS_SEEN: Final = bytes(re.match(_SEEN, bytes([byte])) is not None for byte in range(256))
_SHORT_BYTES: Final = 64 * 1024
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>.+)`")


class Decoder(Protocol[_T_co]):
    """A decoder of JSON into one type."""

    def decode(self, data: bytes | Raw, /) -> _T_co:
        """The value; raises msgspec's errors."""
        ...


def decode(decoder: Decoder[_T_co], data: bytes | Raw, path: str = "") -> _T_co:
    """The value in `data`, which is at `path` of the caller's body."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error), path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        is_surrogate = "utf-16" in str(error)
        place = place_of_lone_surrogate(data) if is_surrogate or "truncated" in str(error) else None
        param = _joined(path, place or "") or None
        what = "half of a surrogate pair" if place or is_surrogate else str(error)
        raise TranslationError(f"The body is not valid JSON: {what}", param=param) from error
    except RecursionError as error:
        raise TranslationError("The body is nested too deeply.", param=path or None) from error


def checked_body(body: bytes) -> bytes:
    """The body, if it is not empty and valid UTF-8.

    The JSON decoder does not validate the raw slices it passes on, so the whole body is checked once.
    """
    if not body:
        raise TranslationError("The body is empty; expected a JSON object.")
    if not body.isascii():
        for _ in check_in_steps(body):
            pass
    return body


def check_in_steps(body: bytes) -> Iterator[None]:
    """Check that a body is valid UTF-8, in steps of a tenth of a millisecond."""
    # In one piece a large body would take more than twice the time: its text needs new memory of twice its size.
    view, begin = memoryview(body), 0
    while begin < len(body):
        end = begin + _PIECE_BYTES
        try:
            _, count = codecs.utf_8_decode(view[begin:end], "strict", end >= len(body))
        except UnicodeDecodeError as error:
            raise TranslationError(f"The body is not valid UTF-8 (byte {begin + error.start}).") from error
        # A character that is split belongs to the next piece.
        begin += count
        yield


def place_of_lone_surrogate(body: bytes | Raw) -> str | None:
    """The path of an unpaired half of a surrogate pair, which the JSON decoder does not report.

    None if there is none, if it is in a name, or if it is too far from the beginning to be searched for.
    """
    # The position in each open bracket: an index, or a name; None if a name is expected next.
    places: list[int | bytes | None] = []
    for token in islice(_TOKEN.finditer(bytes(memoryview(body)[:_SEARCHED_BYTES])), _SEARCHED_TOKENS):
        text = token[0]
        if text in b"[{":
            places.append(0 if text == b"[" else None)
        elif not places:
            return None
        elif text in b"]}":
            places.pop()
        elif text == b",":
            within = places[-1]
            places[-1] = within + 1 if isinstance(within, int) else None
        elif places[-1] is None:
            places[-1] = text
        elif _PAIRED.fullmatch(text) is None:
            return _path_of(places)
    return None


def _path_of(places: Iterable[int | bytes | None]) -> str | None:
    path = ""
    try:
        for place in places:
            path = _joined(path, f"[{place}]" if isinstance(place, int) else TEXT_DECODER.decode(place or b'""'))
    except (msgspec.DecodeError, UnicodeDecodeError):
        # A name on the path is invalid too.
        return None
    return path or None


def is_null(raw: Raw) -> bool:
    """Whether a field is absent or null, which is equivalent for every optional field."""
    return raw == NULL


def is_text(raw: Raw) -> bool:
    """Whether the value is a JSON string."""
    return memoryview(raw)[0] == _QUOTE


def spoken_text(raw: Raw) -> bytes:
    """The JSON string, if its beginning shows that it is a string and not blank; otherwise empty."""
    if len(raw) <= _SHORT_BYTES:
        data = bytes(raw)
        return data if data[0] == _QUOTE and (_IS_SEEN[data[1]] or SPOKEN.match(data)) else b""
    return bytes(raw) if SPOKEN.match(raw) else b""


def text_json(raw: Raw, path: str) -> bytes:
    """The JSON string at `path`, unchanged, for splicing; raises for any other value."""
    data = bytes(raw)
    if data[:1] != b'"':
        raise TranslationError(f"Invalid type for '{path}': expected a string.", param=path, code="invalid_type")
    return data


def missing_parameter(path: str) -> TranslationError:
    """OpenAI's error for a missing required field."""
    return TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def is_blank(text: bytes) -> bool:
    """Whether a JSON string is empty or blank; False for any string above 1 MB."""
    return not SPOKEN.match(text) and len(text) <= _LONGEST_BLANK and not TEXT_DECODER.decode(text).strip()


def _wrong_value(message: str, path: str) -> TranslationError:
    place = _PLACE.match(message)
    text = place["text"] if place else message
    inner = (place["path"] or "") if place else ""
    param = _joined(path, inner)
    if (missing := _MISSING.search(text)) is not None:
        return missing_parameter(_joined(param, missing["field"]))
    where = f" for '{param}'" if param else ""
    return TranslationError(f"Invalid value{where}: {text}.", param=param or None, code="invalid_type")


def _joined(path: str, inner: str) -> str:
    if not path or not inner:
        return path or inner
    return f"{path}{inner}" if inner.startswith("[") else f"{path}.{inner}"
