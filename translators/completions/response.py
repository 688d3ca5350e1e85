"""Writes whole answers as OpenAI's `text_completion` object."""

from collections.abc import Sequence

import orjson
from orjson import Fragment

from translators.answers.answer import AnswerFold
from translators.usage import Usage


def text_completion(answers: Sequence[AnswerFold], echoes: Sequence[str], usage: Usage, *, created: int) -> bytes:
    """The body, with one choice per answer; `created` is in Unix seconds."""
    return orjson.dumps(
        {
            "id": f"cmpl-{answers[0].upstream_id}",
            "object": "text_completion",
            "created": created,
            "model": answers[0].model,
            "choices": [
                {"text": echo + answer.text, "index": index, "logprobs": None, "finish_reason": _reason(answer)}
                for index, (answer, echo) in enumerate(zip(answers, echoes, strict=True))
            ],
            "usage": Fragment(usage.as_json()),
            "system_fingerprint": None,
        }
    )


def _reason(answer: AnswerFold) -> str:
    """The legacy format has no tool calls."""
    reason = answer.ending.finish_reason if answer.ending else "stop"
    return "stop" if reason == "tool_calls" else reason
