"""The limits on the contents of one chat request (docs/limits.md), and the errors for exceeding them.

Each limit is far above what a model can process, and low enough that no list delays other requests. Lower limits of
Anthropic and OpenAI are enforced by them.
"""

from collections.abc import Sized
from typing import Final

from translators.errors import TranslationError

# Values of a whole body: commas and opening brackets outside strings. Each takes about one token.
MAX_VALUES: Final = 250_000
# Section 12 of the Messages reference.
MAX_MESSAGES: Final = 100_000
# Of the content of one message.
MAX_PARTS: Final = 5_000
MAX_CALLS: Final = 2_000
# Pieces of thinking in one message: some clients send back every streamed piece.
MAX_THOUGHTS: Final = 10_000
# Tools, and legacy functions.
MAX_TOOLS: Final = 5_000
# One tool including its schema, in values.
MAX_TOOL_VALUES: Final = 20_000
# Enforced schemas, in values: one schema; all strict tools together; the tools of which one must be called. OpenAI
# allows 5,000 properties in one schema; larger schemas are described to the model in words.
MAX_SCHEMA_VALUES: Final = 10_000
MAX_SCHEMA_PLACES: Final = 5_000
MAX_STRICT_VALUES: Final = 20_000
MAX_NAME: Final = 1_024
# Ids of calls, in which some clients store signatures, and user ids.
MAX_ID: Final = 64 * 1024
MAX_USER: Final = 64 * 1024
# Arguments and inputs of a call as JSON texts, and text files in base64: both have to be decoded.
MAX_ARGUMENTS: Final = 4 * 2**20
MAX_TEXT_FILE: Final = 10 * 2**20
# URLs and files with escapes: `\\/`, or line breaks. An image of 5 MB, the largest for Messages, fits with its escapes.
MAX_ESCAPED: Final = 7 * 2**20
MAX_STOPS: Final = 1_000
# Unknown fields.
MAX_UNKNOWN_FIELDS: Final = 1_000
# OpenAI allows 16 pairs of 64 and 512 characters, each character up to six bytes.
MAX_METADATA_BYTES: Final = 64 * 1024


def check_length(items: Sized, limit: int, path: str) -> None:
    """Raise OpenAI's error if an array is too long."""
    if len(items) > limit:
        raise TranslationError(
            f"Invalid '{path}': array too long. Expected an array with maximum length {limit}, "
            f"but got an array with length {len(items)} instead.",
            param=path,
            code="array_above_max_length",
        )


def check_text(text: Sized, limit: int, path: str) -> None:
    """Raise OpenAI's error if a string is too long."""
    if len(text) > limit:
        raise TranslationError(
            f"Invalid '{path}': string too long. Expected a string with maximum length {limit}, "
            f"but got a string with length {len(text)} instead.",
            param=path,
            code="string_above_max_length",
        )


def too_much_metadata(metadata: Sized) -> TranslationError:
    """The error for `metadata` (JSON) that is too large for the log."""
    return TranslationError(
        f"Invalid 'metadata': object too large. Expected at most {MAX_METADATA_BYTES} bytes of JSON, "
        f"but got {len(metadata)} instead.",
        param="metadata",
        code="object_above_max_properties",
    )


def too_many_values(path: str | None, limit: int) -> TranslationError:
    """The error for JSON with too many values in total."""
    where = f"'{path}'" if path else "body"
    return TranslationError(
        f"Invalid {where}: too many values. Expected at most {limit} items and properties in all.",
        param=path,
        code="array_above_max_length",
    )


def too_many_fields(limit: int) -> TranslationError:
    """OpenAI's error for too many properties of the body."""
    return TranslationError(
        f"Invalid body: too many properties. Expected an object with at most {limit} unknown properties.",
        code="object_above_max_properties",
    )
