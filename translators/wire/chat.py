"""OpenAI's chat-completions wire: the request as clients send it.

`None` stands for an absent field as well as for `null`: clients send either. What only passes through, or comes in
more than one JSON type, is `Raw`; fields not named here are ignored, as vendor extensions are normal traffic.

What comes in thousands is `gc=False`: nothing in it can lead back to itself, so the garbage collector need not look.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from translators.wire.known import Counted, Shape, field_names, known, shape

NULL: Final = Raw(b"null")
TRUE: Final = Raw(b"true")


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
    cache_control: Raw | UnsetType = UNSET


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
    is_error: Raw = NULL


class ImageUrl(Struct):
    """Where an image is: an https address, or a data: URL."""

    url: Raw
    detail: Raw = NULL
    # What other services take beside these, ignored.
    format: Raw = NULL


class DocumentUrl(Struct):
    """Where a document is: an https address."""

    url: Raw


class FileObject(Struct):
    """A file: its content in base64 (bare, or as a data: URL), its https address, or its id."""

    file_data: Raw = NULL
    file_id: str | None = None
    filename: str | None = None
    file_url: Raw = NULL
    # What other services take beside these, ignored.
    format: Raw = NULL
    detail: Raw = NULL


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
    # Parts of Mistral's.
    document_url: Raw = NULL
    document_name: str | None = None
    # Parts of the Responses API, which are flat.
    file_data: Raw = NULL
    file_url: Raw = NULL
    file_id: str | None = None
    filename: str | None = None
    detail: Raw = NULL
    # Anthropic's own blocks.
    source: Raw = NULL
    title: Raw = NULL
    context: Raw = NULL
    citations: Raw = NULL
    id: str | None = None
    name: str | None = None
    input: Raw = NULL
    tool_use_id: str | None = None
    content: Raw = NULL
    is_error: Raw = NULL
    # Echoes of answers, ignored.
    annotations: Raw = NULL
    logprobs: Raw = NULL
    index: Raw = NULL
    format: Raw = NULL
    summary: Raw = NULL
    caller: Raw = NULL


class BlockSource(Struct):
    """Where the content of one of Anthropic's own blocks comes from; which field counts follows from `type`."""

    type: str
    media_type: str | None = None
    data: Raw = NULL
    url: Raw = NULL
    file_id: str | None = None
    content: Raw = NULL


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


class StreamOptions(Struct):
    """What a stream should carry."""

    include_usage: bool | None = None
    # Ignored: nothing is added to hide lengths.
    include_obfuscation: Raw = NULL


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
    # How long summaries should be: ignored, as Claude decides.
    summary: Raw = NULL


class AudioOptions(Struct):
    """What an answer should sound like, which says nothing where none is to be heard."""

    format: Raw = NULL
    voice: Raw = NULL


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
    type: Raw = NULL


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
    models: Raw = NULL
    provider: Raw = NULL
    route: Raw = NULL
    transforms: Raw = NULL
    cache_control: Raw = NULL
    # Fields of Messages itself, by `extra_body`.
    thinking: Raw = NULL
    output_config: Raw = NULL
    container: Raw = NULL
    context_management: Raw = NULL
    mcp_servers: Raw = NULL
    speed: Raw = NULL
    inference_geo: Raw = NULL
    fallbacks: Raw = NULL
    top_k: Raw = NULL
    system: Raw | UnsetType = UNSET
    stop_sequences: list[str] | None = None
    # Filled in by the reader, whatever a client may send under these names: how many fields nobody here knows, and
    # where the messages' contents stand in the body. The places are empty where all are ordinary
    # (`messages[i].content`), None where nobody has looked for Anthropic's shapes.
    unknown_fields: int = msgspec.field(default=0, name="(unknown fields)")
    places: Sequence[str] | None = msgspec.field(default=None, name="(places)")
    # `tools` as one text, once somebody has asked for it.
    joined_tools: bytes | None = msgspec.field(default=None, name="(joined tools)")

    def tools_text(self) -> bytes:
        """`tools` as one text, to tell the same tools by; it is put together once."""
        if self.joined_tools is None:
            self.joined_tools = b",".join(self.tools or ())
        return self.joined_tools


# What has no other fields, as nearly every body: reading it tells that there is nothing to count.


class KnownFunctionCall(FunctionCall, forbid_unknown_fields=True, gc=False):
    """A call of a function without other fields."""


class KnownCustomCall(CustomCall, forbid_unknown_fields=True):
    """A call of a custom tool without other fields."""


class KnownToolCall(ToolCall, forbid_unknown_fields=True, gc=False):
    """A call without other fields."""

    function: KnownFunctionCall | None = None
    custom: KnownCustomCall | None = None


class KnownChatMessage(ChatMessage, forbid_unknown_fields=True, gc=False):
    """A message without other fields."""

    tool_calls: list[KnownToolCall] | None = None  # type: ignore[assignment]
    function_call: KnownFunctionCall | None = None


# A body without other fields, here, in its messages or in its options.
_AUDIO: Final = known(AudioOptions) | None
KnownChatRequest: Final = known(ChatRequest, messages=list[KnownChatMessage], audio=_AUDIO)


# The same with what clients echo of answers, which says nothing. They are types of their own since messages come in
# thousands, and each field of one costs time whether it is there or not.


class EchoedFunctionCall(FunctionCall, forbid_unknown_fields=True, gc=False):
    """A call of a function with what the SDKs have put into it."""

    parsed_arguments: Raw = NULL


class EchoedToolCall(ToolCall, forbid_unknown_fields=True, gc=False):
    """A call as a stream has it."""

    function: EchoedFunctionCall | None = None
    custom: KnownCustomCall | None = None
    index: Raw = NULL


class EchoedMessage(ChatMessage, forbid_unknown_fields=True, gc=False):
    """A message as answers have it."""

    tool_calls: list[EchoedToolCall] | None = None  # type: ignore[assignment]
    function_call: EchoedFunctionCall | None = None
    reasoning_content: Raw = NULL
    reasoning: Raw = NULL
    annotations: Raw = NULL
    citations: Raw = NULL
    audio: Raw = NULL
    parsed: Raw = NULL
    index: Raw = NULL
    provider_specific_fields: Raw = NULL


# The same but for echoes of answers.
EchoingChatRequest: Final = known(ChatRequest, messages=list[EchoedMessage], audio=_AUDIO)


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


# What clients can send; in a part's other fields it is counted where they are read.
REQUEST: Final = Shape(field_names(ChatRequest), {**shape(ChatRequest).inner, "audio": shape(AudioOptions)})
MESSAGE: Final = shape(EchoedMessage)
PART: Final = shape(ContentPart)

REQUEST_DECODER: Final = msgspec.json.Decoder(ChatRequest)
KNOWN_REQUEST_DECODER: Final = msgspec.json.Decoder(KnownChatRequest)
ECHOING_REQUEST_DECODER: Final = msgspec.json.Decoder(EchoingChatRequest)
PARTS_DECODER: Final = msgspec.json.Decoder(list[ContentPart])
# Reads what `PARTS_DECODER` reads, where there is nothing to count.
KNOWN_PARTS_DECODER: Final[msgspec.json.Decoder[list[ContentPart]]] = msgspec.json.Decoder(
    list[known(ContentPart)]  # type: ignore[misc]
)
TEXT_PARTS_DECODER: Final = msgspec.json.Decoder(list[TextPart])
TOOL_DECODER: Final = msgspec.json.Decoder(ToolDefinition)
FUNCTION_DECODER: Final = msgspec.json.Decoder(FunctionDefinition)
CUSTOM_DECODER: Final = msgspec.json.Decoder(CustomDefinition)
# What every reader of JSON holds exactly.
INTEGER_DECODER: Final = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)])
TEXT_DECODER: Final = msgspec.json.Decoder(str)
OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])
RAW_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])

CUSTOM_FORMAT: Final[Counted[CustomFormat]] = Counted(CustomFormat)
BLOCK_SOURCE: Final[Counted[BlockSource]] = Counted(BlockSource)
DOCUMENT_URL: Final[Counted[DocumentUrl | str]] = Counted(DocumentUrl, or_text=True)
IMAGE_URL: Final[Counted[ImageUrl | str]] = Counted(ImageUrl, or_text=True)
USER_LOCATION: Final[Counted[UserLocation]] = Counted(UserLocation)
TOOL_CHOICE: Final[Counted[ToolChoice | str]] = Counted(ToolChoice, or_text=True)
LEGACY_CHOICE: Final[Counted[LegacyChoice | str]] = Counted(LegacyChoice, or_text=True)
