"""Content parts as Messages blocks; texts and image data are spliced, never decoded."""

import re
from typing import Final, TypeAlias

import orjson
from msgspec import Raw
from orjson import Fragment

from translators.errors import TranslationError
from translators.reading import decode, is_blank, is_null, is_text, text_json
from translators.wire.chat import IMAGE_URL_DECODER, PARTS_DECODER, ContentPart, ImageUrl

Block: TypeAlias = dict[str, object]
# A JSON string as the caller wrote it, or blocks; either is empty when nothing is left of it.
Content: TypeAlias = bytes | list[Block]

# Section 3.4 of the Messages reference.
IMAGE_TYPES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
# The first characters of the base64 text of each format's magic bytes: labels are wrong too often to be believed.
_MAGIC: Final = (
    (b"iVBORw0KGgo", "image/png"),
    (b"/9j/", "image/jpeg"),
    (b"R0lGOD", "image/gif"),
    (b"UklGR", "image/webp"),
)
_DATA_URL: Final = re.compile(rb'"data:(?P<type>[^;,"\\]*)(?P<parameters>;[^,"\\]*)?,', re.IGNORECASE)


def texts_of(content: Raw, path: str) -> list[bytes]:
    """The texts (JSON strings) of a content that may hold nothing else, blank ones left out."""
    if is_null(content):
        return []
    if is_text(content):
        texts = [text_json(content, path)]
    else:
        parts = decode(PARTS_DECODER, content, path)
        texts = [_text_of(part, f"{path}[{index}]") for index, part in enumerate(parts)]
    return [text for text in texts if not is_blank(text)]


def assistant_texts(content: Raw, path: str) -> list[bytes]:
    """The texts (JSON strings) of an assistant message: text and refusal parts; other parts are echoes, ignored."""
    if is_null(content) or is_text(content):
        return texts_of(content, path)
    texts = []
    for index, part in enumerate(decode(PARTS_DECODER, content, path)):
        if part.type == "text":
            texts.append(text_json(part.text, f"{path}[{index}].text"))
        elif part.type == "refusal":
            texts.append(text_json(part.refusal, f"{path}[{index}].refusal"))
    return [text for text in texts if not is_blank(text)]


def content_of(content: Raw, path: str) -> Content:
    """A user's or tool's content: a string stays a string, parts become blocks."""
    if is_null(content):
        return []
    if is_text(content):
        text = text_json(content, path)
        return b"" if is_blank(text) else text
    blocks = []
    for index, part in enumerate(decode(PARTS_DECODER, content, path)):
        if (block := _block(part, f"{path}[{index}]")) is not None:
            blocks.append(block)
    return blocks


def text_block(text: bytes) -> Block:
    """A text block around a JSON string."""
    return {"type": "text", "text": Fragment(text)}


def _block(part: ContentPart, path: str) -> Block | None:
    if part.type == "text":
        text = text_json(part.text, f"{path}.text")
        return None if is_blank(text) else text_block(text)
    if part.type == "image_url":
        return {"type": "image", "source": _image_source(part.image_url, f"{path}.image_url")}
    raise TranslationError(
        f"Content parts of type '{part.type}' cannot be sent to this gateway; 'text' and 'image_url' can.",
        param=f"{path}.type",
        code="invalid_value",
    )


def _text_of(part: ContentPart, path: str) -> bytes:
    if part.type != "text":
        raise TranslationError(
            f"Only parts of type 'text' are allowed here, not '{part.type}'.",
            param=f"{path}.type",
            code="invalid_value",
        )
    return text_json(part.text, f"{path}.text")


def _image_source(value: Raw, path: str) -> Block:
    if is_null(value):
        raise TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
    image = decode(IMAGE_URL_DECODER, value, path)
    # Some clients send the URL itself where the object belongs.
    url = text_json(image.url, f"{path}.url") if isinstance(image, ImageUrl) else bytes(value)
    if url[1:6].lower() == b"data:":
        return _base64_source(url, path)
    if url[1:9].lower() == b"https://":
        return {"type": "url", "url": Fragment(url)}
    raise TranslationError(
        "An image must be a data: URL or an https:// address; the gateway downloads nothing.",
        param=f"{path}.url",
        code="invalid_image_url",
    )


def _base64_source(url: bytes, path: str) -> Block:
    if b"\\" in url[:128] or b"\\/" in url:
        # Some encoders write "/" as "\/", which is the same text but not the same bytes.
        url = orjson.dumps(orjson.loads(url))
    head = _DATA_URL.match(url)
    if head is None or (head["parameters"] or b"").lower().rsplit(b";", 1)[-1] != b"base64":
        raise TranslationError(
            "A data: URL has to look like data:image/png;base64,....", param=f"{path}.url", code="invalid_image_url"
        )
    data = url[head.end() : -1]
    if not data:
        raise TranslationError("The image is empty.", param=f"{path}.url", code="invalid_base64_image")
    media_type = _media_type(data, head["type"].decode("utf-8", "replace").lower(), path)
    return {"type": "base64", "media_type": media_type, "data": Fragment(b'"' + data + b'"')}


def _media_type(data: bytes, declared: str, path: str) -> str:
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    declared = "image/jpeg" if declared == "image/jpg" else declared
    if declared in IMAGE_TYPES:
        return declared
    raise TranslationError(
        "You uploaded an unsupported image. Please make sure your image has one of the following formats: "
        "'png', 'jpeg', 'gif', 'webp'.",
        param=f"{path}.url",
        code="invalid_image_format",
    )
