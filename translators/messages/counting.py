"""A Messages request as the token counter takes it, and what that answers."""

from typing import Final

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import replace
from orjson import Fragment

from translators.errors import ErrorKind, FailedError, Failure
from translators.messages.messages_request import MessagesRequest
from translators.wire.raw import OBJECT_DECODER

# Section 9.4 of the Messages reference; it takes no others.
COUNTED_FIELDS: Final = (
    *("model", "system", "messages", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed"),
)
# Far more than any context window has.
_MOST_TOKENS: Final = 10**12


class _Counted(Struct):
    input_tokens: int


_DECODER: Final = msgspec.json.Decoder(_Counted)


def for_counting(request: MessagesRequest) -> MessagesRequest:
    """The same request for the token counter, which answers in one piece."""
    fields = OBJECT_DECODER.decode(request.body)
    counted = {name: Fragment(bytes(fields[name])) for name in COUNTED_FIELDS if name in fields}
    return replace(request, body=orjson.dumps(counted), streams=False)


def counted_tokens(body: bytes) -> int:
    """The count in an answer; raises `FailedError` if there is none."""
    try:
        tokens = _DECODER.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tokens = -1
    if not 0 <= tokens <= _MOST_TOKENS:
        raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer is not a count of tokens."))
    return tokens
