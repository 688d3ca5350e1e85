"""Content parts as Messages blocks; texts and the data of images and files are spliced, never decoded."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.limits import MAX_PARTS, MAX_TEXT_FILE, check_length, check_text
from translators.messages.blocks import Block, Content, as_blocks, text_block
from translators.messages.caching import MARK, mark_of
from translators.messages.media import (
    ANY_URL,
    IMAGE_NAME,
    IMAGE_PATH,
    IMAGE_TYPES,
    PDF,
    TEXTUAL,
    base64_source,
    citations,
    empty_file,
    file_data,
    https_url,
    image_block,
    own_base64,
    text_of,
    titles,
    unescaped,
)
from translators.messages.native_shapes import CALL, RESULT, UnreadShapesError
from translators.messages.places import Places
from translators.reading import decode, is_blank, is_null, is_text, missing_parameter, spoken_text, text_json
from translators.unknown import read_counted, unknown_of_parts
from translators.wire.chat_parts import (
    BLOCK_SOURCE,
    DOCUMENT_URL,
    IMAGE_URL,
    KNOWN_PARTS_DECODER,
    PARTS_DECODER,
    BlockSource,
    ContentPart,
    DocumentUrl,
    FileObject,
    ImageUrl,
)

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
# The one wish about detail that Claude cannot fulfil: every image is looked at as closely as it can be.
_LESS_DETAIL: Final = b'"low"'


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
            block |= titles(part, path)
        return block

    def _source(self, source: BlockSource, path: str, of: str) -> Block:
        if source.type == "base64":
            return own_base64(source, path, of)
        if source.type == "url":
            return {"type": "url", "url": Fragment(https_url(text_json(source.url, f"{path}.url"), f"{path}.url"))}
        if source.type == "file" and source.file_id is not None:
            return self._uploaded(source.file_id, f"{path}.file_id")
        if source.type == "text" and of == "document":
            data = text_json(source.data, f"{path}.data")
            if is_blank(data):
                raise empty_file(f"{path}.data")
            return {"type": "text", "media_type": "text/plain", "data": Fragment(data)}
        if source.type == "content" and of == "document":
            place = f"{path}.content"
            if is_text(source.content):
                inner = self.content(source.content, place)
            else:
                inner = self._blocks(self._parts(source.content, place), place, self._text_or_image)
            if not inner:
                raise empty_file(place)
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
        return block | citations(part, path)

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
            return image_block(bytes(value), path)
        self._note_detail(image.detail)
        return image_block(text_json(image.url, f"{path}.url"), f"{path}.url")

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
        text = unescaped(text_json(value, path), path)
        if ANY_URL.match(text):
            source: Block = {"type": "url", "url": Fragment(https_url(text, path))}
            is_image = IMAGE_PATH.fullmatch(text) or IMAGE_NAME.search(filename or "")
            return {"type": "image", "source": source} if is_image else {"type": "document", "source": source, **title}
        data = file_data(text, filename, path)
        if data.media_type in IMAGE_TYPES:
            return {"type": "image", "source": base64_source(data)}
        if data.media_type == PDF:
            return {"type": "document", "source": base64_source(data), **title}
        if TEXTUAL.fullmatch(data.media_type):
            check_text(data.base64, MAX_TEXT_FILE, path)
            source = {"type": "text", "media_type": "text/plain", "data": text_of(data, path)}
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


def _mark_taken_out(outer: Block) -> Block:
    """The newest mark of the blocks inside of another, taken off them: there it is the block itself that is marked."""
    content = outer.get("content")
    marks = [block.pop(MARK) for block in content if MARK in block] if isinstance(content, list) else []
    return {MARK: marks[-1]} if marks else {}
