"""Images and files: in base64, in data: URLs, or by their address; their data are spliced, never decoded."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson
from orjson import Fragment

from translators.errors import TranslationError
from translators.limits import MAX_ESCAPED, check_text
from translators.messages.blocks import Block
from translators.reading import decode, is_null, text_json
from translators.wire.chat_parts import (
    BlockSource,
    ContentPart,
)
from translators.wire.raw import OBJECT_DECODER, TEXT_DECODER

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
TEXTUAL: Final = re.compile(r"text/.+|application/(json|xml|yaml|x-yaml|javascript|toml|x-ndjson|.+\+(json|xml))")
_DATA_URL: Final = re.compile(rb'"data:(?P<type>[^;,"\\]*)(?P<parameters>;[^,"\\]*)?,', re.IGNORECASE)
# Only that there is a host: whether it can be reached is upstream's to find out.
HTTPS_URL: Final = re.compile(rb'"https://[^/?#:@\s"\\]', re.IGNORECASE)
ANY_URL: Final = re.compile(rb'"[a-z][a-z0-9+.-]{0,31}://', re.IGNORECASE)
# An address is an image's where its path says so; all other documents by address are PDFs to Messages.
IMAGE_PATH: Final = re.compile(rb'"[^?#]*\.(?:png|jpe?g|gif|webp)(?:[?#].*)?"', re.IGNORECASE | re.DOTALL)
IMAGE_NAME: Final = re.compile(r"\.(?:png|jpe?g|gif|webp)\Z", re.IGNORECASE)
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
# Whether it is base64 behind that, is upstream's to find out.
_CHECKED_BYTES: Final = 8 * 2**20
_WHITE: Final = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"


class NotDataError(Exception):
    """What should be data in base64 is not; told otherwise of an image than of a file."""

    def __init__(self, message: str, image_code: str, got: str) -> None:
        super().__init__(got)
        self.message = message
        self.image_code = image_code


@dataclass(frozen=True, slots=True)
class Data:
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


def image_block(url: bytes, path: str) -> Block:
    url = unescaped(url, path)
    if HTTPS_URL.match(url):
        return {"type": "image", "source": {"type": "url", "url": Fragment(url)}}
    if url[1:6].lower() != b"data:":
        raise TranslationError(
            "An image must be a data: URL or a whole https:// address; the gateway downloads nothing.",
            param=path,
            code="invalid_image_url",
        )
    try:
        data = data_of_url(url)
    except NotDataError as error:
        raise TranslationError(error.message, param=path, code=error.image_code) from error
    if data.media_type == PDF:
        return {"type": "document", "source": base64_source(data)}
    if data.media_type not in IMAGE_TYPES:
        raise _unsupported_image(path)
    return {"type": "image", "source": base64_source(data)}


def _unsupported_image(path: str) -> TranslationError:
    return TranslationError(
        "You uploaded an unsupported image. Please make sure your image has one of the following formats: "
        "'png', 'jpeg', 'gif', 'webp'.",
        param=path,
        code="invalid_image_format",
    )


def own_base64(source: BlockSource, path: str, of: str) -> Block:
    """A source in base64 as Anthropic has it, with the type that its data show."""
    text = text_json(source.data, f"{path}.data")
    try:
        data = Data(_checked_base64(unescaped(text, f"{path}.data")), source.media_type or "")
    except NotDataError as error:
        code = error.image_code if of == "image" else "invalid_value"
        raise TranslationError(error.message, param=f"{path}.data", code=code) from error
    if of == "image" and data.media_type not in IMAGE_TYPES:
        raise _unsupported_image(f"{path}.media_type")
    if of == "document" and data.media_type != PDF:
        message = f"Documents of type '{data.media_type or 'unknown'}' cannot be sent as base64: PDF can."
        raise TranslationError(message, param=f"{path}.media_type", code="unsupported_file")
    return base64_source(data)


def https_url(url: bytes, path: str) -> bytes:
    """The address of a document or an image, where Messages takes it."""
    url = unescaped(url, path)
    if not HTTPS_URL.match(url):
        raise TranslationError(
            "A file must be sent as base64 or be at a whole https:// address; the gateway downloads nothing.",
            param=path,
            code="invalid_value",
        )
    return url


def file_data(text: bytes, filename: str | None, path: str) -> Data:
    try:
        is_url = text[1:6].lower() == b"data:"
        data = data_of_url(text) if is_url else Data(_checked_base64(text), "")
    except NotDataError as error:
        raise TranslationError(
            f"Invalid file data: '{path}'. Expected a base64-encoded data URL with a valid file MIME type (e.g. "
            f"'data:application/pdf;base64,SGVsbG8='), {error}.",
            param=path,
            code="invalid_value",
        ) from error
    if data.media_type and data.media_type != "application/octet-stream":
        return data
    return Data(data.base64, _type_of_name(filename) or data.declared)


def _type_of_name(filename: str | None) -> str | None:
    return _TYPE_OF_SUFFIX.get((filename or "").rpartition(".")[2].lower())


def data_of_url(url: bytes) -> Data:
    head = _DATA_URL.match(url)
    if head is None or (head["parameters"] or b"").lower().rsplit(b";", 1)[-1] != b"base64":
        message = "A data: URL has to look like data:image/png;base64,...."
        raise NotDataError(message, "invalid_image_url", "but got a data URL without base64")
    return Data(_checked_base64(b'"' + memoryview(url)[head.end() :]), head["type"].decode("utf-8", "replace").lower())


def _checked_base64(text: bytes) -> bytes:
    # Of a JSON string in base64 nothing is left but its quotes; `=` stands only in its last two places.
    checked = text if len(text) <= _CHECKED_BYTES else text[:_CHECKED_BYTES] + b'"'
    if text == b'""' or checked.translate(None, _BASE64) != b'""' or text.find(b"=", 1, -3) >= 0:
        raise _not_base64()
    missing = (2 - len(text)) % 4
    if not missing:
        return text
    if missing == 3 or b"=" in text[-3:]:
        raise _not_base64()
    # Some encoders leave out the padding, which upstream wants to see.
    return b"".join((text[:-1], b"=" * missing, b'"'))


def _not_base64() -> NotDataError:
    return NotDataError("This is not base64.", "invalid_base64_image", "but got an invalid base64-encoded value")


def base64_source(data: Data) -> Block:
    return {"type": "base64", "media_type": data.media_type, "data": Fragment(data.base64)}


def text_of(data: Data, path: str) -> str:
    try:
        # msgspec reads base64 where bytes are wanted.
        text = msgspec.json.decode(data.base64, type=bytes).decode()
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise TranslationError("The file is not text in UTF-8.", param=path, code="unsupported_file") from error
    if not text.strip():
        raise empty_file(path)
    return text


def empty_file(path: str) -> TranslationError:
    return TranslationError("The file is empty.", param=path, code="unsupported_file")


def unescaped(text: bytes, path: str) -> bytes:
    """The same JSON string without needless escapes, and base64 without line breaks: encoders differ."""
    if b"\\" not in text:
        return text
    check_text(text, MAX_ESCAPED, path)
    value: str = decode(TEXT_DECODER, text, path)
    if value[:5].lower() != "data:":
        return orjson.dumps(value)
    # In bytes: a regular expression takes a second for a million line breaks.
    data = value.encode().translate(None, _WHITE)
    return b'"%b"' % data if b"\\" not in data and b'"' not in data and data.isascii() else orjson.dumps(data.decode())


def titles(part: ContentPart, path: str) -> Block:
    """What stands beside the source of one of Anthropic's own blocks."""
    fields: Block = {}
    for name, value in (("title", part.title), ("context", part.context)):
        if not is_null(value):
            fields[name] = Fragment(text_json(value, f"{path}.{name}"))
    return fields | citations(part, path)


def citations(part: ContentPart, path: str) -> Block:
    if is_null(part.citations):
        return {}
    decode(OBJECT_DECODER, part.citations, f"{path}.citations")
    return {"citations": Fragment(bytes(part.citations))}
