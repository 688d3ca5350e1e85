"""Content parts as Messages blocks; texts and the data of images and files are spliced, never decoded."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.chat.caching import MARK, mark_of
from translators.errors import TranslationError
from translators.limits import MAX_ESCAPED, MAX_PARTS, MAX_TEXT_FILE, check_length, check_text
from translators.reading import SPOKEN, decode, is_blank, is_null, is_text, text_json
from translators.wire.chat import (
    IMAGE_URL_DECODER,
    PARTS_DECODER,
    TEXT_DECODER,
    TEXT_PARTS_DECODER,
    ContentPart,
    FileObject,
    ImageUrl,
)

Block: TypeAlias = dict[str, object]
# A JSON string as the caller wrote it, or blocks; either is empty when nothing is left of it.
Content: TypeAlias = bytes | list[Block]

# Parts of the Responses API turn up here too.
TEXT_TYPES: Final = frozenset({"text", "input_text", "output_text"})
# What answers hold beside words; signed thinking is read elsewhere (`echoes.py`), and the rest nobody misses.
_ECHOED: Final = frozenset(
    {"thinking", "redacted_thinking", "reasoning", "reasoning.text", "reasoning.summary", "reasoning.encrypted"}
)
# Parts that Messages takes from users only; of others not even the name is known.
_USERS_ONLY: Final = frozenset({"image_url", "input_image", "file", "input_audio"})
IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
PDF: Final = "application/pdf"
# The first characters of the base64 text of each format's magic bytes: labels are wrong too often to be believed.
_MAGIC: Final = (
    (b"iVBORw0KGgo", "image/png"),
    (b"/9j/", "image/jpeg"),
    (b"R0lGOD", "image/gif"),
    (b"UklGR", "image/webp"),
    (b"JVBERi", PDF),
)
_TYPE_OF_SUFFIX: Final = {
    "pdf": PDF,
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
    "html": "text/html",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "py": "text/x-python",
    "js": "text/javascript",
    "ts": "text/x-typescript",
}
_TEXTUAL: Final = re.compile(r"text/.+|application/(json|xml|yaml|x-yaml|javascript|toml|x-ndjson|.+\+(json|xml))")
_DATA_URL: Final = re.compile(rb'"data:(?P<type>[^;,"\\]*)(?P<parameters>;[^,"\\]*)?,', re.IGNORECASE)
# Only that there is a host: whether it can be reached is upstream's to find out.
_HTTPS_URL: Final = re.compile(rb'"https://[^/?#:@\s"\\]', re.IGNORECASE)
# The one wish about detail that Claude cannot fulfil: every image is looked at as closely as it can be.
_LESS_DETAIL: Final = b'"low"'
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_LONG_BYTES: Final = 2**20
# Whether it is base64 behind that, is upstream's to find out.
_CHECKED_BYTES: Final = 8 * 2**20
_WHITE: Final = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"


@dataclass(frozen=True, slots=True)
class _Data:
    """A file's content, a JSON string in base64, and its declared type; it is large, so it is rarely copied."""

    base64: bytes
    declared: str

    @property
    def media_type(self) -> str:
        """The type its first bytes show, else the declared one."""
        for magic, media_type in _MAGIC:
            if self.base64.startswith(magic, 1):
                return media_type
        return "image/jpeg" if self.declared == "image/jpg" else self.declared


class ContentWriter:
    """Writes contents; `allows_ids` says whether the ids of uploaded files may be used.

    What cannot be carried is noted in `adjustments`, where there are some.
    """

    def __init__(self, adjustments: Adjustments | None = None, *, allows_ids: bool = False) -> None:
        self._adjustments = adjustments
        self._allows_ids = allows_ids
        # The mark of a part of which nothing is left, where nothing stands before it in its content.
        self.orphaned_mark: Block | None = None

    def content(self, content: Raw, path: str) -> Content:
        """A user's or tool's content: a string stays a string, parts become blocks."""
        if SPOKEN.match(content):
            return bytes(content)
        if is_null(content):
            return []
        if is_text(content):
            text = text_json(content, path)
            return b"" if is_blank(text) else text
        return self._blocks(decode(PARTS_DECODER, content, path), path, self._block)

    def assistant(self, content: Raw, path: str) -> Content:
        """An assistant's content: text and refusal parts; echoes of answers are ignored, and the rest is noted."""
        if is_null(content) or is_text(content):
            return self.content(content, path)
        return self._blocks(decode(PARTS_DECODER, content, path), path, self._assistants)

    def texts(self, content: Raw, path: str) -> list[Block]:
        """The text blocks of a content that may hold nothing else, blank ones left out."""
        if is_null(content) or is_text(content):
            return as_blocks(self.content(content, path))
        return self._blocks(decode(PARTS_DECODER, content, path), path, self._text_only)

    def _blocks(
        self, parts: list[ContentPart], path: str, write: Callable[[ContentPart, str], Block | None]
    ) -> list[Block]:
        check_length(parts, MAX_PARTS, path)
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            place = f"{path}[{index}]"
            block = write(part, place)
            mark = mark_of(part.cache_control, part.prompt_cache_breakpoint, place)
            if block is not None:
                blocks.append(block)
            # The mark of a part of which nothing is left moves to the one before.
            if mark is not None and blocks:
                blocks[-1][MARK] = mark
            elif mark is not None:
                self.orphaned_mark = mark
        return blocks

    def take_orphaned_mark(self) -> Block | None:
        """The mark for the message before, once."""
        mark, self.orphaned_mark = self.orphaned_mark, None
        return mark

    def _text_only(self, part: ContentPart, path: str) -> Block | None:
        if part.type not in TEXT_TYPES:
            message = f"Only parts of type 'text' are allowed here, not '{part.type}'."
            raise TranslationError(message, param=f"{path}.type", code="invalid_value")
        return self._block(part, path)

    def _assistants(self, part: ContentPart, path: str) -> Block | None:
        if part.type in TEXT_TYPES or part.type == "refusal":
            return self._block(part, path)
        if part.type not in _ECHOED and self._adjustments is not None:
            name = part.type if part.type in _USERS_ONLY else "content"
            self._adjustments.add(f"messages.{name}", "dropped", "assistant")
        return None

    def _block(self, part: ContentPart, path: str) -> Block | None:
        if part.type in TEXT_TYPES:
            text = text_json(part.text, f"{path}.text")
            return None if is_blank(text) else text_block(text)
        if part.type == "refusal":
            text = text_json(part.refusal, f"{path}.refusal")
            return None if is_blank(text) else text_block(text)
        if part.type in ("image_url", "input_image"):
            return self._image(part.image_url, f"{path}.image_url")
        if part.type == "file" and part.file is not None:
            return self._file(part.file, f"{path}.file")
        if part.type == "input_audio":
            message = "Claude does not hear: audio cannot be sent."
        else:
            message = f"Parts of type '{part.type}' cannot be sent to this gateway; 'text', 'image_url' and 'file' can."
        raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def _image(self, value: Raw, path: str) -> Block:
        if is_null(value):
            raise _missing(path)
        image = decode(IMAGE_URL_DECODER, value, path)
        if not isinstance(image, ImageUrl):
            # Some clients send the URL itself where the object belongs.
            return _image_block(bytes(value), f"{path}.url")
        if bytes(image.detail) == _LESS_DETAIL and self._adjustments is not None:
            self._adjustments.add("image_url.detail", "dropped", "unsupported")
        return _image_block(text_json(image.url, f"{path}.url"), f"{path}.url")

    def _file(self, file: FileObject, path: str) -> Block:
        title: Block = {"title": file.filename} if file.filename else {}
        if file.file_id is not None:
            if not self._allows_ids:
                raise TranslationError(
                    "File ids belong to an Anthropic workspace and are not allowed here; send the file's content.",
                    param=f"{path}.file_id",
                    code="unsupported_value",
                )
            return {"type": "document", "source": {"type": "file", "file_id": file.file_id}, **title}
        if is_null(file.file_data):
            raise _missing(f"{path}.file_data")
        data = _file_data(text_json(file.file_data, f"{path}.file_data"), file.filename, f"{path}.file_data")
        if data.media_type in IMAGE_TYPES:
            return {"type": "image", "source": _base64_source(data)}
        if data.media_type == PDF:
            return {"type": "document", "source": _base64_source(data), **title}
        if _TEXTUAL.fullmatch(data.media_type):
            check_text(data.base64, MAX_TEXT_FILE, f"{path}.file_data")
            source = {"type": "text", "media_type": "text/plain", "data": _text_of(data, f"{path}.file_data")}
            return {"type": "document", "source": source, **title}
        raise TranslationError(
            f"Files of type '{data.media_type or 'unknown'}' cannot be read: PDF, text and images can.",
            param=f"{path}.file_data",
            code="unsupported_file",
        )


def plain_texts(content: Raw) -> list[Block]:
    """The blocks of parts that are texts and nothing else; empty where one holds more, or could be blank."""
    if len(content) > _LONG_BYTES and is_text(content):
        # The decoder would go through it to say so.
        return []
    try:
        parts = TEXT_PARTS_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if len(parts) > MAX_PARTS:
        return []
    blocks: list[Block] = []
    for part in parts:
        if not SPOKEN.match(part.text):
            return []
        blocks.append({"type": "text", "text": Fragment(bytes(part.text))})
    return blocks


def as_blocks(content: Content) -> list[Block]:
    """The same content as blocks."""
    if isinstance(content, bytes):
        return [text_block(content)] if content else []
    return content


def text_block(text: bytes) -> Block:
    """A text block around a JSON string."""
    return {"type": "text", "text": Fragment(text)}


def _image_block(url: bytes, path: str) -> Block:
    url = _unescaped(url, path)
    if _HTTPS_URL.match(url):
        return {"type": "image", "source": {"type": "url", "url": Fragment(url)}}
    if url[1:6].lower() != b"data:":
        raise TranslationError(
            "An image must be a data: URL or a whole https:// address; the gateway downloads nothing.",
            param=path,
            code="invalid_image_url",
        )
    data = _data_of_url(url, path)
    if data.media_type == PDF:
        return {"type": "document", "source": _base64_source(data)}
    if data.media_type not in IMAGE_TYPES:
        raise TranslationError(
            "You uploaded an unsupported image. Please make sure your image has one of the following formats: "
            "'png', 'jpeg', 'gif', 'webp'.",
            param=path,
            code="invalid_image_format",
        )
    return {"type": "image", "source": _base64_source(data)}


def _file_data(text: bytes, filename: str | None, path: str) -> _Data:
    text = _unescaped(text, path)
    is_url = text[1:6].lower() == b"data:"
    data = _data_of_url(text, path) if is_url else _Data(_checked_base64(text, path), "")
    if data.media_type and data.media_type != "application/octet-stream":
        return data
    suffix = (filename or "").rpartition(".")[2].lower()
    return _Data(data.base64, _TYPE_OF_SUFFIX.get(suffix, data.declared))


def _data_of_url(url: bytes, path: str) -> _Data:
    head = _DATA_URL.match(url)
    if head is None or (head["parameters"] or b"").lower().rsplit(b";", 1)[-1] != b"base64":
        raise TranslationError(
            "A data: URL has to look like data:image/png;base64,....", param=path, code="invalid_image_url"
        )
    return _Data(
        _checked_base64(b'"' + memoryview(url)[head.end() :], path), head["type"].decode("utf-8", "replace").lower()
    )


def _checked_base64(text: bytes, path: str) -> bytes:
    # Of a JSON string in base64 nothing is left but its quotes; `=` stands only in its last two places.
    checked = text if len(text) <= _CHECKED_BYTES else text[:_CHECKED_BYTES] + b'"'
    if text == b'""' or checked.translate(None, _BASE64) != b'""' or text.find(b"=", 1, -3) >= 0:
        raise _not_base64(path)
    missing = (2 - len(text)) % 4
    if not missing:
        return text
    if missing == 3 or b"=" in text[-3:]:
        raise _not_base64(path)
    # Some encoders leave out the padding, which upstream wants to see.
    return b"".join((text[:-1], b"=" * missing, b'"'))


def _not_base64(path: str) -> TranslationError:
    return TranslationError("This is not base64.", param=path, code="invalid_base64_image")


def _base64_source(data: _Data) -> Block:
    return {"type": "base64", "media_type": data.media_type, "data": Fragment(data.base64)}


def _text_of(data: _Data, path: str) -> str:
    try:
        # msgspec reads base64 where bytes are wanted.
        text = msgspec.json.decode(data.base64, type=bytes).decode()
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise TranslationError("The file is not text in UTF-8.", param=path, code="unsupported_file") from error
    if not text.strip():
        raise TranslationError("The file is empty.", param=path, code="unsupported_file")
    return text


def _unescaped(text: bytes, path: str) -> bytes:
    """The same JSON string without needless escapes, and base64 without line breaks: encoders differ."""
    if b"\\" not in text:
        return text
    check_text(text, MAX_ESCAPED, path)
    value: str = decode(TEXT_DECODER, text, path)
    if value[:5].lower() == "data:":
        # In bytes: a regular expression takes a second for a million line breaks.
        value = value.encode().translate(None, _WHITE).decode()
    return orjson.dumps(value)


def _missing(path: str) -> TranslationError:
    return TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
