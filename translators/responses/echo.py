"""The settings that a response repeats, as JSON; what the caller has not said is what OpenAI takes it for."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from translators.reading import is_null
from translators.responses.tools import ReadTools
from translators.wire.raw import NULL
from translators.wire.responses import ReasoningOptions, ResponsesBody, TextFormat, TextOptions

_TRUE: Final = Raw(b"true")
_FALSE: Final = Raw(b"false")
_ONE: Final = Raw(b"1.0")
_ZERO: Final = Raw(b"0")
_NONE: Final = Raw(b"[]")
_NOTHING: Final = Raw(b"{}")
_AUTO: Final = Raw(b'"auto"')
_DISABLED: Final = Raw(b'"disabled"')
_PLAIN_TEXT: Final = Raw(b'{"format":{"type":"text"},"verbosity":"medium"}')
_NO_REASONING: Final = Raw(b'{"effort":null,"summary":null}')
_encode: Final = msgspec.json.encode


def echoed(body: ResponsesBody, tools: ReadTools) -> Mapping[str, Raw]:
    """Each field of a response that comes from its request."""
    conversation = body.conversation
    fields = {
        "background": _TRUE if body.background else _FALSE,
        "instructions": body.instructions,
        "max_output_tokens": _json(body.max_output_tokens),
        "max_tool_calls": _json(body.max_tool_calls),
        "parallel_tool_calls": _FALSE if body.parallel_tool_calls is False else _TRUE,
        "previous_response_id": _json(body.previous_response_id),
        "prompt_cache_key": _json(body.prompt_cache_key),
        "reasoning": _reasoning(body.reasoning),
        "safety_identifier": _json(body.safety_identifier),
        "service_tier": _json(body.service_tier) if body.service_tier else _AUTO,
        "store": _FALSE if body.store is False else _TRUE,
        "temperature": _ONE if body.temperature is None else _json(body.temperature),
        "text": _text(body.text),
        "tool_choice": _AUTO if is_null(body.tool_choice) else body.tool_choice,
        "tools": Raw(b"[%b]" % b",".join(tools.shown)) if tools.shown else _NONE,
        "top_logprobs": _ZERO if is_null(body.top_logprobs) else body.top_logprobs,
        "top_p": _ONE if body.top_p is None else _json(body.top_p),
        "truncation": _json(body.truncation) if body.truncation else _DISABLED,
        "user": _json(body.user),
        "metadata": _NOTHING if is_null(body.metadata) else body.metadata,
    }
    if conversation is not None:
        given = conversation if isinstance(conversation, str) else conversation.id
        fields["conversation"] = Raw(_encode({"id": given}))
    return fields


def _json(value: str | float | None) -> Raw:
    return NULL if value is None else Raw(_encode(value))


def _reasoning(options: ReasoningOptions | None) -> Raw:
    if options is None:
        return _NO_REASONING
    return Raw(_encode({"effort": options.effort, "summary": options.summary or options.generate_summary}))


def _text(options: TextOptions | None) -> Raw:
    if options is None:
        return _PLAIN_TEXT
    form = options.format or TextFormat()
    shown: dict[str, object] = {"type": form.type}
    if form.type == "json_schema":
        shown |= {"name": form.name or "", "schema": form.schema, "strict": form.strict}
        shown["description"] = form.description
    return Raw(_encode({"format": shown, "verbosity": options.verbosity or "medium"}))
