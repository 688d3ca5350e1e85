"""OpenAI's chat-completions wire: the request as clients send it.

`None` stands for an absent field as well as for `null`: clients send either. What only passes through, or comes in
more than one JSON type, is `Raw`; fields not named here are ignored, as vendor extensions are normal traffic. Messages
are decoded as those of an intent: they are the same.

What comes in thousands is `gc=False`: nothing in it can lead back to itself, so the garbage collector need not look.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from translators.intent import Call, CustomCall, FunctionCall, Message
from translators.wire.chat_tools import WebSearchOptions
from translators.wire.known import Shape, field_names, known, shape
from translators.wire.raw import NULL
from translators.wire.shared import ModelName, StreamOptions


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


class ChatRequest(Struct):
    """The body of `POST /v1/chat/completions`."""

    model: ModelName
    messages: list[Message]
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


# What has no other fields, as nearly every body: reading it tells that there is nothing to count.


class KnownFunctionCall(FunctionCall, forbid_unknown_fields=True, gc=False):
    """A call of a function without other fields."""


class KnownCustomCall(CustomCall, forbid_unknown_fields=True):
    """A call of a custom tool without other fields."""


class KnownToolCall(Call, forbid_unknown_fields=True, gc=False):
    """A call without other fields."""

    function: KnownFunctionCall | None = None
    custom: KnownCustomCall | None = None


class KnownChatMessage(Message, forbid_unknown_fields=True, gc=False):
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


class EchoedToolCall(Call, forbid_unknown_fields=True, gc=False):
    """A call as a stream has it."""

    function: EchoedFunctionCall | None = None
    custom: KnownCustomCall | None = None
    index: Raw = NULL


class EchoedMessage(Message, forbid_unknown_fields=True, gc=False):
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


# What clients can send; in a part's other fields it is counted where they are read.
REQUEST: Final = Shape(field_names(ChatRequest), {**shape(ChatRequest).inner, "audio": shape(AudioOptions)})
MESSAGE: Final = shape(EchoedMessage)

REQUEST_DECODER: Final = msgspec.json.Decoder(ChatRequest)
KNOWN_REQUEST_DECODER: Final = msgspec.json.Decoder(KnownChatRequest)
ECHOING_REQUEST_DECODER: Final = msgspec.json.Decoder(EchoingChatRequest)
