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
from translators.chat.native_shapes import CALL, RESULT, UnreadShapesError
from translators.chat.places import Places
from translators.chat.unknown import read_counted, unknown_of_parts
from translators.errors import TranslationError
from translators.limits import MAX_ESCAPED, MAX_PARTS, MAX_TEXT_FILE, check_length, check_text
from translators.reading import decode, is_blank, is_null, is_text, missing_parameter, spoken_text, text_json
from translators.wire.chat import (
    BLOCK_SOURCE,
    DOCUMENT_URL,
    IMAGE_URL,
    KNOWN_PARTS_DECODER,
    OBJECT_DECODER,
    PARTS_DECODER,
    TEXT_DECODER,
    TEXT_PARTS_DECODER,
    BlockSource,
    ContentPart,
    DocumentUrl,
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
_USERS_ONLY: Final = frozenset(
    {
        "image_url",
        "input_image",
        "image",
        "file",
        "input_file",
        "document",
        "document_url",
        "search_result",
        "input_audio",
    }
)
# Parts that have been read already, as calls and as messages of their own.
_READ_BEFORE: Final = frozenset({CALL, RESULT})
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
_ANY_URL: Final = re.compile(rb'"[a-z][a-z0-9+.-]{0,31}://', re.IGNORECASE)
# An address is an image's where its path says so; all other documents by address are PDFs to Messages.
_IMAGE_PATH: Final = re.compile(rb'"[^?#]*\.(?:png|jpe?g|gif|webp)(?:[?#].*)?"', re.IGNORECASE | re.DOTALL)
_IMAGE_NAME: Final = re.compile(r"\.(?:png|jpe?g|gif|webp)\Z", re.IGNORECASE)
# The one wish about detail that Claude cannot fulfil: every image is looked at as closely as it can be.
_LESS_DETAIL: Final = b'"low"'
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_LONG_BYTES: Final = 2**20
# Whether it is base64 behind that, is upstream's to find out.
_CHECKED_BYTES: Final = 8 * 2**20
_WHITE: Final = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"


class _NotDataError(Exception):
    """What should be data in base64 is not; told otherwise of an image than of a file."""

    def __init__(self, message: str, image_code: str, got: str) -> None:
        super().__init__(got)
        self.message = message
        self.image_code = image_code


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

    What cannot be carried is noted in `adjustments`, where there are some. Unless `shapes_are_read`, calls and results
    in Anthropic's form raise `UnreadShapesError`.
    """

    def __init__(
        self, adjustments: Adjustments | None = None, *, allows_ids: bool = False, shapes_are_read: bool = True
    ) -> None:
        self._adjustments = adjustments
        self._allows_ids = allows_ids
        self._shapes_are_read = shapes_are_read
        # Where the written blocks come from, for who asks.
        self.trace: Places | None = None
        # Whether any part was marked.
        self.has_marks = False
        # The mark of a part of which nothing is left, where nothing stands before it in its content.
        self.orphaned_mark: Block | None = None

    def content(self, content: Raw, path: str) -> Content:
        """A user's or tool's content: a string stays a string, parts become blocks."""
        if spoken := spoken_text(content):
            return spoken
        if is_null(content):
            return []
        if is_text(content):
            text = text_json(content, path)
            return b"" if is_blank(text) else text
        return self._blocks(self._parts(content, path), path, self._block)

    def users(self, content: Raw, path: str) -> Content:
        """A user's content; results in Anthropic's form are messages of their own."""
        if is_null(content) or is_text(content):
            return self.content(content, path)
        return self._blocks(self._parts(content, path), path, self._users)

    def assistant(self, content: Raw, path: str) -> Content:
        """An assistant's content: text and refusal parts; echoes of answers are ignored, and the rest is noted."""
        if is_null(content) or is_text(content):
            return self.content(content, path)
        return self._blocks(self._parts(content, path), path, self._assistants)

    def texts(self, content: Raw, path: str) -> list[Block]:
        """The text blocks of a content that may hold nothing else, blank ones left out."""
        if is_null(content) or is_text(content):
            return as_blocks(self.content(content, path))
        return self._blocks(self._parts(content, path), path, self._text_only)

    def _blocks(
        self, parts: list[ContentPart], path: str, write: Callable[[ContentPart, str], Block | None]
    ) -> list[Block]:
        check_length(parts, MAX_PARTS, path)
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            place = f"{path}[{index}]"
            block = write(part, place)
            if block is None and part.type in _READ_BEFORE:
                # So is its mark.
                if not self._shapes_are_read:
                    raise UnreadShapesError
                continue
            mark = mark_of(part.cache_control, part.prompt_cache_breakpoint, place, self._adjustments)
            if block is not None:
                blocks.append(block)
                if self.trace is not None:
                    self.trace.note(block, place)
            if mark is not None:
                self.has_marks = True
                # The mark of a part of which nothing is left moves to the one before.
                if blocks:
                    blocks[-1][MARK] = mark
                else:
                    self.orphaned_mark = mark
        return blocks

    def _parts(self, content: Raw, path: str) -> list[ContentPart]:
        try:
            return KNOWN_PARTS_DECODER.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # A mistake, or a field that nobody here knows.
            parts = decode(PARTS_DECODER, content, path)
            check_length(parts, MAX_PARTS, path)
            if self._adjustments is not None:
                self._adjustments.count_unknown(unknown_of_parts(content))
            return parts

    def take_orphaned_mark(self) -> Block | None:
        """The mark for the message before, once."""
        mark, self.orphaned_mark = self.orphaned_mark, None
        return mark

    def _text_only(self, part: ContentPart, path: str) -> Block | None:
        if part.type not in TEXT_TYPES:
            message = f"Only parts of type 'text' are allowed here, not '{part.type}'."
            raise TranslationError(message, param=f"{path}.type", code="invalid_value")
        return self._block(part, path)

    def _users(self, part: ContentPart, path: str) -> Block | None:
        return None if part.type == RESULT else self._block(part, path)

    def _assistants(self, part: ContentPart, path: str) -> Block | None:
        if part.type in TEXT_TYPES or part.type == "refusal":
            return self._block(part, path)
        if part.type == CALL:
            return None
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
        if (write := _WRITERS.get(part.type)) is not None:
            return write(self, part, path)
        if part.type == "input_audio":
            message = "Claude does not hear: audio cannot be sent."
        else:
            message = f"Parts of type '{part.type}' cannot be sent to this gateway; 'text', 'image_url' and 'file' can."
        raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def _image_part(self, part: ContentPart, path: str) -> Block:
        if part.file_id is not None and is_null(part.image_url):
            return {"type": "image", "source": self._uploaded(part.file_id, f"{path}.file_id")}
        self._note_detail(part.detail)
        return self._image(part.image_url, f"{path}.image_url")

    def _file_part(self, part: ContentPart, path: str) -> Block:
        if part.file is not None:
            return self._file(part.file, f"{path}.file")
        # As the Responses API has it.
        file = FileObject(part.file_data, part.file_id, part.filename, part.file_url)
        nested = f"{path}.file" if part.type == "file" and file == FileObject() else path
        return self._file(file, nested)

    def _document_url(self, part: ContentPart, path: str) -> Block:
        path = f"{path}.document_url"
        if is_null(part.document_url):
            raise missing_parameter(path)
        document = read_counted(DOCUMENT_URL, part.document_url, path, self._adjustments)
        if isinstance(document, DocumentUrl):
            path = f"{path}.url"
        url = document.url if isinstance(document, DocumentUrl) else part.document_url
        return self._file_of(url, part.document_name, path)

    def _native_block(self, part: ContentPart, path: str) -> Block:
        """An image or a document as Anthropic has it."""
        if is_null(part.source):
            raise missing_parameter(f"{path}.source")
        source = read_counted(BLOCK_SOURCE, part.source, f"{path}.source", self._adjustments)
        inner = self._source(source, f"{path}.source", part.type)
        block: Block = {"type": part.type, "source": inner, **_mark_taken_out(inner)}
        if part.type == "document":
            block |= _titles(part, path)
        return block

    def _source(self, source: BlockSource, path: str, of: str) -> Block:
        if source.type == "base64":
            return _own_base64(source, path, of)
        if source.type == "url":
            return {"type": "url", "url": Fragment(_https_url(text_json(source.url, f"{path}.url"), f"{path}.url"))}
        if source.type == "file" and source.file_id is not None:
            return self._uploaded(source.file_id, f"{path}.file_id")
        if source.type == "text" and of == "document":
            data = text_json(source.data, f"{path}.data")
            if is_blank(data):
                raise _empty_file(f"{path}.data")
            return {"type": "text", "media_type": "text/plain", "data": Fragment(data)}
        if source.type == "content" and of == "document":
            place = f"{path}.content"
            if is_text(source.content):
                inner = self.content(source.content, place)
            else:
                inner = self._blocks(self._parts(source.content, place), place, self._text_or_image)
            if not inner:
                raise _empty_file(place)
            return {"type": "content", "content": Fragment(inner) if isinstance(inner, bytes) else inner}
        message = f"Sources of type '{source.type}' cannot be sent to this gateway."
        raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def _search_result(self, part: ContentPart, path: str) -> Block:
        """A search result of the caller's own, as Anthropic has it."""
        texts = self._blocks(self._parts(part.content, f"{path}.content"), f"{path}.content", self._text_only)
        block: Block = {"type": part.type, "content": texts}
        block |= _mark_taken_out(block)
        for name, value in (("source", part.source), ("title", part.title)):
            block[name] = Fragment(text_json(value, f"{path}.{name}"))
        return block | _citations(part, path)

    def _text_or_image(self, part: ContentPart, path: str) -> Block | None:
        if part.type in TEXT_TYPES or part.type == "image":
            return self._block(part, path)
        message = f"Only parts of type 'text' and 'image' are allowed here, not '{part.type}'."
        raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def _image(self, value: Raw, path: str) -> Block:
        if is_null(value):
            raise missing_parameter(path)
        image = read_counted(IMAGE_URL, value, path, self._adjustments)
        if not isinstance(image, ImageUrl):
            # Some clients send the URL itself where the object belongs.
            return _image_block(bytes(value), path)
        self._note_detail(image.detail)
        return _image_block(text_json(image.url, f"{path}.url"), f"{path}.url")

    def _note_detail(self, detail: Raw) -> None:
        if bytes(detail) == _LESS_DETAIL and self._adjustments is not None:
            self._adjustments.add("image_url.detail", "dropped", "unsupported")

    def _uploaded(self, file_id: str, path: str) -> Block:
        if not self._allows_ids:
            raise TranslationError(
                "File ids belong to an Anthropic workspace and are not allowed here; send the file's content.",
                param=path,
                code="unsupported_value",
            )
        return {"type": "file", "file_id": file_id}

    def _file(self, file: FileObject, path: str) -> Block:
        if file.file_id is not None:
            title: Block = {"title": file.filename} if file.filename else {}
            return {"type": "document", "source": self._uploaded(file.file_id, f"{path}.file_id"), **title}
        if is_null(file.file_data) and not is_null(file.file_url):
            return self._file_of(file.file_url, file.filename, f"{path}.file_url")
        if is_null(file.file_data):
            raise missing_parameter(f"{path}.file_data")
        return self._file_of(file.file_data, file.filename, f"{path}.file_data")

    def _file_of(self, value: Raw, filename: str | None, path: str) -> Block:
        """A file by its address, or from its content: a data: URL, or bare base64."""
        title: Block = {"title": filename} if filename else {}
        text = _unescaped(text_json(value, path), path)
        if _ANY_URL.match(text):
            source: Block = {"type": "url", "url": Fragment(_https_url(text, path))}
            is_image = _IMAGE_PATH.fullmatch(text) or _IMAGE_NAME.search(filename or "")
            return {"type": "image", "source": source} if is_image else {"type": "document", "source": source, **title}
        data = _file_data(text, filename, path)
        if data.media_type in IMAGE_TYPES:
            return {"type": "image", "source": _base64_source(data)}
        if data.media_type == PDF:
            return {"type": "document", "source": _base64_source(data), **title}
        if _TEXTUAL.fullmatch(data.media_type):
            check_text(data.base64, MAX_TEXT_FILE, path)
            source = {"type": "text", "media_type": "text/plain", "data": _text_of(data, path)}
            return {"type": "document", "source": source, **title}
        raise TranslationError(
            f"Files of type '{data.media_type or 'unknown'}' cannot be read: PDF, text and images can.",
            param=path,
            code="unsupported_file",
        )


# What writes each kind of part that is no text.
_WRITERS: Final[dict[str, Callable[[ContentWriter, ContentPart, str], Block]]] = {
    "image_url": ContentWriter._image_part,
    "input_image": ContentWriter._image_part,
    "image": ContentWriter._native_block,
    "file": ContentWriter._file_part,
    "input_file": ContentWriter._file_part,
    "document": ContentWriter._native_block,
    "document_url": ContentWriter._document_url,
    "search_result": ContentWriter._search_result,
}


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
        if not (text := spoken_text(part.text)):
            return []
        blocks.append({"type": "text", "text": Fragment(text)})
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
    try:
        data = _data_of_url(url)
    except _NotDataError as error:
        raise TranslationError(error.message, param=path, code=error.image_code) from error
    if data.media_type == PDF:
        return {"type": "document", "source": _base64_source(data)}
    if data.media_type not in IMAGE_TYPES:
        raise _unsupported_image(path)
    return {"type": "image", "source": _base64_source(data)}


def _unsupported_image(path: str) -> TranslationError:
    return TranslationError(
        "You uploaded an unsupported image. Please make sure your image has one of the following formats: "
        "'png', 'jpeg', 'gif', 'webp'.",
        param=path,
        code="invalid_image_format",
    )


def _own_base64(source: BlockSource, path: str, of: str) -> Block:
    """A source in base64 as Anthropic has it, with the type that its data show."""
    text = text_json(source.data, f"{path}.data")
    try:
        data = _Data(_checked_base64(_unescaped(text, f"{path}.data")), source.media_type or "")
    except _NotDataError as error:
        code = error.image_code if of == "image" else "invalid_value"
        raise TranslationError(error.message, param=f"{path}.data", code=code) from error
    if of == "image" and data.media_type not in IMAGE_TYPES:
        raise _unsupported_image(f"{path}.media_type")
    if of == "document" and data.media_type != PDF:
        message = f"Documents of type '{data.media_type or 'unknown'}' cannot be sent as base64: PDF can."
        raise TranslationError(message, param=f"{path}.media_type", code="unsupported_file")
    return _base64_source(data)


def _titles(part: ContentPart, path: str) -> Block:
    """What stands beside the source of one of Anthropic's own blocks."""
    fields: Block = {}
    for name, value in (("title", part.title), ("context", part.context)):
        if not is_null(value):
            fields[name] = Fragment(text_json(value, f"{path}.{name}"))
    return fields | _citations(part, path)


def _citations(part: ContentPart, path: str) -> Block:
    if is_null(part.citations):
        return {}
    decode(OBJECT_DECODER, part.citations, f"{path}.citations")
    return {"citations": Fragment(bytes(part.citations))}


def _mark_taken_out(outer: Block) -> Block:
    """The newest mark of the blocks inside of another, taken off them: there it is the block itself that is marked."""
    content = outer.get("content")
    marks = [block.pop(MARK) for block in content if MARK in block] if isinstance(content, list) else []
    return {MARK: marks[-1]} if marks else {}


def _https_url(url: bytes, path: str) -> bytes:
    """The address of a document or an image, where Messages takes it."""
    url = _unescaped(url, path)
    if not _HTTPS_URL.match(url):
        raise TranslationError(
            "A file must be sent as base64 or be at a whole https:// address; the gateway downloads nothing.",
            param=path,
            code="invalid_value",
        )
    return url


def _file_data(text: bytes, filename: str | None, path: str) -> _Data:
    try:
        is_url = text[1:6].lower() == b"data:"
        data = _data_of_url(text) if is_url else _Data(_checked_base64(text), "")
    except _NotDataError as error:
        raise TranslationError(
            f"Invalid file data: '{path}'. Expected a base64-encoded data URL with a valid file MIME type (e.g. "
            f"'data:application/pdf;base64,SGVsbG8='), {error}.",
            param=path,
            code="invalid_value",
        ) from error
    if data.media_type and data.media_type != "application/octet-stream":
        return data
    return _Data(data.base64, _type_of_name(filename) or data.declared)


def _type_of_name(filename: str | None) -> str | None:
    return _TYPE_OF_SUFFIX.get((filename or "").rpartition(".")[2].lower())


def _data_of_url(url: bytes) -> _Data:
    head = _DATA_URL.match(url)
    if head is None or (head["parameters"] or b"").lower().rsplit(b";", 1)[-1] != b"base64":
        message = "A data: URL has to look like data:image/png;base64,...."
        raise _NotDataError(message, "invalid_image_url", "but got a data URL without base64")
    return _Data(_checked_base64(b'"' + memoryview(url)[head.end() :]), head["type"].decode("utf-8", "replace").lower())


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


def _not_base64() -> _NotDataError:
    return _NotDataError("This is not base64.", "invalid_base64_image", "but got an invalid base64-encoded value")


def _base64_source(data: _Data) -> Block:
    return {"type": "base64", "media_type": data.media_type, "data": Fragment(data.base64)}


def _text_of(data: _Data, path: str) -> str:
    try:
        # msgspec reads base64 where bytes are wanted.
        text = msgspec.json.decode(data.base64, type=bytes).decode()
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise TranslationError("The file is not text in UTF-8.", param=path, code="unsupported_file") from error
    if not text.strip():
        raise _empty_file(path)
    return text


def _empty_file(path: str) -> TranslationError:
    return TranslationError("The file is empty.", param=path, code="unsupported_file")


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
