"""An unstreamed native answer: passed on unchanged; only its usage and its end are read."""

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from translators.errors import ErrorKind, FailedError, Failure, json_problem
from translators.usage import Usage
from translators.wire.messages import UsageCounts


class Told(NamedTuple):
    """What an answer tells of itself."""

    usage: Usage
    stop_reason: str | None = None


_NULL: Final = Raw(b"null")


class _Answer(msgspec.Struct):
    model: Raw = _NULL
    stop_reason: Raw = _NULL
    usage: UsageCounts | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)
_WORD_DECODER: Final = msgspec.json.Decoder(str | None)


def told_by(body: bytes) -> Told:
    """The usage and the stop reason of an answer; raises `FailedError` for a body that is not JSON."""
    usage = Usage()
    try:
        answer = _DECODER.decode(body)
    except msgspec.ValidationError:
        # Usage in an unknown format is no reason to withhold an answer.
        return Told(usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"not JSON: {json_problem(error)}"
        failure = Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer cannot be read.", detail=detail)
        raise FailedError(failure) from error
    if answer.usage is not None:
        usage.update(answer.usage, word_in(answer.model))
    return Told(usage, word_in(answer.stop_reason))


def word_in(raw: Raw) -> str | None:
    """The text in a value; None for any other value."""
    try:
        return _WORD_DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
