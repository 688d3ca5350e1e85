"""Reads the settings of a Responses request: all fields but the conversation and the tools."""

from operator import attrgetter
from typing import Final

from msgspec import Raw

from translators.errors import TranslationError
from translators.intent import AnswerFormat, CacheWish, Intent, ReasoningWish
from translators.reading import is_null, missing_parameter
from translators.wire.raw import NULL
from translators.wire.responses import ReasoningOptions, ResponsesBody, TextFormat

ENCRYPTED_REASONING: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
_INCLUDABLE: Final = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    ENCRYPTED_REASONING,
    _LOGPROBS,
)
NO_WISHES: Final = frozenset[str]()
_SERVICE_TIERS: Final = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
_FORMATS: Final = ("text", "json_object", "json_schema")
_TRUNCATIONS: Final = ("auto", "disabled")
_COMPACTION: Final = "compaction"
# The place of the schema of the answer.
_SCHEMA: Final = "text.format.schema"
# Fields that Messages does not have, with the values (JSON) that ask for nothing.
_WITHOUT_COUNTERPART: Final[dict[str, tuple[bytes, ...]]] = {
    "top_logprobs": (b"0",),
    "moderation": (),
    "image": (b"{}", b'{"context_compression":"auto"}', b'{"context_compression":"disabled"}'),
    "access_programs": (b"{}", b'{"cyber":"standard"}'),
}
# The fields that most requests do not have, and their values there.
_RARE: Final = (
    *("text", "reasoning", "include", "service_tier", "safety_identifier", "user", "truncation", "max_tool_calls"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "context_management", "background_options"),
)
_rare_values: Final = attrgetter(*_WITHOUT_COUNTERPART, *_RARE)
_NO_RARE_VALUES: Final = (*[NULL] * len(_WITHOUT_COUNTERPART), *[None] * len(_RARE))
# The caller's names for the intent's fields, where they differ.
FIELD_NAMES: Final = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "format": "text.format",
    "reasoning": "reasoning.effort",
    "verbosity": "text.verbosity",
    "parallel_calls": "parallel_tool_calls",
}


def has_rare(body: ResponsesBody) -> bool:
    """Whether a request has any of the fields that most do not have."""
    return bool(_rare_values(body) != _NO_RARE_VALUES)


def read_include(body: ResponsesBody) -> frozenset[str]:
    """What the answer is to include. Unknown values are refused, as OpenAI does."""
    for index, wanted in enumerate(body.include or ()):
        if wanted not in _INCLUDABLE:
            raise _not_one_of(wanted, _INCLUDABLE, f"include[{index}]")
    return frozenset(body.include or ())


def read_format(given: TextFormat | None) -> AnswerFormat | None:
    """The format of the answer; None for text."""
    if given is None or given.type == "text":
        return None
    if given.type not in _FORMATS:
        raise _not_one_of(given.type, _FORMATS, "text.format.type")
    if given.type != "json_schema":
        return AnswerFormat(given.type, path=_SCHEMA)
    if is_null(given.schema):
        raise missing_parameter(_SCHEMA)
    return AnswerFormat(given.type, given.name or "", given.schema, given.strict, given.description, _SCHEMA)


def read_reasoning(options: ReasoningOptions | None) -> ReasoningWish | None:
    """How much to think, and whether to show it: only to callers that ask for a summary."""
    if options is None:
        return None
    told = options.summary or options.generate_summary
    if options.effort is None and not told:
        return None
    field = "reasoning.summary" if options.effort is None else FIELD_NAMES["reasoning"]
    return ReasoningWish(field, options.effort, display="summarized" if told else "omitted")


def add_user(intent: Intent, body: ResponsesBody) -> None:
    """Set the user to the first of the two fields that is not blank."""
    for name, user in (("safety_identifier", body.safety_identifier), ("user", body.user)):
        if user and user.strip():
            intent.user, intent.field_names = user, {**intent.field_names, "user": name}
            return
        if user:
            intent.blank = (*intent.blank, name)


def read_cache(body: ResponsesBody) -> CacheWish | None:
    """What is to be cached, and for how long."""
    options, retention = body.prompt_cache_options, body.prompt_cache_retention
    if options is None and retention is None and body.prompt_cache_key is None:
        return None
    if options is None:
        return CacheWish(body.prompt_cache_key, None, retention)
    # Options without a mode ask for a cache mark as well.
    return CacheWish(body.prompt_cache_key, options.mode or "implicit", options.ttl or retention)


def read_service_tier(body: ResponsesBody) -> str | None:
    """The tier, by a name that the writer knows."""
    tier = body.service_tier
    if tier is not None and tier not in _SERVICE_TIERS:
        raise _not_one_of(tier, _SERVICE_TIERS, "service_tier")
    return "fast" if tier == "ultrafast" else tier


def read_compaction(body: ResponsesBody) -> int | None:
    """From how many tokens on the context is to be compacted: 0 leaves it to the gateway, None is never."""
    if not body.context_management:
        return None
    rules = [rule for rule in body.context_management if rule.type == _COMPACTION]
    if not rules:
        return None
    threshold = rules[-1].compact_threshold or 0
    if threshold < 0:
        path = "context_management.compact_threshold"
        message = f"Invalid '{path}': integer below minimum value. Expected a value >= 1, but got {threshold} instead."
        raise TranslationError(message, param=path, code="integer_below_min_value")
    return threshold


def lost_settings(body: ResponsesBody) -> list[str]:
    """The names of fields that ask for something that Messages does not have."""
    lost = []
    for name, neutral in _WITHOUT_COUNTERPART.items():
        value: Raw = getattr(body, name)
        if not is_null(value) and b"".join(bytes(value).split()) not in neutral:
            lost.append(name)
    if body.truncation is not None and body.truncation not in _TRUNCATIONS:
        raise _not_one_of(body.truncation, _TRUNCATIONS, "truncation")
    reasoning, cache = body.reasoning or ReasoningOptions(), body.prompt_cache_options
    window = body.background_options.completion_window if body.background_options else None
    asked = {
        "truncation": body.truncation == "auto",
        "max_tool_calls": body.max_tool_calls is not None,
        f"include.{_LOGPROBS}": _LOGPROBS in (body.include or ()),
        "reasoning.context": reasoning.context not in (None, "auto"),
        "reasoning.mode": reasoning.mode not in (None, "standard"),
        "prompt_cache_options.prewarm": cache is not None and bool(cache.prewarm),
        "prompt_cache_options.comparison_response_id": cache is not None and bool(cache.comparison_response_id),
        "background_options.completion_window": window is not None and window != "soonest",
        "context_management": any(rule.type != _COMPACTION for rule in body.context_management or ()),
    }
    return lost + [name for name, is_asked in asked.items() if is_asked]


def _not_one_of(value: str, known: tuple[str, ...], path: str) -> TranslationError:
    values = ", ".join(f"'{item}'" for item in known)
    return TranslationError(
        f"Invalid value: '{value}'. Supported values are: {values}.", param=path, code="invalid_value"
    )
