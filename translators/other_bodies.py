"""Bodies of other endpoints: told so by name, with the path that takes them."""

from collections.abc import Collection
from typing import Final

from translators.errors import TranslationError

_CHAT: Final = "the Chat Completions API (POST /v1/chat/completions)"
_COMPLETIONS: Final = "the legacy Completions API (POST /v1/completions)"
# What a body of each has, and no other.
_API_OF_FIELD: Final = {
    "input": "the Responses API (POST /v1/responses), which this gateway does not serve",
    "prompt": _COMPLETIONS,
    "messages": _CHAT,
}


def mistaken_body(names: Collection[str], *, wanted: str) -> TranslationError | None:
    """The error for a body with these fields and without `wanted`, where that makes it another endpoint's."""
    for field, api in _API_OF_FIELD.items():
        if field in names and field != wanted:
            return TranslationError(
                f"Unsupported parameter: '{field}'. This is a request of {api}; "
                f"one of {_API_OF_FIELD[wanted]} has '{wanted}'.",
                param=field,
                code="unsupported_parameter",
            )
    return None
