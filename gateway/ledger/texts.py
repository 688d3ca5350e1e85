"""Texts of callers and of upstream as the database takes them."""

from hashlib import blake2b
from typing import Final

LONGEST: Final = 200


def short(text: str | None) -> str:
    """A text within the bound, with lone surrogates replaced; empty if there is none."""
    if not text:
        return ""
    if text.isascii():
        return text[:LONGEST]
    return text[:LONGEST].encode("utf-8", "replace").decode()


def short_name(name: str) -> str:
    """A name that takes no more memory than others: a long one is replaced by its digest."""
    if len(name) <= LONGEST:
        return short(name)
    return blake2b(name.encode("utf-8", "replace"), digest_size=32).hexdigest()
