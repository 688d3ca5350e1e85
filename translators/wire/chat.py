"""OpenAI's chat-completions wire: the request as clients send it.

`None` stands for an absent field as well as for `null`: clients send either. What only passes through, or comes in
more than one JSON type, is `Raw`; fields not named here are ignored, as vendor extensions are normal traffic.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

NULL: Final = Raw(b"null")


class FunctionCall(Struct):
    """The function that an assistant message called; `arguments` is JSON as a text."""

    name: str
    arguments: Raw = NULL


class ToolCall(Struct):
    """One call of an assistant message."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None


class ChatMessage(Struct):
    """A message of any role; which fields count follows from `role`."""

    role: str
    content: Raw = NULL
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class ImageUrl(Struct):
    """Where an image is: an https address, or a data: URL."""

    url: Raw


class ContentPart(Struct):
    """One part of a message's content; which field counts follows from `type`."""

    type: str
    text: Raw = NULL
    refusal: Raw = NULL
    image_url: Raw = NULL


class FunctionDefinition(Struct):
    """A function the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class ToolDefinition(Struct):
    """One entry of `tools`."""

    type: str = "function"
    function: FunctionDefinition | None = None


class StreamOptions(Struct):
    """What a stream should carry."""

    include_usage: bool | None = None


class ResponseFormat(Struct):
    """The form the answer should have."""

    type: str = "text"


class ChatRequest(Struct):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    tools: list[ToolDefinition] | None = None
    tool_choice: Raw = NULL
    parallel_tool_calls: bool | None = None
    functions: Raw = NULL
    function_call: Raw = NULL
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: Raw = NULL
    verbosity: str | None = None
    web_search_options: Raw = NULL
    # What Messages has no counterpart for: dropped, and named unless neutral.
    seed: Raw = NULL
    logit_bias: Raw = NULL
    logprobs: Raw = NULL
    top_logprobs: Raw = NULL
    presence_penalty: Raw = NULL
    frequency_penalty: Raw = NULL
    prediction: Raw = NULL
    store: Raw = NULL


class NamedFunction(Struct):
    """A function chosen by name."""

    name: str


class ToolChoice(Struct):
    """The object form of `tool_choice`."""

    type: str
    function: NamedFunction | None = None


REQUEST_DECODER: Final = msgspec.json.Decoder(ChatRequest)
PARTS_DECODER: Final = msgspec.json.Decoder(list[ContentPart])
IMAGE_URL_DECODER: Final[msgspec.json.Decoder[ImageUrl | str]] = msgspec.json.Decoder(ImageUrl | str)
TOOL_CHOICE_DECODER: Final[msgspec.json.Decoder[ToolChoice | str]] = msgspec.json.Decoder(ToolChoice | str)
TEXT_DECODER: Final = msgspec.json.Decoder(str)
OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])
