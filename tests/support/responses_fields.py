"""The fields of the Responses API as tables: what a response, an item, a part and an event have, and of which type."""

from collections.abc import Callable, Mapping


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_filled(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_bool(value: object) -> bool:
    return isinstance(value, bool)


def is_list(value: object) -> bool:
    return isinstance(value, list)


def is_object(value: object) -> bool:
    return isinstance(value, dict)


def is_null(value: object) -> bool:
    return value is None


Check = Callable[[object], bool]
Fields = Mapping[str, Check | tuple[Check, ...]]
WORDS: dict[Check, str] = {
    is_text: "a string",
    is_filled: "a string that is not empty",
    is_count: "a whole number from 0",
    is_number: "a number",
    is_bool: "true or false",
    is_list: "an array",
    is_object: "an object",
    is_null: "null",
}

TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
REASONS = ("max_output_tokens", "max_messages", "content_filter", "steered")
STATUSES = ("completed", "failed", "in_progress", "cancelled", "queued", "incomplete")
ERROR_CODES = (
    "server_error",
    "rate_limit_exceeded",
    "invalid_prompt",
    "data_residency_mismatch",
    "bio_policy",
    "misalignment_policy_violation",
    "vector_store_timeout",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_content_policy_violation",
    "invalid_image_mode",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
)
# Read by Codex, and not in the SDK's list.
CODEX_CODES = ("context_length_exceeded", "insufficient_quota", "usage_not_included", "server_is_overloaded")

# What each response has, whoever sends it.
RESPONSE: Fields = {
    "id": is_filled,
    "object": is_text,
    "created_at": is_number,
    "status": is_text,
    "model": is_filled,
    "output": is_list,
}
# The settings that a response repeats (section 3.4 of the additions); checked where they are there.
SETTINGS: Fields = {
    "completed_at": (is_number, is_null),
    "background": (is_bool, is_null),
    "error": (is_object, is_null),
    "incomplete_details": (is_object, is_null),
    "instructions": (is_text, is_list, is_null),
    "max_output_tokens": (is_count, is_null),
    "max_tool_calls": (is_count, is_null),
    "metadata": (is_object, is_null),
    "parallel_tool_calls": is_bool,
    "previous_response_id": (is_filled, is_null),
    "prompt_cache_key": (is_text, is_null),
    "reasoning": (is_object, is_null),
    "safety_identifier": (is_text, is_null),
    "service_tier": (is_text, is_null),
    "store": is_bool,
    "temperature": (is_number, is_null),
    "text": (is_object, is_null),
    "tool_choice": (is_text, is_object),
    "tools": is_list,
    "top_logprobs": (is_count, is_null),
    "top_p": (is_number, is_null),
    "truncation": (is_text, is_null),
    "usage": (is_object, is_null),
    "user": (is_text, is_null),
}
USAGE: Fields = {"input_tokens": is_count, "output_tokens": is_count, "total_tokens": is_count}
USAGE_DETAILS: Mapping[str, tuple[str, ...]] = {
    "input_tokens_details": ("cached_tokens", "cache_write_tokens"),
    "output_tokens_details": ("reasoning_tokens",),
}

_CALL: Fields = {"id": is_filled, "call_id": is_filled, "name": is_filled}
_HOSTED: Fields = {"id": is_filled, "status": is_text}
ITEMS: Mapping[str, Fields] = {
    "message": {"id": is_filled, "role": is_text, "status": is_text, "content": is_list},
    "reasoning": {"id": is_filled, "summary": is_list},
    "function_call": {**_CALL, "arguments": is_text, "status": is_text},
    "custom_tool_call": {**_CALL, "input": is_text},
    "web_search_call": _HOSTED,
    "compaction": {"id": is_filled, "encrypted_content": is_filled},
    "file_search_call": {**_HOSTED, "queries": is_list},
    "code_interpreter_call": _HOSTED,
    "image_generation_call": _HOSTED,
    "computer_call": {**_HOSTED, "call_id": is_filled},
    "mcp_list_tools": {"id": is_filled, "server_label": is_filled, "tools": is_list},
    "mcp_call": {"id": is_filled, "server_label": is_filled, "name": is_filled, "arguments": is_text},
    "mcp_approval_request": {"id": is_filled, "server_label": is_filled, "name": is_filled, "arguments": is_text},
    "local_shell_call": {**_HOSTED, "call_id": is_filled, "action": is_object},
    "shell_call": {**_HOSTED, "call_id": is_filled, "action": is_object},
    "shell_call_output": {"id": is_filled, "call_id": is_filled, "output": is_list},
    "apply_patch_call": {**_HOSTED, "call_id": is_filled, "operation": is_object},
    "apply_patch_call_output": {**_HOSTED, "call_id": is_filled},
    "tool_search_call": {**_HOSTED, "arguments": is_object, "execution": is_text},
    "tool_search_output": {**_HOSTED, "tools": is_list, "execution": is_text},
    "program": {"id": is_filled, "call_id": is_filled, "code": is_text},
    "program_output": {"id": is_filled, "call_id": is_filled},
}
# Checked where they are there; what the reference lets be null may be null.
ITEM_EXTRAS: Fields = {
    "status": (is_text, is_null),
    "phase": (is_text, is_null),
    "namespace": (is_filled, is_null),
    "encrypted_content": (is_text, is_null),
}
PARTS: Mapping[str, Fields] = {
    "output_text": {"text": is_text, "annotations": is_list},
    "refusal": {"refusal": is_text},
    "reasoning_text": {"text": is_text},
    "summary_text": {"text": is_text},
}
ANNOTATIONS: Mapping[str, Fields] = {
    "url_citation": {"url": is_filled, "title": is_text, "start_index": is_count, "end_index": is_count},
    "file_citation": {"file_id": is_filled, "index": is_count},
    "container_file_citation": {"container_id": is_filled, "file_id": is_filled},
    "file_path": {"file_id": is_filled, "index": is_count},
}
ITEM_STATUSES = ("in_progress", "searching", "interpreting", "generating", "completed", "failed", "incomplete")
PHASES = ("commentary", "final_answer", None)

_OUTPUT: Fields = {"output_index": is_count}
_IN_ITEM: Fields = {**_OUTPUT, "item_id": is_filled}
_IN_PART: Fields = {**_IN_ITEM, "content_index": is_count}
_IN_SUMMARY: Fields = {**_IN_ITEM, "summary_index": is_count}
_LIFE: Fields = {"response": is_object}
_HOSTED_STATES = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_call": ("in_progress", "completed", "failed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
}
STATE_EVENTS: Mapping[str, tuple[str, int]] = {
    f"response.{kind}.{state}": (kind, rank)
    for kind, states in _HOSTED_STATES.items()
    for rank, state in enumerate(states)
}
"""Which item an event of a hosted tool belongs to, and its place in the order of its kind."""

EVENTS: Mapping[str, Fields] = {
    **{f"response.{life}": _LIFE for life in ("created", "queued", "in_progress", "completed", "incomplete", "failed")},
    **{f"response.output_item.{end}": {**_OUTPUT, "item": is_object} for end in ("added", "done")},
    **{f"response.content_part.{end}": {**_IN_PART, "part": is_object} for end in ("added", "done")},
    "response.output_text.delta": {**_IN_PART, "delta": is_text},
    "response.output_text.done": {**_IN_PART, "text": is_text},
    "response.output_text.annotation.added": {**_IN_PART, "annotation_index": is_count, "annotation": is_object},
    "response.refusal.delta": {**_IN_PART, "delta": is_text},
    "response.refusal.done": {**_IN_PART, "refusal": is_text},
    "response.reasoning_text.delta": {**_IN_PART, "delta": is_text},
    "response.reasoning_text.done": {**_IN_PART, "text": is_text},
    "response.reasoning_summary_part.added": {**_IN_SUMMARY, "part": is_object},
    "response.reasoning_summary_part.done": {**_IN_SUMMARY, "part": is_object},
    "response.reasoning_summary_text.delta": {**_IN_SUMMARY, "delta": is_text},
    "response.reasoning_summary_text.done": {**_IN_SUMMARY, "text": is_text},
    "response.function_call_arguments.delta": {**_IN_ITEM, "delta": is_text},
    "response.function_call_arguments.done": {**_IN_ITEM, "arguments": is_text},
    "response.custom_tool_call_input.delta": {**_IN_ITEM, "delta": is_text},
    "response.custom_tool_call_input.done": {**_IN_ITEM, "input": is_text},
    "response.mcp_call_arguments.delta": {**_IN_ITEM, "delta": is_text},
    "response.mcp_call_arguments.done": {**_IN_ITEM, "arguments": is_text},
    "response.code_interpreter_call_code.delta": {**_IN_ITEM, "delta": is_text},
    "response.code_interpreter_call_code.done": {**_IN_ITEM, "code": is_text},
    "response.image_generation_call.partial_image": {
        **_IN_ITEM,
        "partial_image_index": is_count,
        "partial_image_b64": is_text,
    },
    "response.shell_call_command.added": {**_OUTPUT, "command_index": is_count, "command": is_text},
    "response.shell_call_command.delta": {**_OUTPUT, "command_index": is_count, "delta": is_text},
    "response.shell_call_command.done": {**_OUTPUT, "command_index": is_count, "command": is_text},
    "response.shell_call_output_content.delta": {**_IN_ITEM, "command_index": is_count, "delta": is_object},
    "response.shell_call_output_content.done": {**_IN_ITEM, "command_index": is_count, "output": is_list},
    "response.compaction.compacting": _IN_ITEM,
    **dict.fromkeys(STATE_EVENTS, _IN_ITEM),
    "keepalive": {},
    "error": {},
}
WITH_LOGPROBS = ("response.output_text.delta", "response.output_text.done")
