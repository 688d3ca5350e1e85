"""An answer as OpenAI's `chat.completion` object."""

from collections.abc import Mapping

import orjson

from translators.chat.answer import Answer, ToolCall
from translators.chat.finish import finish_reason
from translators.chat.names import caller_call_id


def completion(answer: Answer, *, created: int, tool_names: Mapping[str, str]) -> bytes:
    """The body of an unstreamed completion; `created` is Unix seconds, `tool_names` restores rewritten names."""
    return orjson.dumps(
        {
            "id": f"chatcmpl-{answer.id}",
            "object": "chat.completion",
            "created": created,
            "model": answer.model,
            "choices": [
                {
                    "index": 0,
                    "message": _message(answer, tool_names),
                    "logprobs": None,
                    "finish_reason": finish_reason(answer.stop_reason, has_tool_calls=bool(answer.tool_calls)),
                }
            ],
            "usage": answer.usage.as_openai(),
            "service_tier": answer.usage.service_tier,
            "system_fingerprint": None,
        }
    )


def _message(answer: Answer, tool_names: Mapping[str, str]) -> dict[str, object]:
    # Null means that there is something else to read: calls to run, or a refusal. Else no text is "".
    has_other = bool(answer.tool_calls) or answer.stop_reason == "refusal"
    message: dict[str, object] = {
        "role": "assistant",
        "content": answer.text or (None if has_other else ""),
        "refusal": answer.refusal,
        "annotations": [],
    }
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [_tool_call(call, tool_names) for call in answer.tool_calls]
    return message


def _tool_call(call: ToolCall, tool_names: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": caller_call_id(call.id),
        "type": "function",
        "function": {"name": tool_names.get(call.name, call.name), "arguments": call.arguments},
    }
