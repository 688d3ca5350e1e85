"""Tools and the choice among them, as clients send them."""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from translators.wire.known import Counted
from translators.wire.raw import NULL


class FunctionDefinition(Struct):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None
    cache_control: Raw = NULL
    input_schema: Raw = NULL


class CustomDefinition(Struct):
    """A tool that takes free text."""

    name: str
    description: str | None = None
    format: Raw = NULL
    cache_control: Raw = NULL


class Grammar(Struct):
    """What a custom tool's input has to follow."""

    definition: str | None = None
    syntax: str | None = None


class CustomFormat(Grammar):
    """The form of a custom tool's input: a grammar, by itself or in a field of its own."""

    type: Raw = NULL
    grammar: Grammar | None = None


class ToolDefinition(Struct):
    """One entry of `tools`; some clients send a function's fields flat, as Responses and Messages have them."""

    type: str = "function"
    function: Raw = NULL
    custom: Raw = NULL
    name: str | None = None
    strict: bool | None = None
    input_schema: Raw = NULL
    cache_control: Raw = NULL


class NamedTool(Struct):
    """A tool chosen by name."""

    name: str


class AllowedTool(Struct):
    """One of the tools among which the model may choose."""

    type: str = "function"
    function: NamedTool | None = None
    custom: NamedTool | None = None
    name: str | None = None


class AllowedTools(Struct):
    """The tools among which the model may choose."""

    tools: list[AllowedTool]
    mode: str = "auto"


class ToolChoice(Struct):
    """The object form of `tool_choice`: OpenAI's, flat as in Responses, or Anthropic's own."""

    type: str
    function: NamedTool | None = None
    custom: NamedTool | None = None
    allowed_tools: AllowedTools | None = None
    name: str | None = None
    disable_parallel_tool_use: bool | None = None
    mode: str = "auto"
    tools: list[AllowedTool] | None = None


class LegacyChoice(Struct):
    """The object form of `function_call`."""

    name: str


class ApproximateLocation(Struct):
    """Roughly where the user is."""

    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class UserLocation(ApproximateLocation):
    """Where the user is; chat has the place in a field of its own."""

    approximate: ApproximateLocation | None = None
    type: Raw = NULL


class WebSearchOptions(Struct):
    """OpenAI's web search."""

    search_context_size: str | None = None
    user_location: UserLocation | None = None


TOOL_DECODER: Final = msgspec.json.Decoder(ToolDefinition)
FUNCTION_DECODER: Final = msgspec.json.Decoder(FunctionDefinition)
CUSTOM_DECODER: Final = msgspec.json.Decoder(CustomDefinition)
CUSTOM_FORMAT: Final[Counted[CustomFormat]] = Counted(CustomFormat)
TOOL_CHOICE: Final[Counted[ToolChoice | str]] = Counted(ToolChoice, or_text=True)
LEGACY_CHOICE: Final[Counted[LegacyChoice | str]] = Counted(LegacyChoice, or_text=True)
USER_LOCATION: Final[Counted[UserLocation]] = Counted(UserLocation)
