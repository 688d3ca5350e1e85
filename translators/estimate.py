"""Rough estimates of numbers of tokens: in a Messages body, without parsing it, and in a part of a stream."""

from typing import Final

# For English JSON; other languages and code differ, which the pool learns from the usage of answers.
BYTES_A_TOKEN: Final = 4
# Of recorded streams, with the events around the text: 10 to 45 bytes of deltas for each token. This is too low for
# all of them; what upstream has reported at the start covers the first few.
_DELTA_BYTES_A_TOKEN: Final = 48
_FIRST_BYTES: Final = 1_000
# An image costs about this much at most, whatever its size; a document depends on its pages.
_MEDIA_TOKENS: Final = 1600
_MEDIA_BYTES_A_TOKEN: Final = 64
# Smaller bodies cannot contain relevant media.
_SMALL_BYTES: Final = 16 * 1024
_BASE64: Final = b'"base64"'
_DATA: Final = b'"data"'
_NEAR_BYTES: Final = 256
# More than upstream accepts; the searched words could also occur a million times in a schema.
_MAX_MEDIA: Final = 4_096


def estimated_tokens(body: bytes) -> int:
    """The approximate number of prompt tokens in a body."""
    size = len(body)
    if size < _SMALL_BYTES or _BASE64 not in body:
        return size // BYTES_A_TOKEN
    media = tokens = 0
    at = body.find(_BASE64)
    for _ in range(_MAX_MEDIA):
        if at < 0:
            break
        end = at + len(_BASE64)
        name = body.find(_DATA, end, end + _NEAR_BYTES)
        if name >= 0:
            begin = body.find(b'"', name + len(_DATA)) + 1
            end = body.find(b'"', begin)
            if begin == 0 or end < 0:
                break
            media += end - begin
            tokens += max(_MEDIA_TOKENS, (end - begin) // _MEDIA_BYTES_A_TOKEN)
        at = body.find(_BASE64, end)
    return (size - media) // BYTES_A_TOKEN + tokens


def output_tokens_seen(delta_bytes: int) -> int:
    """How many tokens of output these deltas have at least; thinking that is not shown is not seen."""
    return max(0, delta_bytes - _FIRST_BYTES) // _DELTA_BYTES_A_TOKEN
