"""An unstreamed native answer: passed on unchanged; only its usage is read."""

from typing import Final

import msgspec

from translators.errors import ErrorKind, FailedError, Failure, json_problem
from translators.usage import Usage
from translators.wire.messages import UsageCounts


class _Answer(msgspec.Struct):
    usage: UsageCounts | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes) -> Usage:
    """The usage in an answer; raises `FailedError` for a body that is not JSON."""
    usage = Usage()
    try:
        counts = _DECODER.decode(body).usage
    except msgspec.ValidationError:
        # Usage in an unknown format is no reason to withhold an answer.
        return usage
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"not JSON: {json_problem(error)}"
        failure = Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer cannot be read.", detail=detail)
        raise FailedError(failure) from error
    if counts is not None:
        usage.update(counts)
    return usage
