"""Images and documents: what the simulated model sees of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import msgspec

from gateway.demo.blocks import Block, Document, Image, ToolResult, result_blocks
from gateway.demo.errors import invalid
from gateway.demo.wire import convert


class _Source(msgspec.Struct):
    """The fields of all kinds of sources that are read."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image or a document as the simulated model sees it."""

    kind: str
    media_type: str
    size_bytes: int | None
    address: str | None = None


def attachments(blocks: list[Block]) -> list[Attachment]:
    """The images and documents in these blocks, including those in tool results."""
    found = []
    for block in blocks:
        if isinstance(block, Image | Document):
            found.append(_attachment(block))
        elif isinstance(block, ToolResult):
            found.extend(attachments(result_blocks(block)))
    return found


def _attachment(block: Image | Document) -> Attachment:
    source = convert(block.source, _Source, f"{block.type}.source")
    match source.type:
        case "base64":
            return Attachment(block.type, source.media_type, _size(source.data))
        case "text":
            return Attachment(block.type, source.media_type, len(source.data.encode()))
        case "url" | "file":
            return Attachment(block.type, "", None, source.url or source.file_id)
    return Attachment(block.type, "content blocks", None)


def _size(data: str) -> int:
    try:
        return len(base64.b64decode(data))
    except ValueError:
        raise invalid("Invalid base64 data") from None
