"""An answer as OpenAI's `chat.completion` object."""

from collections.abc import Sequence

import orjson

from translators.chat.answer import AnswerFold
from translators.chat.finish import legacy_reason
from translators.chat.reader import Call
from translators.chat.shape import AnswerShape
from translators.usage import Usage


def completion(
    answers: Sequence[tuple[AnswerFold, AnswerShape]], usage: Usage, *, created: int, reports: bool = False
) -> bytes:
    """The body of an unstreamed completion, a choice an answer; `created` is Unix seconds.

    `reports` adds what the gateway has to say about the first answer.
    """
    first = answers[0][0]
    report = {"gateway": first.report()} if reports else {}
    return orjson.dumps(
        {
            "id": f"chatcmpl-{first.upstream_id}",
            "object": "chat.completion",
            "created": created,
            "model": first.model,
            "choices": [_choice(answer, index, shape) for index, (answer, shape) in enumerate(answers)],
            "usage": usage.as_openai(),
            "service_tier": first.usage.service_tier,
            "system_fingerprint": None,
            **report,
        }
    )


def _choice(answer: AnswerFold, index: int, shape: AnswerShape) -> dict[str, object]:
    reason = answer.ending.finish_reason if answer.ending else "stop"
    if shape.is_legacy:
        reason = legacy_reason(reason)
    return {"index": index, "message": _message(answer, shape), "logprobs": None, "finish_reason": reason}


def _message(answer: AnswerFold, shape: AnswerShape) -> dict[str, object]:
    ending = answer.ending
    # Null means that there is something else to read: calls to run, or a refusal. Else no text is "".
    has_other = bool(answer.calls) or (ending is not None and ending.finish_reason == "content_filter")
    message: dict[str, object] = {
        "role": "assistant",
        "content": answer.text or (None if has_other else ""),
        "refusal": ending.refusal if ending else None,
        "annotations": ending.annotations if ending else [],
    }
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if ending and ending.citations:
        message["citations"] = ending.citations
    if ending and ending.thinking_blocks:
        message["thinking_blocks"] = ending.thinking_blocks
    if answer.calls and shape.is_legacy:
        call = answer.calls[0]
        message["function_call"] = {"name": call.name, "arguments": answer.arguments(call)}
    elif answer.calls:
        message["tool_calls"] = [_tool_call(answer, call) for call in answer.calls]
    return message


def _tool_call(answer: AnswerFold, call: Call) -> dict[str, object]:
    text = answer.arguments(call)
    if call.is_custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}
