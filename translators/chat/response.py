"""An answer as OpenAI's `chat.completion` object."""

from collections.abc import Sequence
from typing import Final

import orjson

from translators.answers.answer import AnswerFold
from translators.answers.answer_types import Call, Ending
from translators.answers.finish import legacy_reason
from translators.answers.shape import AnswerShape
from translators.usage import Usage

# Written by hand, since the texts are there as JSON already.
_COMPLETION: Final = (
    b'{"id":%b,"object":"chat.completion","created":%d,"model":%b,"choices":[%b],"usage":%b,'
    b'"service_tier":%b,"system_fingerprint":null%b}'
)
_CHOICE: Final = b'{"index":%d,"message":{%b},"logprobs":null,"finish_reason":"%b"}'
_MESSAGE: Final = b'"role":"assistant","content":%b,"refusal":%b,"annotations":%b'
_NOT_ENDED: Final = Ending("stop", None, [], [], [])


def completion(
    answers: Sequence[tuple[AnswerFold, AnswerShape]], usage: Usage, *, created: int, reports: bool = False
) -> bytes:
    """The body of an unstreamed completion, a choice an answer; `created` is Unix seconds.

    `reports` adds what the gateway has to say about the first answer.
    """
    first = answers[0][0]
    return _COMPLETION % (
        orjson.dumps(f"chatcmpl-{first.upstream_id}"),
        created,
        orjson.dumps(first.model),
        b",".join([_choice(answer, index, shape) for index, (answer, shape) in enumerate(answers)]),
        usage.as_json(),
        orjson.dumps(first.usage.service_tier),
        b',"gateway":%b' % orjson.dumps(first.report()) if reports else b"",
    )


def _choice(answer: AnswerFold, index: int, shape: AnswerShape) -> bytes:
    reason = (answer.ending or _NOT_ENDED).finish_reason
    if shape.is_legacy:
        reason = legacy_reason(reason)
    return _CHOICE % (index, _message(answer, shape), reason.encode())


def _message(answer: AnswerFold, shape: AnswerShape) -> bytes:
    """The members of the message's object."""
    ending = answer.ending or _NOT_ENDED
    # Null means that there is something else to read: calls to run, or a refusal. Else no text is "".
    has_other = bool(answer.calls) or ending.finish_reason == "content_filter"
    content = b"null" if has_other and not answer.has_text else answer.text_json
    members = _MESSAGE % (content, orjson.dumps(ending.refusal), orjson.dumps(ending.annotations))
    if answer.has_reasoning:
        members += b',"reasoning_content":' + answer.reasoning_json
        if shape.shows_reasoning_twice:
            members += b',"reasoning":' + answer.reasoning_json
    if ending.citations:
        members += b',"citations":' + orjson.dumps(ending.citations)
    if ending.thinking_blocks:
        members += b',"thinking_blocks":' + orjson.dumps(ending.thinking_blocks)
    if answer.calls and shape.is_legacy:
        members += b',"function_call":' + _function(answer, answer.calls[0])
    elif answer.calls:
        members += b',"tool_calls":[%b]' % b",".join([_tool_call(answer, call) for call in answer.calls])
    return members


def _tool_call(answer: AnswerFold, call: Call) -> bytes:
    call_id = orjson.dumps(call.id)
    if call.is_custom:
        form = b'{"id":%b,"type":"custom","custom":{"name":%b,"input":%b}}'
        return form % (call_id, orjson.dumps(call.name), answer.arguments_json(call))
    return b'{"id":%b,"type":"function","function":%b}' % (call_id, _function(answer, call))


def _function(answer: AnswerFold, call: Call) -> bytes:
    return b'{"name":%b,"arguments":%b}' % (orjson.dumps(call.name), answer.arguments_json(call))
