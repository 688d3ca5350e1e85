"""What upstream's 400s teach: the messages of section 17 of the Messages reference (and 8.4), transcribed here."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from translators.lessons import corrected, refused_places
from translators.models import ModelRow, model_table

PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."
ROLE = (
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter,'
    ' not "system" as an input message role.'
)
USE_ADAPTIVE = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
BOTH = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."

# A message, a model that is not yet known to be so, and what is to be known of it afterwards.
TEACHING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "max-tokens": (
        "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-5-5",
        "claude-sonnet-5-5",
        {"max_output": 64_000},
    ),
    "effort": (
        "This model does not support effort level 'xhigh'. Supported levels: low, medium, high, max",
        "claude-sonnet-5-5",
        {"efforts": ("low", "medium", "high", "max")},
    ),
    "effort-with-a-full-stop": (
        "This model does not support effort level 'max'. Supported levels: low, medium, high.",
        "claude-sonnet-5-5",
        {"efforts": ("low", "medium", "high")},
    ),
    "effort-with-and": (
        "This model does not support effort level 'max'. Supported levels: low, medium, and high.",
        "claude-sonnet-4-6",
        {"efforts": ("low", "medium", "high")},
    ),
    "effort-with-nothing-else-said": (
        "This model does not support effort level 'max'.",
        "claude-sonnet-4-6",
        {"efforts": ("low", "medium", "high")},
    ),
    "temperature": ("`temperature` is deprecated for this model.", "claude-sonnet-4-6", {"sampling": "none"}),
    "top-p": ("`top_p` is deprecated for this model.", "claude-sonnet-4-6", {"sampling": "none"}),
    "top-k": ("`top_k` is deprecated for this model.", "claude-sonnet-4-5", {"sampling": "none"}),
    "temperature-beside-thinking": (
        "`temperature` may only be set to 1 when thinking is enabled.",
        "claude-sonnet-4-6",
        {"sampling": "none"},
    ),
    "one-of-two": (BOTH, "claude-opus-4-6", {"sampling": "exclusive"}),
    "prefill": (PREFILL, "claude-opus-4-5", {"prefill": False}),
    "system-messages": (ROLE, "claude-opus-5-5", {"system_messages": False}),
    "forced-tools": (
        "tool_choice: forced tool use ('any') is not supported for this model. Use 'auto'.",
        "claude-haiku-5-5",
        {"forced_tools": False},
    ),
    "forced-tools-quoted": (
        "`tool_choice` of type `tool` cannot be used here.",
        "claude-haiku-5-5",
        {"forced_tools": False},
    ),
    "thinking-enabled": (
        f'"thinking.type.enabled" is not supported for this model. {USE_ADAPTIVE}',
        "claude-sonnet-4-6",
        {"thinking": ("adaptive", "disabled")},
    ),
    "thinking-disabled": (
        f'"thinking.type.disabled" is not supported for this model. {USE_ADAPTIVE}',
        "claude-haiku-5-5",
        {"thinking": ("adaptive",), "thinks_by_default": True},
    ),
    "thinking-disabled-of-a-quiet-model": (
        f'"thinking.type.disabled" is not supported for this model. {USE_ADAPTIVE}',
        "claude-opus-4-8",
        {"thinking": ("adaptive",), "thinks_by_default": True},
    ),
    "thinking-adaptive": (
        "adaptive thinking is not supported on this model",
        "claude-sonnet-4-6",
        {"thinking": ("enabled", "disabled")},
    ),
    "thinking-of-an-unknown-form": (
        "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags:"
        " 'disabled', 'enabled'",
        "claude-sonnet-4-6",
        {"thinking": ("enabled", "disabled")},
    ),
    "no-thinking": (
        "`thinking` is not supported for this model.",
        "claude-sonnet-5-5",
        {"thinking": (), "thinks_by_default": False, "binds_thinking": False},
    ),
    "no-effort": (
        "This model does not support the effort parameter.",
        "claude-sonnet-5-5",
        {"efforts": (), "effort": None},
    ),
    "no-effort-by-its-place": (
        "output_config.effort: Extra inputs are not permitted",
        "claude-sonnet-4-6",
        {"efforts": (), "effort": None},
    ),
    "no-effort-of-a-named-model": (
        "claude-nova-3 does not support the `effort` parameter.",
        "claude-opus-5",
        {"efforts": (), "effort": None},
    ),
    "no-output-config": (
        "output_config: Extra inputs are not permitted",
        "claude-sonnet-5-5",
        {"efforts": (), "effort": None, "refuses": ("output_config.format",)},
    ),
    "no-top-k": ("top_k: Extra inputs are not permitted", "claude-sonnet-4-6", {"sampling": "none"}),
    "system-messages-by-their-place": (
        "messages.2.role: Input should be 'user' or 'assistant'",
        "claude-opus-5-5",
        {"system_messages": False},
    ),
}
# Fields that are refused as such, and what the row calls them.
REFUSED = {
    "output_config.format: Extra inputs are not permitted": "output_config.format",
    "This model does not support structured outputs.": "output_config.format",
    "`output_config.format` is not supported for this model.": "output_config.format",
    "tools.0.custom.strict: Extra inputs are not permitted": "strict",
    "This model does not support strict tools.": "strict",
    "thinking.adaptive.display: Extra inputs are not permitted": "thinking.display",
    "Unexpected value(s) `thinking-display-updates-2026-08-18` for the `anthropic-beta` header.": "thinking.display",
    "thinking.enabled.block_binding: Extra inputs are not permitted": "thinking.block_binding",
    "messages.0.content.1.text.cache_control.ephemeral.ttl: Extra inputs are not permitted": "cache_control.ttl",
    "tools.3.custom.cache_control: Extra inputs are not permitted": "cache_control",
    "messages.4.content.0.tool_result.content.1.cache_control: Extra inputs are not permitted": "cache_control",
    "This model does not support prompt caching.": "cache_control",
    "context_management: Extra inputs are not permitted": "context_management",
    "Unexpected value(s) `context-management-2025-06-27` for the `anthropic-beta` header.": "context_management",
    "service_tier: Extra inputs are not permitted": "service_tier",
    "metadata is not supported.": "metadata",
    "This model does not support the `stop_sequences` field.": "stop_sequences",
    "tool_choice.auto.disable_parallel_tool_use: Extra inputs are not permitted": (
        "tool_choice.disable_parallel_tool_use"
    ),
    "`disable_parallel_tool_use` is not supported for this model.": "tool_choice.disable_parallel_tool_use",
}

# What the caller wrote, or what no ability of a model would change.
NOT_TEACHING = (
    "",
    "No.",
    "stop_sequences: each stop sequence must contain non-whitespace",
    "metadata.user_id: String should have at most 256 characters",
    "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    "cache_control cannot be set for empty text blocks",
    "temperature: range: 0..1",
    "Thinking may not be enabled when tool_choice forces tool use.",
    "`max_tokens` must be greater than `thinking.budget_tokens`.",
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is"
    " enabled, a final `assistant` message must start with a thinking block",
    "tools.0.custom.input_schema.type: Field required",
    "tools.0.custom.input_schema.type: Input should be 'object'",
    "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
    "tools: Tool names must be unique.",
    "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    "`tool_choice` may only be specified while providing `tools`.",
    "tool_choice: Tool 'look_up is not supported' not found in provided tools",
    'tool_choice.name: Tool "this may not be" not found in provided tools',
    "tool_choice.tool.name: Tool `it cannot be` not found in provided tools",
    "tool_choice: Input tag 'x' is not supported",
    "Tool 'x' not found in provided tools",
    "messages.2: all messages must have non-empty content except for the optional final assistant message",
    "messages: text content blocks must be non-empty",
    "messages: text content blocks must contain non-whitespace text",
    "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    "messages: `tool_use` ids must be unique",
    "messages.2: each tool_use must have a single result. Found multiple `tool_result` blocks with id: toolu_1",
    "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.",
    "messages: final assistant content cannot end with trailing whitespace",
    "messages.0.content.0.image.source.url: Only HTTPS URLs are supported.",
    "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
    "Could not process image",
    "messages.1.content.0: Invalid `signature` in `thinking` block",
    "Unexpected value(s) `x` for the `anthropic-beta` header.",
    "prompt is too long: 1000001 tokens > 1000000 maximum",
    "model: Field required",
    "metadata.tags: Extra inputs are not permitted",
    "service_tier: Input should be 'auto' or 'standard_only'",
    "context_management.edits.0: Extra inputs are not permitted",
    "tools.0.custom.eager: Extra inputs are not permitted",
    "messages.0.content.0.thinking.cache_control: Extra inputs are not permitted",
    "Unexpected value(s) `files-api-2025-04-14` for the `anthropic-beta` header.",
    "inference_geo: Extra inputs are not permitted",
    # The names of places inside of a schema, or of a call's input, are the caller's.
    "tools.0.custom.input_schema.cache_control: Extra inputs are not permitted",
    "messages.0.content.0.tool_use.input.cache_control: Extra inputs are not permitted",
    # The caller's own words, wherever they are quoted.
    "messages.0.content: This model does not support the effort parameter.",
    "Tool 'This model does not support the effort parameter.' not found in provided tools",
    "stop_sequences: 'This model does not support prompt caching.' is too long",
    # A field's own message that quotes what the caller wrote is not upstream's word on the model.
    "tools.0.custom.name: `temperature` is deprecated for this model.",
    # An effort of nobody's: the model has all the levels that upstream lists.
    "This model does not support effort level 'turbo'. Supported levels: low, medium, high, xhigh, max.",
)


def row_of(model: str) -> ModelRow:
    return model_table().row(model)


@pytest.mark.parametrize("name", TEACHING)
def test_a_message_about_what_the_gateway_chose_corrects_just_that(name: str) -> None:
    message, model, changes = TEACHING[name]

    assert corrected(row_of(model), message) == replace(row_of(model), **changes)


@pytest.mark.parametrize("name", TEACHING)
def test_what_is_known_already_teaches_nothing(name: str) -> None:
    message, model, changes = TEACHING[name]

    assert corrected(replace(row_of(model), **changes), message) is None


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "claude-sonnet-4-6", "claude-opus-4-5", "claude-haiku-5-5"])
@pytest.mark.parametrize("message", NOT_TEACHING)
def test_a_message_about_anything_else_teaches_nothing(message: str, model: str) -> None:
    row = row_of(model)
    if "'turbo'" in message:
        row = replace(row, efforts=("low", "medium", "high", "xhigh", "max"))

    assert corrected(row, message) is None


@pytest.mark.parametrize("message", REFUSED)
def test_a_field_that_is_refused_as_such_is_left_out_from_then_on(message: str) -> None:
    row = row_of("claude-sonnet-4-6")

    better = corrected(row, message)

    assert better == replace(row, refuses=(REFUSED[message],))
    assert corrected(better, message) is None


def test_a_second_field_that_is_refused_does_not_bring_the_first_one_back() -> None:
    row = row_of("claude-sonnet-4-6")
    for message in REFUSED:
        row = corrected(row, message) or row

    assert {*row.refuses} == {*REFUSED.values()}
    assert (row.thinking, row.forced_tools) == (row_of("claude-sonnet-4-6").thinking, True)


def test_a_refused_pair_of_fields_does_not_teach_that_the_model_lacks_one_of_them() -> None:
    # Section 11.2: Haiku 5.5 takes `disabled` up to effort high; that an effort beside it was too high says no more.
    message = f"\"thinking.type.disabled\" is not supported with effort 'xhigh'. {USE_ADAPTIVE}"

    better = corrected(row_of("claude-haiku-5-5"), message)

    assert better is None or better.can_disable_thinking


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-haiku-5-5", "claude-opus-5-5"])
def test_a_model_that_takes_one_of_two_at_the_most_is_not_taken_for_a_better_one(model: str) -> None:
    # `none` and `exclusive` both follow the rule already.
    assert corrected(row_of(model), BOTH) is None


def test_a_correction_never_gives_a_model_what_it_is_known_to_lack() -> None:
    message = "This model does not support effort level 'xhigh'. Supported levels: low, medium, high, xhigh, max"
    row = replace(row_of("claude-sonnet-5-5"), efforts=("low", "high"))

    better = corrected(row, message) or row

    assert better.efforts == ("low", "high")


@given(text=st.text())
def test_text_of_any_kind_teaches_nothing(text: str) -> None:
    assert corrected(row_of("claude-sonnet-4-6"), text) is None


PLACES = ("tools.0", "tools.2", "output_config.format")
UNIONS = "Schemas contains too many parameters with union types (17 parameters with type arrays or anyOf)."
OPTIONAL = "Schemas contains too many optional parameters (87), which would make grammar compilation inefficient."
LARGE = "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas."


@pytest.mark.parametrize(
    ("message", "places"),
    [
        (UNIONS, PLACES),
        (OPTIONAL, PLACES),
        (LARGE, PLACES),
        ("Compiled grammar is too large.", PLACES),
        (f"output_config.format.schema: Invalid schema: {LARGE}", ("output_config.format",)),
        (f"tools.2.custom.input_schema: Invalid schema: {LARGE}", ("tools.2",)),
        (f"messages.0: {UNIONS}", ()),
        (f"The tool said: {LARGE}", ()),
        ("Schemas are fine.", ()),
    ],
)
def test_what_upstream_says_of_too_large_schemas_is_about_the_schemas(message: str, places: tuple[str, ...]) -> None:
    assert refused_places(message, PLACES) == places
