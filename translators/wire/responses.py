"""OpenAI's Responses wire: the request as clients send it, and its items.

`None` stands for an absent field as well as for `null`. What only passes through, or comes in more than one JSON type,
is `Raw`. Items come in thousands and in many kinds: one struct reads them all, and `type` says which of its fields
count.
"""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from translators.wire.known import Counted, field_names, known, shape
from translators.wire.raw import NULL
from translators.wire.shared import ModelName


class Item(Struct, gc=False):
    """An item of the input: a message, a call, a result, or one of the others."""

    type: str | None = None
    role: str | None = None
    content: Raw = NULL
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw = NULL
    input: Raw = NULL
    output: Raw = NULL
    action: Raw = NULL
    operation: Raw = NULL
    status: Raw = NULL
    phase: Raw = NULL
    summary: Raw = NULL
    encrypted_content: str | None = None
    # Of `additional_tools` and `configuration_update`.
    tools: Raw = NULL
    reasoning: Raw = NULL
    text: Raw = NULL


class Words(Struct, gc=False):
    """What a part of an answer says; all else in it is not looked at."""

    type: str
    text: Raw = NULL
    refusal: Raw = NULL


class OnlyWords(Struct, forbid_unknown_fields=True, gc=False):
    """A part that is a text and nothing else, as nearly every one is; answers have more fields, which say nothing."""

    type: Literal["input_text", "output_text"]
    text: Raw
    annotations: Raw = NULL
    logprobs: Raw = NULL


class KnownItem(Item, forbid_unknown_fields=True, gc=False):
    """An item without other fields, as nearly every one is."""


class ReasoningOptions(Struct):
    """How much to think, and what to tell of it."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    context: str | None = None
    mode: str | None = None


class TextFormat(Struct):
    """The form of the answer; flat, unlike that of chat completions."""

    type: str = "text"
    name: str | None = None
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None


class TextOptions(Struct):
    """What the answer should be like."""

    format: TextFormat | None = None
    verbosity: str | None = None


class StreamOptions(Struct):
    """What a stream should carry; nothing is added to hide lengths."""

    include_obfuscation: Raw = NULL
    # Of chat completions: usage is always in the last event.
    include_usage: Raw = NULL


class PromptCacheOptions(Struct):
    """The cache settings of a request."""

    mode: str | None = None
    ttl: str | None = None
    prewarm: bool | None = None
    comparison_response_id: str | None = None


class ConversationId(Struct):
    """The object form of `conversation`."""

    id: str


class BackgroundOptions(Struct):
    """When an answer in the background is wanted."""

    completion_window: str | None = None
    continuation_id: str | None = None


class ContextRule(Struct):
    """One entry of `context_management`."""

    type: str
    compact_threshold: int | None = None


class ResponsesBody(Struct):
    """The body of `POST /v1/responses`."""

    model: ModelName
    input: Raw = NULL
    instructions: Raw = NULL
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Raw] | None = None
    tool_choice: Raw = NULL
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    reasoning: ReasoningOptions | None = None
    text: TextOptions | None = None
    include: list[str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationId | None = None
    background: bool | None = None
    background_options: BackgroundOptions | None = None
    truncation: str | None = None
    context_management: list[ContextRule] | None = None
    prompt: Raw = NULL
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    metadata: Raw = NULL
    safety_identifier: str | None = None
    user: str | None = None
    # What Codex tells its own servers of the session; it means nothing here.
    client_metadata: Raw = NULL
    # What Messages has no counterpart for: dropped, and named unless neutral.
    top_logprobs: Raw = NULL
    moderation: Raw = NULL
    image: Raw = NULL
    access_programs: Raw = NULL
    # Filled in by the reader, whatever a client may send under this name: how many fields nobody here knows.
    unknown_fields: int = msgspec.field(default=0, name="(unknown fields)")


class UpdatedReasoning(Struct):
    """What a `configuration_update` changes about reasoning."""

    effort: str | None = None


class ShellOutcome(Struct):
    """How a command ended."""

    type: str | None = None
    exit_code: int | None = None


class ShellOutput(Struct):
    """What one command printed."""

    stdout: Raw = NULL
    stderr: Raw = NULL
    outcome: ShellOutcome | None = None
    created_by: Raw = NULL


class Tool(Struct):
    """One entry of `tools`; which fields count follows from `type`."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw = NULL
    strict: Raw = NULL
    format: Raw = NULL
    tools: list[Raw] | None = None
    environment: Raw = NULL
    defer_loading: Raw = NULL
    allowed_callers: Raw = NULL
    output_schema: Raw = NULL
    external_web_access: Raw = NULL
    is_async: Raw = msgspec.field(default=NULL, name="async")


class ShellEnvironment(Struct):
    """Where the `shell` tool runs its commands."""

    type: str


class AllowedTool(Struct):
    """One of the tools among which the model may choose."""

    type: str
    name: str | None = None
    namespace: str | None = None
    server_label: Raw = NULL


class ToolChoice(Struct):
    """The object form of `tool_choice`."""

    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str = "auto"
    tools: list[AllowedTool] | None = None
    server_label: Raw = NULL


class ItemTexts(Struct):
    """The items of a body as they stand in it."""

    input: list[Raw]


class Input(Struct):
    """The input of a body as it stands in it."""

    input: Raw = NULL


BODY: Final = shape(ResponsesBody)
# The fields of items that are known and not read: echoes of answers, and those of items that are dropped.
UNREAD_ITEM_FIELDS: Final = frozenset(
    {
        *("async", "caller", "created_by", "agent", "environment", "max_output_length", "acknowledged_safety_checks"),
        *("pending_safety_checks", "actions", "queries", "results", "code", "container_id", "outputs", "result"),
        *("server_label", "error", "approval_request_id", "approve", "reason", "execution", "fingerprint"),
        *("background", "output_format", "quality", "size", "revised_prompt", "parsed_arguments"),
    }
)
ITEM_FIELDS: Final = field_names(Item) | UNREAD_ITEM_FIELDS

BODY_DECODER: Final = msgspec.json.Decoder(ResponsesBody)
KNOWN_BODY_DECODER: Final = msgspec.json.Decoder(known(ResponsesBody))
# The same with the input read at once, a text or a list of items.
KNOWN_INPUT_DECODER: Final = msgspec.json.Decoder(known(ResponsesBody, input=str | list[KnownItem]))
ITEM_TEXTS_DECODER: Final = msgspec.json.Decoder(ItemTexts)
INPUT_DECODER: Final = msgspec.json.Decoder(Input)
ITEM_DECODER: Final = msgspec.json.Decoder(Item)
KNOWN_ITEM_DECODER: Final = msgspec.json.Decoder(KnownItem)
ONLY_WORDS_DECODER: Final = msgspec.json.Decoder(list[OnlyWords])
WORDS_DECODER: Final = msgspec.json.Decoder(list[Words])
TOOL_DECODER: Final = msgspec.json.Decoder(Tool)
UPDATED_REASONING: Final[Counted[UpdatedReasoning]] = Counted(UpdatedReasoning)
UPDATED_TEXT: Final[Counted[TextOptions]] = Counted(TextOptions)
SHELL_OUTPUTS_DECODER: Final = msgspec.json.Decoder(list[ShellOutput])
ENVIRONMENT_DECODER: Final = msgspec.json.Decoder(ShellEnvironment)
TOOL_CHOICE: Final[Counted[ToolChoice | str]] = Counted(ToolChoice, or_text=True)
METADATA_DECODER: Final = msgspec.json.Decoder(dict[str, str])
