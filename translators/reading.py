"""Reading a caller's JSON: every mistake becomes a `TranslationError` that names the place."""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.wire.chat import NULL, TEXT_DECODER

_PIECE_BYTES: Final = 64 * 1024
# A text that is longer, and blank at its beginning, is not looked through to its end: upstream refuses a blank one.
_LONGEST_BLANK: Final = 2**20
_QUOTE: Final = ord('"')

_T_co = TypeVar("_T_co", covariant=True)

# msgspec ends its messages with " - at `$.messages[0].content`".
_PLACE: Final = re.compile(r"^(?P<text>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?$", re.DOTALL)
# Strings and punctuation, which tell where one is; a string may lack its end.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\],]', re.DOTALL)
# A string up to the first half of a surrogate pair that stands alone.
_PAIRED: Final = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+", re.DOTALL
)
# Where a mistake is looked for: enough for any conversation, and done in some 20 ms.
_SEARCHED_BYTES: Final = 1024 * 1024
_SEARCHED_TOKENS: Final = 40_000
# JSON strings whose beginning shows that they are not blank: nearly all. A first character that is no white space, in
# ASCII, in a script none of whose characters is (told by its first byte), or as an escape, perhaps behind white space.
_SEEN: Final = rb"[!#-\[\]-~\xc3-\xe0\xe4-\xf4]"
# How much white space is looked behind is bounded: the memory of a repetition grows with every round.
SPOKEN: Final = re.compile(
    rb'"(?:%b|(?: |\\[nrt]){0,64}(?:%b|\xe3[\x81-\xbf]|\\["\\/b]|\\u[4-9a-eA-E]))' % (_SEEN, _SEEN)
)
# The first characters by which nearly all of these are told, as a table; and a text so short costs nothing to copy.
_IS_SEEN: Final = bytes(re.match(_SEEN, bytes([byte])) is not None for byte in range(256))
_SHORT_BYTES: Final = 64 * 1024
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>.+)`")


class Decoder(Protocol[_T_co]):
    """What reads JSON into one type."""

    def decode(self, data: bytes | Raw, /) -> _T_co:
        """The value; raises msgspec's errors."""
        ...


def decode(decoder: Decoder[_T_co], data: bytes | Raw, path: str = "") -> _T_co:
    """The value in `data`, which stands at `path` of the caller's body."""
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
    """The body, where it is not empty and UTF-8 throughout.

    The JSON decoder does not look into the slices it passes on, so the whole body is checked once.
    """
    if not body:
        raise TranslationError("The body is empty; expected a JSON object.")
    if not body.isascii():
        for _ in check_in_steps(body):
            pass
    return body


def check_in_steps(body: bytes) -> Iterator[None]:
    """See to it that a body is UTF-8 throughout, in steps of a tenth of a millisecond."""
    # In one piece a large body would be more than twice as much work: its text needs new memory, twice its size.
    view, begin = memoryview(body), 0
    while begin < len(body):
        end = begin + _PIECE_BYTES
        try:
            _, count = codecs.utf_8_decode(view[begin:end], "strict", end >= len(body))
        except UnicodeDecodeError as error:
            raise TranslationError(f"The body is not valid UTF-8 (byte {begin + error.start}).") from error
        # A character that the piece cuts is the next one's.
        begin += count
        yield


def place_of_lone_surrogate(body: bytes | Raw) -> str | None:
    """Where half a surrogate pair stands in a body; the JSON decoder that found it does not say.

    None where it is nowhere, in a name, or too far behind the beginning to be looked for.
    """
    # Of each open bracket, where in it one is: an index, or a name; None where a name is due.
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
        # A name on the way is broken, too.
        return None
    return path or None


def is_null(raw: Raw) -> bool:
    """Whether a field is absent or null, which is the same for every optional field."""
    return raw == NULL


def is_text(raw: Raw) -> bool:
    """Whether the value is a JSON string."""
    return memoryview(raw)[0] == _QUOTE


def spoken_text(raw: Raw) -> bytes:
    """The JSON string, where its beginning shows that it is one and not blank; else nothing."""
    if len(raw) <= _SHORT_BYTES:
        data = bytes(raw)
        return data if data[0] == _QUOTE and (_IS_SEEN[data[1]] or SPOKEN.match(data)) else b""
    return bytes(raw) if SPOKEN.match(raw) else b""


def text_json(raw: Raw, path: str) -> bytes:
    """The JSON string at `path`, as it stands, to be spliced; anything else is the caller's mistake."""
    data = bytes(raw)
    if data[:1] != b'"':
        raise TranslationError(f"Invalid type for '{path}': expected a string.", param=path, code="invalid_type")
    return data


def missing_parameter(path: str) -> TranslationError:
    """OpenAI's error for a field that has to be there."""
    return TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def is_blank(text: bytes) -> bool:
    """Whether a JSON string holds nothing but white space; of one above 1 MB nobody asks."""
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
