"""What an upstream 400 teaches about a model: a table of messages that are about fields the gateway itself chose.

The row of the model is corrected, and the request written anew from it. Only messages of this list count (section 17
of the Messages reference), and only from their first word on: hosts quote callers, and no caller may teach us anything.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from translators.models import ModelRow


def _without_thinking(kind: str) -> Callable[[ModelRow, re.Match[str]], ModelRow]:
    def correct(row: ModelRow, _: re.Match[str]) -> ModelRow:
        kinds = tuple(name for name in row.thinking if name != kind)
        # A model that thinks and cannot be told not to, does so by default.
        return replace(row, thinking=kinds, thinks_by_default=row.thinks_by_default or kind == "disabled")

    return correct


def _without_effort(row: ModelRow, found: re.Match[str]) -> ModelRow:
    supported = re.findall(r"[a-z]+", found["supported"] or "")
    kept = tuple(level for level in row.efforts if level != found["level"] and (not supported or level in supported))
    return replace(row, efforts=kept)


_LESSONS: Final[tuple[tuple[re.Pattern[str], Callable[[ModelRow, re.Match[str]], ModelRow]], ...]] = (
    (
        re.compile(r"`(temperature|top_p|top_k)` (is deprecated|may only be set|must be unset)"),
        lambda row, _: replace(row, sampling="none"),
    ),
    (
        re.compile(r"`temperature` and `top_p` cannot both be specified"),
        lambda row, _: replace(row, sampling="exclusive") if row.sampling == "honoured" else row,
    ),
    (
        re.compile(r"This model does not support assistant message prefill"),
        lambda row, _: replace(row, prefill=False),
    ),
    (
        re.compile(r'messages(\.\d+)?(\.role)?: Unexpected role "system"'),
        lambda row, _: replace(row, system_messages=False),
    ),
    (
        re.compile(r"[`\"]?tool_choice.{0,80}?(not supported|may not be|cannot be)"),
        lambda row, _: replace(row, forced_tools=False),
    ),
    (re.compile(r"[`\"]thinking\.type\.disabled. is not supported for this model"), _without_thinking("disabled")),
    (re.compile(r"[`\"]thinking\.type\.enabled. is not supported for this model"), _without_thinking("enabled")),
    (re.compile(r"adaptive thinking is not supported"), _without_thinking("adaptive")),
    (
        re.compile(
            r"This model does not support effort level '(?P<level>[a-z]{1,20})'"
            r"(?:\. Supported levels: (?P<supported>[a-z, ]{1,200}))?"
        ),
        _without_effort,
    ),
    (
        re.compile(r"max_tokens: \d{1,12} > (?P<limit>[1-9][0-9]{0,8}), which is the maximum"),
        lambda row, found: replace(row, max_output=int(found["limit"])),
    ),
)


# A grammar could not be made: of the schema at a place that upstream names, or of one, or all, that it does not name.
_SCHEMA_REFUSED: Final = re.compile(
    r"(?:(?P<tool>tools\.\d{1,6})\.(?:custom\.)?input_schema|(?P<form>output_config\.format))\b"
    r"|Schema is too complex|Schema type '|For '\w{1,40}' type, |Too many strict tools"
)


def refused_places(message: str, places: Iterable[str]) -> tuple[str, ...]:
    """Of the places with a schema that the gateway had promised to hold the model to, those that a 400 is about.

    That is the one that it names, as `tools.3` or `output_config.format`, and all where it is about a schema and names
    none. The name of a place with another kind of schema is about none of them.
    """
    found = _SCHEMA_REFUSED.match(message)
    if found is None:
        return ()
    named = found["tool"] or found["form"]
    return tuple(place for place in places if named in (None, place))


def corrected(row: ModelRow, message: str) -> ModelRow | None:
    """The row as upstream's message has it, or None where the message teaches nothing new."""
    for pattern, correct in _LESSONS:
        if (found := pattern.match(message)) is not None:
            better = correct(row, found)
            return better if better != row else None
    return None
