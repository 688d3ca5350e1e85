"""What a caller wants, whichever door the request came by: a conversation, tools, settings; no model, host or door.

`None` stands for what a caller has not said. Contents, tools and schemas are slices of the caller's JSON, in any of the
spellings that the writer (`translators/messages/`) reads, so that nothing is decoded that only passes through.

What comes in thousands is `gc=False`: nothing in it can lead back to itself, so the garbage collector need not look.
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
    """A call that stands at a place of its own in the caller's body: no caller's JSON can say where."""

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
    """A turn of the assistant's that comes back with blocks of upstream's making, verbatim, authenticated by a seal.

    `order` says how the blocks stand among its other content: `o` the next of `own_blocks`, `t` the next part of the
    content, `c` the next call. A type of its own, so that no caller's JSON can hold one; told by `type(...) is`, since
    `isinstance` takes eight times as long on structs.
    """

    own_blocks: tuple[bytes, ...] = ()
    order: str = ""


class AnswerFormat(Struct):
    """The form that an answer should have: `text`, `json_object`, or `json_schema` with a schema."""

    type: str = "text"
    name: str = ""
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None
    # Where the schema stands in the caller's body, or what should hold it.
    path: str = "response_format.json_schema.schema"


class ReasoningWish(Struct, frozen=True):
    """How much the caller wants the model to think, and how much of that it wants to see.

    `field` is the caller's own field, to report under; `reasoning` and `include_reasoning` are OpenRouter's. `effort`
    is one of OpenAI's levels (`none`: no thinking), `budget` a number of tokens, `display` one of Anthropic's words.
    What nobody asked for is None; a wish that says nothing else asks for thinking. `overruled` are fields that said
    something else and do not count.
    """

    field: str
    effort: str | None = None
    budget: int | None = None
    display: str | None = None
    overruled: Sequence[str] = ()


class CacheWish(Struct, frozen=True):
    """What the caller wants to be cached: `key` for affinity, `mode` and `lifetime` as OpenAI spells them.

    A mode or a lifetime asks for a cache mark, unless the mode is `explicit`: only the caller's own marks count then.
    """

    key: str | None = None
    mode: str | None = None
    lifetime: str | None = None
    # A mark for the whole of the request, in Anthropic's form.
    mark: Raw = NULL


class Intent(Struct):
    """A request, read."""

    messages: list[Message]
    # Where the messages' contents stand in the caller's body; empty where all are ordinary (`messages[i].content`),
    # None where nobody has looked for calls and results among the parts of contents.
    places: Sequence[str] | None = None
    # Whether the caller takes the answer as a stream.
    streams: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Raw = NULL
    stops: Sequence[str] = ()
    tools: list[Raw] | None = None
    # Where the tools stand in the caller's body; None where it is ordinary (`tools[i]`).
    tool_places: Sequence[str] | None = None
    # Functions in the form of 2023, which are answered with one `function_call`.
    functions: list[Raw] | None = None
    # Web search by a field of its own.
    web_search: WebSearchOptions | None = None
    tool_choice: Raw = NULL
    parallel_calls: bool | None = None
    format: AnswerFormat | None = None
    reasoning: ReasoningWish | None = None
    # Whether the caller would rather not see any thinking, where a wish has no `display`.
    hides_reasoning: bool = False
    # Whether answers show reasoning in OpenRouter's fields as well.
    shows_reasoning_twice: bool = False
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    cache: CacheWish | None = None
    # From how many tokens on upstream is to summarize the conversation by itself; 0 leaves that to upstream.
    compacts_from: int | None = None
    # Fields of Messages itself, by name.
    native: Mapping[str, Raw] = {}
    # What has no counterpart and asks for something: reported as dropped.
    lost: Sequence[str] = ()
    # What is dropped, and why, where no mode refuses it.
    noted: Sequence[tuple[str, str]] = ()
    # Fields that should name somebody, and hold white space.
    blank: Sequence[str] = ()
    # How many fields nobody here knows.
    unknown_fields: int = 0
    # The caller's names of fields, by those of this struct, where they differ: for error messages and reports.
    field_names: Mapping[str, str] = {}
    # `tools` as one text, once somebody has asked for it.
    joined_tools: bytes | None = None

    def tools_text(self) -> bytes:
        """`tools` as one text, to tell the same tools by; it is put together once."""
        if self.joined_tools is None:
            self.joined_tools = b",".join(self.tools or ())
        return self.joined_tools

    def tool_place(self, index: int) -> str:
        """Where a tool stands in the caller's body."""
        return f"tools[{index}]" if self.tool_places is None else self.tool_places[index]

    def name_of(self, field: str) -> str:
        """What the caller calls a field of this struct."""
        return self.field_names.get(field, field)
