"""A native answer in one piece: passed on as it is, and looked at for its usage."""

from typing import Final

import msgspec

from translators.errors import ErrorKind, FailedError, Failure
from translators.usage import Usage
from translators.wire.messages import UsageCounts


class _Answer(msgspec.Struct):
    usage: UsageCounts | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage:
    """What an answer has cost, as far as it says; raises `FailedError` for a body that is not JSON at all."""
    usage = Usage()
    try:
        counts = _DECODER.decode(body).usage
    except msgspec.ValidationError:
        # Counts in a form that nobody knows yet are no reason to keep an answer from its caller.
        return usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"not JSON: {error}"
        failure = Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer cannot be read.", detail=detail)
        raise FailedError(failure) from error
    if counts is not None:
        usage.update(counts)
    return usage
