"""The parts of a message's content, as clients send them."""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from translators.wire.known import Counted, known, shape
from translators.wire.raw import NULL


class ImageUrl(Struct):
    """Where an image is: an https address, or a data: URL."""

    url: Raw
    detail: Raw = NULL
    # What other services take beside these, ignored.
    format: Raw = NULL


class DocumentUrl(Struct):
    """Where a document is: an https address."""

    url: Raw


class FileObject(Struct):
    """A file: its content in base64 (bare, or as a data: URL), its https address, or its id."""

    file_data: Raw = NULL
    file_id: str | None = None
    filename: str | None = None
    file_url: Raw = NULL
    # What other services take beside these, ignored.
    format: Raw = NULL
    detail: Raw = NULL


class CacheBreakpoint(Struct):
    """OpenAI's cache mark."""

    mode: str | None = None
    ttl: str | None = None


class ContentPart(Struct, gc=False):
    """One part of a message's content; which field counts follows from `type`."""

    type: str
    text: Raw = NULL
    refusal: Raw = NULL
    image_url: Raw = NULL
    file: FileObject | None = None
    thinking: Raw = NULL
    signature: Raw = NULL
    data: Raw = NULL
    cache_control: Raw = NULL
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    # Parts of Mistral's.
    document_url: Raw = NULL
    document_name: str | None = None
    # Parts of the Responses API, which are flat.
    file_data: Raw = NULL
    file_url: Raw = NULL
    file_id: str | None = None
    filename: str | None = None
    detail: Raw = NULL
    # Anthropic's own blocks.
    source: Raw = NULL
    title: Raw = NULL
    context: Raw = NULL
    citations: Raw = NULL
    id: str | None = None
    name: str | None = None
    input: Raw = NULL
    tool_use_id: str | None = None
    content: Raw = NULL
    is_error: Raw = NULL
    # Echoes of answers, ignored.
    annotations: Raw = NULL
    logprobs: Raw = NULL
    index: Raw = NULL
    format: Raw = NULL
    summary: Raw = NULL
    caller: Raw = NULL


class BlockSource(Struct):
    """Where the content of one of Anthropic's own blocks comes from; which field counts follows from `type`."""

    type: str
    media_type: str | None = None
    data: Raw = NULL
    url: Raw = NULL
    file_id: str | None = None
    content: Raw = NULL


class TextPart(Struct, forbid_unknown_fields=True, gc=False):
    """A part that is a text and nothing else, as nearly every one is."""

    type: Literal["text"]
    text: Raw


PART: Final = shape(ContentPart)
PARTS_DECODER: Final = msgspec.json.Decoder(list[ContentPart])
# Reads what `PARTS_DECODER` reads, where there is nothing to count.
KNOWN_PARTS_DECODER: Final[msgspec.json.Decoder[list[ContentPart]]] = msgspec.json.Decoder(
    list[known(ContentPart)]  # type: ignore[misc]
)
TEXT_PARTS_DECODER: Final = msgspec.json.Decoder(list[TextPart])
BLOCK_SOURCE: Final[Counted[BlockSource]] = Counted(BlockSource)
DOCUMENT_URL: Final[Counted[DocumentUrl | str]] = Counted(DocumentUrl, or_text=True)
IMAGE_URL: Final[Counted[ImageUrl | str]] = Counted(ImageUrl, or_text=True)
