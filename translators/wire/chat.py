"""OpenAI's chat-completions wire: the request as clients send it.

`None` stands for an absent field as well as for `null`: clients send either. What only passes through, or comes in
more than one JSON type, is `Raw`; fields not named here are ignored, as vendor extensions are normal traffic.

What comes in thousands is `gc=False`: nothing in it can lead back to itself, so the garbage collector need not look.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Raw, Struct

NULL: Final = Raw(b"null")


class FunctionCall(Struct, gc=False):
    """The function that an assistant message called; `arguments` is JSON as a text."""

    name: str
    arguments: Raw = NULL


class CustomCall(Struct):
    """The custom tool that an assistant message called, with free text."""

    name: str
    input: Raw = NULL


class ToolCall(Struct, gc=False):
    """One call of an assistant message."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None
    custom: CustomCall | None = None


class ChatMessage(Struct, gc=False):
    """A message of any role; which fields count follows from `role`."""

    role: str
    content: Raw = NULL
    name: str | None = None
    refusal: Raw = NULL
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None
    thinking_blocks: Raw = NULL
    reasoning_details: Raw = NULL
    cache_control: Raw = NULL


class ImageUrl(Struct):
    """Where an image is: an https address, or a data: URL."""

    url: Raw
    detail: Raw = NULL


class FileObject(Struct):
    """A file: its content in base64 (bare, or as a data: URL), or its id."""

    file_data: Raw = NULL
    file_id: str | None = None
    filename: str | None = None


class CacheBreakpoint(Struct):
    """OpenAI's cache mark."""

    mode: str | None = None
    ttl: str | None = None


class ContentPart(Struct, gc=False):
    """One part of a message's content; which field counts follows from `type`."""

    type: str
    text: Raw = NULL
    refusal: Raw = NULL
    image_url: Raw = NULL
    file: FileObject | None = None
    thinking: Raw = NULL
    signature: Raw = NULL
    data: Raw = NULL
    cache_control: Raw = NULL
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class TextPart(Struct, forbid_unknown_fields=True, gc=False):
    """A part that is a text and nothing else, as nearly every one is."""

    type: Literal["text"]
    text: Raw


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


class StreamOptions(Struct):
    """What a stream should carry."""

    include_usage: bool | None = None


class JsonSchemaFormat(Struct):
    """A schema the answer has to follow."""

    name: str = ""
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct):
    """The form the answer should have."""

    type: str = "text"
    json_schema: JsonSchemaFormat | None = None


class ReasoningOptions(Struct):
    """OpenRouter's way to ask for reasoning."""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class PromptCacheOptions(Struct):
    """OpenAI's cache settings of a request."""

    mode: str | None = None
    ttl: str | None = None


class ApproximateLocation(Struct):
    """Roughly where the user is."""

    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class UserLocation(ApproximateLocation):
    """Where the user is; chat has the place in a field of its own."""

    approximate: ApproximateLocation | None = None


class WebSearchOptions(Struct):
    """OpenAI's web search."""

    search_context_size: str | None = None
    user_location: UserLocation | None = None


# Names of models are kept: for a while, in tables and in the log. No real one is nearly as long.
MAX_MODEL_NAME = 256
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_NAME)]


class ChatRequest(Struct):
    """The body of `POST /v1/chat/completions`."""

    model: ModelName
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = NULL
    parallel_tool_calls: bool | None = None
    functions: list[Raw] | None = None
    function_call: Raw = NULL
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    audio: Raw = NULL
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: Raw = NULL
    verbosity: str | None = None
    web_search_options: WebSearchOptions | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: str | None = None
    # What Messages has no counterpart for: dropped, and named unless neutral.
    seed: Raw = NULL
    logit_bias: Raw = NULL
    logprobs: Raw = NULL
    top_logprobs: Raw = NULL
    presence_penalty: Raw = NULL
    frequency_penalty: Raw = NULL
    prediction: Raw = NULL
    store: Raw = NULL
    moderation: Raw = NULL
    best_of: Raw = NULL
    # Extensions of other gateways.
    reasoning: ReasoningOptions | None = None
    include_reasoning: bool | None = None
    cache_control: Raw = NULL
    # Fields of Messages itself, by `extra_body`.
    thinking: Raw = NULL
    output_config: Raw = NULL
    container: Raw = NULL
    context_management: Raw = NULL
    mcp_servers: Raw = NULL
    speed: Raw = NULL
    inference_geo: Raw = NULL
    top_k: Raw = NULL
    # Filled in by the reader, whatever a client may send under this name.
    unknown_fields: int = msgspec.field(default=0, name="(unknown fields)")


class KnownChatRequest(ChatRequest, forbid_unknown_fields=True):
    """A body without any other fields, as nearly every one is: reading it tells that there is nothing to count."""


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


def field_names(struct: type[Struct]) -> frozenset[str]:
    """The fields of a struct, as they are called in JSON."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct))


KNOWN_FIELDS: Final = field_names(ChatRequest)

REQUEST_DECODER: Final = msgspec.json.Decoder(ChatRequest)
KNOWN_REQUEST_DECODER: Final = msgspec.json.Decoder(KnownChatRequest)
PARTS_DECODER: Final = msgspec.json.Decoder(list[ContentPart])
TEXT_PARTS_DECODER: Final = msgspec.json.Decoder(list[TextPart])
CUSTOM_FORMAT_DECODER: Final = msgspec.json.Decoder(CustomFormat)
TOOL_DECODER: Final = msgspec.json.Decoder(ToolDefinition)
FUNCTION_DECODER: Final = msgspec.json.Decoder(FunctionDefinition)
CUSTOM_DECODER: Final = msgspec.json.Decoder(CustomDefinition)
USER_LOCATION_DECODER: Final = msgspec.json.Decoder(UserLocation)
IMAGE_URL_DECODER: Final[msgspec.json.Decoder[ImageUrl | str]] = msgspec.json.Decoder(ImageUrl | str)
TOOL_CHOICE_DECODER: Final[msgspec.json.Decoder[ToolChoice | str]] = msgspec.json.Decoder(ToolChoice | str)
LEGACY_CHOICE_DECODER: Final[msgspec.json.Decoder[LegacyChoice | str]] = msgspec.json.Decoder(LegacyChoice | str)
# What every reader of JSON holds exactly.
INTEGER_DECODER: Final = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)])
TEXT_DECODER: Final = msgspec.json.Decoder(str)
OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])
RAW_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])
