"""What a citation leads to."""

import msgspec
from msgspec import Raw

from translators.reading import is_text
from translators.wire.messages import CITATION_DECODER


def cited_page(raw: bytes) -> tuple[str, str]:
    """The address and the title of what is cited; without an address it is no page."""
    citation = CITATION_DECODER.decode(raw)
    return _text_in(citation.url) or _url_of(_text_in(citation.source)), _text_in(citation.title)


def _text_in(raw: Raw) -> str:
    """The text that a value is, empty for one of another type."""
    return msgspec.json.decode(raw, type=str) if is_text(raw) else ""


def _url_of(source: str) -> str:
    return source if source.startswith(("https://", "http://")) else ""
