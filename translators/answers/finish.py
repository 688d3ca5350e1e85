"""Anthropic's stop reasons in OpenAI's words."""

from typing import Final

FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_reason(stop_reason: str | None, *, has_tool_calls: bool) -> str:
    """The finish reason for a stop reason; one we have not met yet reads as a plain stop.

    Agent loops rely on `tool_calls` standing there exactly when there are calls to run, so a plain stop
    and `tool_calls` follow the calls rather than the reason.
    """
    reason = FINISH_REASONS.get(stop_reason or "", "stop")
    if reason in ("stop", "tool_calls"):
        return "tool_calls" if has_tool_calls else "stop"
    return reason


def legacy_reason(reason: str) -> str:
    """The finish reason in the old form, which knows one function call in the place of tool calls."""
    return "function_call" if reason == "tool_calls" else reason
