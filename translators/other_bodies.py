"""Recognises bodies that were meant for another endpoint; the error names that endpoint."""

from collections.abc import Collection
from typing import Final

from translators.errors import TranslationError

_CHAT: Final = "the Chat Completions API (POST /v1/chat/completions)"
_COMPLETIONS: Final = "the legacy Completions API (POST /v1/completions)"
# Fields that occur only in the bodies of one API.
_API_OF_FIELD: Final = {
    "input": "the Responses API (POST /v1/responses)",
    "prompt": _COMPLETIONS,
    "messages": _CHAT,
}


def mistaken_body(names: Collection[str], *, wanted: str) -> TranslationError | None:
    """The error for a body without the field `wanted` whose fields belong to another API; None otherwise."""
    for field, api in _API_OF_FIELD.items():
        if field in names and field != wanted:
            return TranslationError(
                f"Unsupported parameter: '{field}'. This is a request of {api}; "
                f"one of {_API_OF_FIELD[wanted]} has '{wanted}'.",
                param=field,
                code="unsupported_parameter",
            )
    return None
