"""What a caller wants: a conversation, tools, settings. It names no model and no host, and no API that a caller speaks.

The doors (`translators/chat/`, `completions/`, `responses/`) read a body into an `Intent`; the writer
(`translators/messages/`) makes a Messages body of it. None means that the caller has not said anything.

Contents, tools and schemas are slices of the caller's JSON, so that nothing is decoded that only passes through. The
writer reads them in the spellings of chat completions, of the Responses API and of Messages.

Structs that occur in thousands are `gc=False`: they are in no reference cycle, so the garbage collector skips them.
"""

from collections.abc import Mapping, Sequence
from typing import final

from msgspec import UNSET, Raw, Struct, UnsetType

from translators.wire.chat_tools import WebSearchOptions
from translators.wire.raw import NULL


class FunctionCall(Struct, gc=False):
    """A call of a function; `arguments` is JSON as a text."""

    name: str
    arguments: Raw = NULL


class CustomCall(Struct):
    """A call of a custom tool, with free text."""

    name: str
    input: Raw = NULL


class Call(Struct, gc=False):
    """One call of an assistant's turn."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None
    custom: CustomCall | None = None
    cache_control: Raw | UnsetType = UNSET


class PlacedCall(Call, gc=False):
    """A call with its place in the caller's body, for errors. A type of its own: no caller's JSON can set the place."""

    place: str = ""


class Message(Struct, gc=False):
    """A message of any role; which fields count follows from `role`.

    `content` is a JSON string, a list of parts, or null.
    """

    role: str
    content: Raw = NULL
    name: str | None = None
    refusal: Raw = NULL
    tool_calls: list[Call] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None
    thinking_blocks: Raw = NULL
    reasoning_details: Raw = NULL
    cache_control: Raw = NULL
    is_error: Raw = NULL


@final
class SealedTurn(Message):
    """A turn of the assistant with blocks that upstream made (`own_blocks`), to be sent back unchanged.

    The blocks were opened with a seal, so the gateway knows that they are genuine. `order` has one letter for each
    block of the turn: `o` the next of `own_blocks`, `t` the next part of the content, `c` the next call.

    A type of its own, so that no caller's JSON can decode to one. Test for it with `type(...) is`: on structs
    `isinstance` takes eight times as long.
    """

    own_blocks: tuple[bytes, ...] = ()
    order: str = ""


class AnswerFormat(Struct):
    """The format that the answer must have: `text`, `json_object`, or `json_schema` with a schema."""

    type: str = "text"
    name: str = ""
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None
    # The place of the schema in the caller's body, for errors.
    path: str = "response_format.json_schema.schema"


class ReasoningWish(Struct, frozen=True):
    """How much the caller wants the model to think, and how much of that it wants to see.

    `field` is the caller's field to name in reports; `reasoning` and `include_reasoning` are OpenRouter's. `effort` is
    one of OpenAI's levels (`none`: no thinking), `budget` a number of tokens, `display` one of Anthropic's words. Each
    is None where the caller did not say; a wish with all three None still asks for thinking. `overruled` names fields
    that said something else and were ignored.
    """

    field: str
    effort: str | None = None
    budget: int | None = None
    display: str | None = None
    overruled: Sequence[str] = ()


class CacheWish(Struct, frozen=True):
    """What the caller wants to be cached. `key` keeps requests together; `mode` and `lifetime` are OpenAI's words.

    A mode or a lifetime asks for a cache mark. With the mode `explicit` only the caller's own marks count.
    """

    key: str | None = None
    mode: str | None = None
    lifetime: str | None = None
    # A mark for the whole of the request, in Anthropic's form.
    mark: Raw = NULL


class Intent(Struct):
    """A request, read."""

    messages: list[Message]
    # The places of the messages' contents in the caller's body. Empty: all are `messages[i].content`. None: the same,
    # but the door has not looked for calls and results among the parts of contents.
    places: Sequence[str] | None = None
    # Whether the caller takes the answer as a stream.
    streams: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Raw = NULL
    stops: Sequence[str] = ()
    tools: list[Raw] | None = None
    # The places of the tools in the caller's body; None: `tools[i]`.
    tool_places: Sequence[str] | None = None
    # `functions` of the first chat API, of 2023: a call of one is a `function_call`.
    functions: list[Raw] | None = None
    # Chat's `web_search_options`.
    web_search: WebSearchOptions | None = None
    tool_choice: Raw = NULL
    parallel_calls: bool | None = None
    format: AnswerFormat | None = None
    reasoning: ReasoningWish | None = None
    # Hide thinking unless the wish has a `display`.
    hides_reasoning: bool = False
    # Whether answers show reasoning in OpenRouter's fields as well.
    shows_reasoning_twice: bool = False
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    cache: CacheWish | None = None
    # Upstream summarizes a conversation of this many tokens; 0: upstream's own threshold, None: never.
    compacts_from: int | None = None
    # Fields of Messages itself, by name.
    native: Mapping[str, Raw] = {}
    # Fields that ask for something that Messages does not have: reported as dropped, or refused (`on_unsupported`).
    lost: Sequence[str] = ()
    # What else is dropped, with the reason; never refused.
    noted: Sequence[tuple[str, str]] = ()
    # Fields that should name a user but hold white space only.
    blank: Sequence[str] = ()
    # The number of fields that the door does not know.
    unknown_fields: int = 0
    # The caller's names of fields, by the names in this struct, where they differ: for errors and reports.
    field_names: Mapping[str, str] = {}
    # The cache of `tools_text`.
    joined_tools: bytes | None = None

    def tools_text(self) -> bytes:
        """All tools in one text, by which the same tools are recognized; joined once."""
        if self.joined_tools is None:
            self.joined_tools = b",".join(self.tools or ())
        return self.joined_tools

    def tool_place(self, index: int) -> str:
        """The place of a tool in the caller's body."""
        return f"tools[{index}]" if self.tool_places is None else self.tool_places[index]

    def name_of(self, field: str) -> str:
        """What the caller calls a field of this struct."""
        return self.field_names.get(field, field)
