"""What an upstream 400 teaches about a model: a table of messages about fields that the gateway itself chose.

The model's row is corrected, and the request is written again from it. Only messages in this table count (section 17
of the Messages reference), and only if they match from their first word: hosts quote callers, and a caller must not be
able to teach a lesson. Upstream names a refused optional field in one of a few ways; a table maps these to changes of
the row.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from translators.models import (
    BINDING,
    CACHE_LIFETIME,
    CACHE_MARKS,
    CONTEXT_MANAGEMENT,
    DISPLAY,
    FORM,
    METADATA,
    ONE_CALL,
    SERVICE_TIER,
    STOPS,
    STRICT,
    ModelRow,
)


def _without_thinking(kind: str) -> Callable[[ModelRow, re.Match[str]], ModelRow]:
    def correct(row: ModelRow, _: re.Match[str]) -> ModelRow:
        kinds = tuple(name for name in row.thinking if name != kind)
        # A model whose thinking cannot be turned off thinks by default.
        return replace(row, thinking=kinds, thinks_by_default=row.thinks_by_default or kind == "disabled")

    return correct


def _without_effort(row: ModelRow, found: re.Match[str]) -> ModelRow:
    supported = re.findall(r"[a-z]+", found["supported"] or "")
    kept = tuple(level for level in row.efforts if level != found["level"] and (not supported or level in supported))
    return replace(row, efforts=kept)


def _refusing(*fields: str) -> Callable[[ModelRow, re.Match[str]], ModelRow]:
    def correct(row: ModelRow, _: re.Match[str]) -> ModelRow:
        more = tuple(name for name in fields if name not in row.refuses)
        return replace(row, refuses=(*row.refuses, *more))

    return correct


def _is_without_efforts(row: ModelRow, _: re.Match[str]) -> ModelRow:
    return replace(row, efforts=(), effort=None)


def _never_thinks(row: ModelRow, _: re.Match[str]) -> ModelRow:
    return replace(row, thinking=(), thinks_by_default=False, binds_thinking=False)


def _is_without_output_config(row: ModelRow, found: re.Match[str]) -> ModelRow:
    return _is_without_efforts(_refusing(FORM)(row, found), found)


def _thinks_in_other_ways(row: ModelRow, found: re.Match[str]) -> ModelRow:
    wrong, expected = found["mode"], re.findall(r"[a-z_]+", found["modes"])
    kinds = tuple(name for name in row.thinking if name != wrong and name in expected)
    return replace(row, thinking=kinds, thinks_by_default=row.thinks_by_default and bool(kinds))


_IN_A_CONTENT: Final = r"(?:\.(?:content|\d{1,6}|text|image|document|tool_use|tool_result|search_result)){0,8}"
# Optional fields that the gateway writes, by the names that upstream uses for them.
_FIELDS: Final[tuple[tuple[str, Callable[[ModelRow, re.Match[str]], ModelRow]], ...]] = (
    (r"(?:output_config\.)?effort", _is_without_efforts),
    (r"output_config", _is_without_output_config),
    (r"(?:output_config\.|output_)format|structured outputs?|json_schema(?: output)?", _refusing(FORM)),
    (r"(?:tools\.\d{1,6}\.(?:custom\.|function\.)?)?strict(?: tools?| tool use| mode)?", _refusing(STRICT)),
    (r"(?:extended )?thinking", _never_thinks),
    (r"thinking\.(?:(?:adaptive|enabled)\.)?display", _refusing(DISPLAY)),
    (r"thinking\.(?:(?:adaptive|enabled)\.)?block_binding", _refusing(BINDING)),
    (
        rf"(?:(?:(?:system|messages){_IN_A_CONTENT}|tools\.\d{{1,6}}(?:\.custom|\.function)?)\.)?cache_control"
        r"(?:\.ephemeral)?\.ttl",
        _refusing(CACHE_LIFETIME),
    ),
    (
        rf"(?:(?:(?:system|messages){_IN_A_CONTENT}|tools\.\d{{1,6}}(?:\.custom|\.function)?)\.)?cache_control"
        r"|prompt caching",
        _refusing(CACHE_MARKS),
    ),
    (r"context_management|context management", _refusing(CONTEXT_MANAGEMENT)),
    (r"service_tier", _refusing(SERVICE_TIER)),
    (r"metadata(?:\.user_id)?", _refusing(METADATA)),
    (r"stop_sequences|stop sequences", _refusing(STOPS)),
    (r"(?:tool_choice\.(?:(?:auto|any|tool)\.)?)?disable_parallel_tool_use", _refusing(ONE_CALL)),
    (r"temperature|top_p|top_k", lambda row, _: replace(row, sampling="none")),
)
# "This model does not support the effort parameter.", "`service_tier` is not supported for this model.",
# "metadata: Extra inputs are not permitted".
_REFUSED_FIELD: Final = (
    r"(?:(?:This model|(?:The )?[Mm]odel [`'\"]?[\w.:@/-]{{1,100}}[`'\"]?|[`'\"]?claude-[\w.:@-]{{1,100}}[`'\"]?)"
    r" does not support (?:the )?[`'\"]?(?:{field})[`'\"]?(?: parameter| field)?(?:\.|$)"
    r"|[`'\"]?(?:{field})[`'\"]?(?: parameter| field)? (?:is|are) not (?:supported|available|allowed|permitted)"
    r"(?: (?:for|by|on|with|in) (?:this|the) model)?(?:\.|$)"
    r"|(?:{field}): (?:Extra inputs are not permitted|[Uu]nknown field|Not supported(?: by this model)?)(?:\.|$))"
)
# Betas that parts of a request need, and what is left out if a host does not know them.
_BETAS: Final = {
    r"context-management-[\d-]{10}": CONTEXT_MANAGEMENT,
    r"compact-[\d-]{10}": CONTEXT_MANAGEMENT,
    r"thinking-display-updates-[\d-]{10}": DISPLAY,
    r"thinking-binding-controls-[\d-]{10}": BINDING,
}

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
        re.compile(
            r'messages(\.\d+)?(\.role)?: (Unexpected role "system"'
            r"|Input should be 'user' or 'assistant'|role 'system' is not supported)"
        ),
        lambda row, _: replace(row, system_messages=False),
    ),
    *((re.compile(_REFUSED_FIELD.format(field=field)), correct) for field, correct in _FIELDS),
    *(
        (re.compile(rf"Unexpected value\(s\) [`'\"]{beta}[`'\"] for the `anthropic-beta` header"), _refusing(field))
        for beta, field in _BETAS.items()
    ),
    (
        # Matches no quoted text but the type of the choice, which the gateway wrote.
        re.compile(
            r"[`\"]?tool_choice[`\"]?(?:[^'\"`]|(?P<quote>['\"`])(?:any|tool)(?P=quote)){0,80}?"
            r"(not supported|may not be|cannot be)"
        ),
        lambda row, _: replace(row, forced_tools=False),
    ),
    (re.compile(r"[`\"]thinking\.type\.disabled. is not supported for this model"), _without_thinking("disabled")),
    (re.compile(r"[`\"]thinking\.type\.enabled. is not supported for this model"), _without_thinking("enabled")),
    (
        re.compile(
            r"thinking: Input tag '(?P<mode>[a-z_]{1,20})' found using 'type' does not match any of the expected tags:"
            r" (?P<modes>['a-z_, ]{1,100})"
        ),
        _thinks_in_other_ways,
    ),
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


# A grammar could not be compiled, for the schema at the named place, or for an unnamed one, or for all together.
_SCHEMA_REFUSED: Final = re.compile(
    r"(?:(?P<tool>tools\.\d{1,6})\.(?:custom\.)?input_schema|(?P<form>output_config\.format))\b"
    r"|Schema is too complex|Schema type '|For '\w{1,40}' type, |Too many strict tools|Schemas contains? too many "
    r"|(?:Invalid schema: )?(?:The )?[Cc]ompiled grammar is too large"
)


def refused_places(message: str, places: Iterable[str]) -> tuple[str, ...]:
    """Which of the places with enforced schemas a 400 is about.

    That is the named one, such as `tools.3` or `output_config.format`, or all if the message is about a schema and
    names none. If it names a place that is not among them, the result is empty.
    """
    found = _SCHEMA_REFUSED.match(message)
    if found is None:
        return ()
    named = found["tool"] or found["form"]
    return tuple(place for place in places if named in (None, place))


def corrected(row: ModelRow, message: str) -> ModelRow | None:
    """The row, corrected by upstream's message, or None if the message teaches nothing new."""
    for pattern, correct in _LESSONS:
        if (found := pattern.match(message)) is not None:
            better = correct(row, found)
            return better if better != row else None
    return None
