"""Anthropic's own request headers: their validation, and the betas that a caller asks for."""

import re
from typing import Final

from starlette.types import Scope

from translators.errors import TranslationError

# Callers choose these headers, and upstream call heads are cached.
_MAX_HEADER_BYTES: Final = 2048
_BETA: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
BETAS: Final = b"anthropic-beta"


def header_values(scope: Scope, name: bytes) -> list[str]:
    """The values of all headers of a (lower-case) name; raises unless they can be sent on in a header."""
    values = [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]
    if not all(value.isascii() and value.isprintable() for value in values):
        raise TranslationError(f"The header {name.decode()} has to be printable ASCII.")
    if sum(map(len, values)) > _MAX_HEADER_BYTES:
        raise TranslationError(f"The header {name.decode()} is longer than {_MAX_HEADER_BYTES} characters.")
    return [value for value in values if value]


def betas_of(scope: Scope) -> tuple[str, ...]:
    """The betas that a caller asks for, validated."""
    listed = ",".join(header_values(scope, BETAS)).split(",")
    betas = tuple(beta.strip() for beta in listed if beta.strip())
    if not all(map(_BETA.fullmatch, betas)):
        raise TranslationError("The header anthropic-beta has to list names of betas, as context-1m-2025-08-07.")
    return betas
