"""The settings that a response repeats, as JSON."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Raw

from translators.responses.tools import ReadTools
from translators.wire.raw import NULL
from translators.wire.responses import ReasoningOptions, ResponsesBody, TextFormat, TextOptions

_NAMES: Final = (
    *("background", "max_output_tokens", "max_tool_calls", "parallel_tool_calls", "previous_response_id"),
    *("instructions", "metadata", "tool_choice", "top_logprobs"),
    *("prompt_cache_key", "safety_identifier", "store", "temperature", "top_p", "truncation", "user"),
)
_values: Final = attrgetter(*_NAMES)
_encode: Final = msgspec.json.encode


def echoed(body: ResponsesBody, tools: ReadTools) -> Mapping[str, Raw]:
    """What a response repeats of its request; what is not there has the default of its name."""
    said = dict[str, Raw]()
    for name, value in zip(_NAMES, _values(body), strict=True):
        if value is not None and value is not NULL:
            # A copy: a slice would hold the whole body as long as the response is made.
            said[name] = value.copy() if isinstance(value, Raw) else Raw(_encode(value))
    if body.tools:
        # Not those that came later, in items.
        said["tools"] = Raw(b"[%b]" % b",".join(tools.shown[: len(body.tools)]))
    if body.reasoning is not None:
        said["reasoning"] = _reasoning(body.reasoning)
    if body.text is not None:
        said["text"] = _text(body.text)
    if (given := body.conversation) is not None:
        said["conversation"] = Raw(_encode({"id": given if isinstance(given, str) else given.id}))
    return said


def _reasoning(options: ReasoningOptions) -> Raw:
    return Raw(_encode({"effort": options.effort, "summary": options.summary or options.generate_summary}))


def _text(options: TextOptions) -> Raw:
    form = options.format or TextFormat()
    shown: dict[str, object] = {"type": form.type}
    if form.type == "json_schema":
        shown |= {"name": form.name or "", "schema": form.schema, "strict": form.strict}
        shown["description"] = form.description
    return Raw(_encode({"format": shown, "verbosity": options.verbosity or "medium"}))
