"""The settings that a response repeats, as JSON."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import Raw

from translators.responses.tools import ReadTools
from translators.wire.raw import NULL
from translators.wire.responses import ReasoningOptions, ResponsesBody, TextFormat, TextOptions

_NAMES: Final = ("instructions", "max_output_tokens", "parallel_tool_calls", "store", "temperature", "tool_choice")
_values: Final = attrgetter(*_NAMES)
# What most requests do not have, and how it is there.
_TEXTS: Final = ("metadata", "top_logprobs")
_RARE: Final = (
    *("background", "max_tool_calls", "previous_response_id", "prompt_cache_key"),
    *("safety_identifier", "top_p", "truncation", "user"),
)
_RARE_NAMES: Final = (*_TEXTS, *_RARE)
_rare_values: Final = attrgetter(*_RARE_NAMES)
_NO_RARE_VALUES: Final = (*[NULL] * len(_TEXTS), *[None] * len(_RARE))
_encode: Final = msgspec.json.encode


def echoed(body: ResponsesBody, tools: ReadTools) -> Mapping[str, Raw]:
    """The settings of a request that its response repeats. For those that are not here, the response has defaults."""
    said: dict[str, Raw] = {}
    _add(said, _NAMES, _values(body))
    rare = _rare_values(body)
    if rare != _NO_RARE_VALUES:
        _add(said, _RARE_NAMES, rare)
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


def _add(said: dict[str, Raw], names: Sequence[str], values: Sequence[object]) -> None:
    for name, value in zip(names, values, strict=True):
        if value is not None and value is not NULL:
            # A copy: a slice would hold the whole body as long as the response is made.
            said[name] = value.copy() if isinstance(value, Raw) else Raw(_encode(value))


def _reasoning(options: ReasoningOptions) -> Raw:
    return Raw(_encode({"effort": options.effort, "summary": options.summary or options.generate_summary}))


def _text(options: TextOptions) -> Raw:
    form = options.format or TextFormat()
    shown: dict[str, object] = {"type": form.type}
    if form.type == "json_schema":
        shown |= {"name": form.name or "", "schema": form.schema, "strict": form.strict}
        shown["description"] = form.description
    return Raw(_encode({"format": shown, "verbosity": options.verbosity or "medium"}))
