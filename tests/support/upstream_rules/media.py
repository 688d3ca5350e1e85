"""Images and documents: which sources are accepted."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from gateway.demo.blocks import Block, Document, Image, ToolResult, read_blocks, result_blocks
from gateway.demo.errors import invalid
from gateway.demo.wire import Exact, convert
from tests.support.upstream_rules.blocks import read_block

MAX_IMAGE_BYTES = 10 * 1024 * 1024

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_FIRST_BYTES = {
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "application/pdf": b"%PDF-",
}
_SOURCES = {"image": ("base64", "url", "file"), "document": ("base64", "text", "content", "url", "file")}


class _DataSource(Exact):
    type: str
    media_type: str
    data: str


class _UrlSource(Exact):
    type: str
    url: str


class _FileSource(Exact):
    type: str
    file_id: str


class _ContentSource(Exact):
    type: str
    content: str | list[dict[str, Any]]


_SHAPES: dict[str, type[Exact]] = {
    "base64": _DataSource,
    "text": _DataSource,
    "url": _UrlSource,
    "file": _FileSource,
    "content": _ContentSource,
}


def check_media(block: Block, path: str) -> None:
    """Refuse a source that cannot be downloaded, decoded or recognised."""
    if isinstance(block, ToolResult):
        for place, inner in enumerate(result_blocks(block, f"{path}.tool_result", read=read_block)):
            check_media(inner, f"{path}.tool_result.content.{place}")
    if not isinstance(block, Image | Document):
        return
    source, path = block.source, f"{path}.{block.type}.source"
    kind = str(source.get("type"))
    if kind not in _SOURCES[block.type]:
        tags = ", ".join(f"'{tag}'" for tag in _SOURCES[block.type])
        raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    convert(source, _SHAPES[kind], f"{path}.{kind}")
    if kind == "content":
        read_blocks(source["content"], "tool_result", f"{path}.content.content", read=read_block)
    if kind == "url" and not source["url"].startswith("https://"):
        raise invalid(f"{path}.url.url: Only HTTPS URLs are supported.")
    if kind == "text" and source["media_type"] != "text/plain":
        raise invalid(f"{path}.text.media_type: Input should be 'text/plain'")
    if kind == "base64":
        _check_bytes(block, f"{path}.base64")


def _check_bytes(block: Image | Document, path: str) -> None:
    media_type, data = block.source["media_type"], block.source["data"]
    if isinstance(block, Document):
        if media_type != "application/pdf":
            raise invalid(f"{path}.media_type: Input should be 'application/pdf'")
    elif media_type not in _IMAGE_TYPES:
        raise invalid(f"{path}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")
    if isinstance(block, Image) and len(data) > MAX_IMAGE_BYTES:
        raise invalid(f"{path}: image exceeds 10 MB maximum: {len(data)} bytes > {MAX_IMAGE_BYTES} bytes")
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"{path}.data: Invalid base64 data") from None
    seen = next((kind for kind, first in _FIRST_BYTES.items() if decoded.startswith(first)), None)
    if seen == media_type:
        return
    if isinstance(block, Document):
        raise invalid(f"{path}.data: The PDF specified was not valid.")
    if seen in _IMAGE_TYPES:
        raise invalid(f"{path}: The image was specified using the {media_type} media type, but it appears to be {seen}")
    raise invalid("Could not process image")
