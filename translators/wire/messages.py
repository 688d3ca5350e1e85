"""Anthropic's Messages wire: what upstream sends, whole or as events.

Only what the gateway reads is named; everything else passes by unread. Text that goes to the client unchanged is
`Raw`: the JSON string as it stands in upstream's bytes.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

# Nobody reads more, or longer ones, in a message.
_MOST_PATHS: Final = 5
_LONGEST_PATH: Final = 200


class UsageCounts(Struct):
    """Token counts of one message; a count that is absent says nothing new (section 6.4 of the reference)."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: "OutputTokensDetails | None" = None
    service_tier: str | None = None
    # What only prices depend on; `message_usage.py` reads it when the message has ended.
    cache_creation: Raw | UnsetType = UNSET
    server_tool_use: Raw | UnsetType = UNSET
    inference_geo: Raw | UnsetType = UNSET
    speed: Raw | UnsetType = UNSET
    # What the message was made in.
    iterations: Raw | UnsetType = UNSET


class Iteration(UsageCounts):
    """One of the steps that a message was made in, by the message's own model if it names none."""

    type: str = ""
    model: str | None = None


class OutputTokensDetails(Struct):
    """How the output tokens divide."""

    thinking_tokens: int | None = None


class StopDetails(Struct):
    """Why the model declined."""

    type: str = ""
    category: str | None = None
    explanation: str | None = None


class ErrorObject(Struct):
    """An error's inner object."""

    type: str | None = None
    message: str | None = None
    details: Any = None

    @property
    def error_code(self) -> str | None:
        """The machine-readable cause; what else `details` may be is no reason to lose the message."""
        code = self.details.get("error_code") if isinstance(self.details, dict) else None
        return code if isinstance(code, str) else None

    @property
    def paths(self) -> list[str]:
        """Where in the request the cause is, as far as the details name places; the first few of them."""
        paths = self.details.get("paths") if isinstance(self.details, dict) else None
        if not isinstance(paths, list):
            return []
        return [path for path in paths[:_MOST_PATHS] if isinstance(path, str) and len(path) <= _LONGEST_PATH]


class ErrorBody(Struct):
    """An error answer, or the data of an `error` event."""

    error: ErrorObject
    type: str = "error"
    request_id: str | None = None


class ContentBlock(Struct):
    """Any block of an answer, told apart by `type`; the fields of the types that the gateway knows."""

    type: str
    text: Raw = Raw(b"null")
    thinking: Raw = Raw(b"null")
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    citations: list[Raw] | None = None
    caller: Raw = Raw(b"null")
    tool_use_id: str | None = None


class Message(Struct):
    """A whole answer."""

    id: str
    model: str
    content: list[ContentBlock]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: UsageCounts = msgspec.field(default_factory=UsageCounts)
    type: str = "message"


class StreamedMessage(Struct):
    """The message of a `message_start`: its content comes later."""

    id: str
    model: str
    usage: UsageCounts = msgspec.field(default_factory=UsageCounts)


class MessageStart(Struct, tag="message_start"):
    """The first event of a stream."""

    message: StreamedMessage


class Citation(Struct):
    """A citation, as far as it leads to an address; those of documents go on as they stand."""

    url: Raw = Raw(b"null")
    source: Raw = Raw(b"null")
    title: Raw = Raw(b"null")


class BlockCaller(Struct):
    """Who has made a call: the model (`direct`), or the code of a server tool, which is itself a call."""

    type: str = ""
    tool_id: str = ""


class StartedBlock(Struct):
    """A block's beginning; texts are `Raw`, since what is not empty goes on unchanged."""

    type: str
    text: Raw = Raw(b'""')
    thinking: Raw = Raw(b'""')
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    caller: Raw = Raw(b"null")
    tool_use_id: str | None = None


class ContentBlockStart(Struct, tag="content_block_start"):
    """A block begins."""

    content_block: StartedBlock
    index: int


class BlockDelta(Struct):
    """A piece of a block; which of the fields is there follows from `type`."""

    type: str
    text: Raw | UnsetType = UNSET
    thinking: Raw | UnsetType = UNSET
    partial_json: Raw | UnsetType = UNSET
    citation: Raw = Raw(b"null")


class ContentBlockDelta(Struct, tag="content_block_delta"):
    """A piece of a block arrives."""

    delta: BlockDelta
    index: int


class ContentBlockStop(Struct, tag="content_block_stop"):
    """A block ends."""

    index: int


class StopInfo(Struct):
    """How the message ended."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None


class MessageDelta(Struct, tag="message_delta"):
    """The end comes near: the reason, and the usage up to here."""

    delta: StopInfo
    usage: UsageCounts = msgspec.field(default_factory=UsageCounts)


class MessageStop(Struct, tag="message_stop"):
    """The last event of a stream that was not cut off."""


class Ping(Struct, tag="ping"):
    """A sign of life."""


class ErrorEvent(Struct, tag="error"):
    """Upstream failed in the middle of a stream; nothing follows."""

    error: ErrorObject
    request_id: str | None = None


StreamEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
)


class AnyEvent(Struct):
    """What every event has: its type. Read only when the type is not one we know."""

    type: str


EVENT_DECODER: Final[msgspec.json.Decoder[StreamEvent]] = msgspec.json.Decoder(StreamEvent)
ANY_EVENT_DECODER: Final = msgspec.json.Decoder(AnyEvent)
CITATION_DECODER: Final = msgspec.json.Decoder(Citation)
CALLER_DECODER: Final = msgspec.json.Decoder(BlockCaller)
MESSAGE_DECODER: Final = msgspec.json.Decoder(Message)
ERROR_DECODER: Final = msgspec.json.Decoder(ErrorBody)
KNOWN_EVENTS: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    }
)
