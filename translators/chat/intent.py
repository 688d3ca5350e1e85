"""What a chat-completions request asks for, as an intent: each field's counterpart."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Final

from msgspec import Raw

from translators.intent import AnswerFormat, CacheWish, Intent, ReasoningWish
from translators.lost import WITHOUT_COUNTERPART, is_lost
from translators.reading import is_null
from translators.wire.chat import ChatRequest, PromptCacheOptions, ReasoningOptions, ResponseFormat
from translators.wire.raw import NULL

# Fields of Messages itself, by `extra_body`.
NATIVE: Final = (
    "thinking",
    "output_config",
    "container",
    "context_management",
    "mcp_servers",
    "speed",
    "inference_geo",
    "fallbacks",
)
# What nearly no request has.
_rare_values: Final = attrgetter(*NATIVE, *WITHOUT_COUNTERPART)
_NO_RARE_VALUES: Final = (NULL,) * (len(NATIVE) + len(WITHOUT_COUNTERPART))
_NO_FIELDS: Final[Mapping[str, Raw]] = {}
# The caller's names of fields; most limits come as the newer of their two fields.
_NAMES: Final = {
    "stops": "stop",
    "format": "response_format",
    "parallel_calls": "parallel_tool_calls",
    "web_search": "web_search_options",
}
_LIMIT: Final = "max_completion_tokens"
_NAMES_WITH_LIMIT: Final = {**_NAMES, "max_tokens": _LIMIT}
_USERS: Final = ("safety_identifier", "user")
_FORM: Final = "response_format.json_schema"


def intent_of(request: ChatRequest, unknown_fields: int = 0) -> Intent:
    """The intent of a request, whose system prompt and Anthropic's shapes inside contents are not looked at."""
    has_limit = bool(request.max_completion_tokens)
    intent = Intent(
        request.messages,
        streams=bool(request.stream),
        max_tokens=request.max_completion_tokens if has_limit else request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        tools=request.tools,
        functions=request.functions,
        web_search=request.web_search_options,
        # Functions of 2023 have a choice of their own, unless there are tools beside them.
        tool_choice=request.function_call if request.functions and not request.tools else request.tool_choice,
        parallel_calls=request.parallel_tool_calls,
        verbosity=request.verbosity,
        service_tier=request.service_tier,
        unknown_fields=unknown_fields,
        field_names=_NAMES_WITH_LIMIT if has_limit else _NAMES,
    )
    if request.stop is not None or request.stop_sequences is not None:
        intent.stops = _stops(request)
    if request.response_format is not None:
        intent.format = _format(request.response_format)
    if request.user or request.safety_identifier:
        _add_user(intent, request)
    values: tuple[Raw, ...] = _rare_values(request)
    if values != _NO_RARE_VALUES:
        _add_rare(intent, values)
    options, effort, shows = request.reasoning, request.reasoning_effort, request.include_reasoning
    if options is not None or effort is not None or shows is not None:
        _add_reasoning(intent, options, effort, shows)
    asked, lifetime, key = request.prompt_cache_options, request.prompt_cache_retention, request.prompt_cache_key
    if asked is not None or lifetime is not None or key is not None or request.cache_control is not NULL:
        intent.cache = _cache(asked, lifetime, key, request.cache_control)
    return intent


def _stops(request: ChatRequest) -> Sequence[str]:
    stop, own = request.stop, request.stop_sequences
    stops = [stop] if isinstance(stop, str) else stop or []
    if own is None:
        return stops if stop else ()
    return [*stops, *own]


def _format(form: ResponseFormat) -> AnswerFormat:
    if (inner := form.json_schema) is None:
        return AnswerFormat(form.type, path=_FORM)
    return AnswerFormat(form.type, inner.name, inner.schema, inner.strict, inner.description)


def _add_user(intent: Intent, request: ChatRequest) -> None:
    """Add the first of the two fields that names somebody; white space names nobody."""
    for name in _USERS:
        user: str | None = getattr(request, name)
        if user and user.strip():
            intent.user, intent.field_names = user, {**intent.field_names, "user": name}
            return
        if user:
            intent.blank = (*intent.blank, name)


def _add_rare(intent: Intent, values: Sequence[Raw]) -> None:
    native = {name: value for name, value in zip(NATIVE, values, strict=False) if not is_null(value)}
    intent.native = native or _NO_FIELDS
    intent.lost = [
        name for name, value in zip(WITHOUT_COUNTERPART, values[len(NATIVE) :], strict=True) if is_lost(name, value)
    ]


def _add_reasoning(intent: Intent, options: ReasoningOptions | None, effort: str | None, shows: bool | None) -> None:
    """Anthropic's own field wins over OpenAI's, which wins over OpenRouter's."""
    intent.shows_reasoning_twice = options is not None or shows is not None
    intent.hides_reasoning = shows is False
    if effort is not None or "thinking" in intent.native:
        compared = None if "thinking" in intent.native else effort
        overruled = () if options is None else _overruled(options, compared)
        if effort is not None or overruled:
            intent.reasoning = ReasoningWish("reasoning_effort", effort, overruled=overruled)
    elif options is not None and (options.enabled or options.effort or options.max_tokens):
        intent.hides_reasoning = bool(options.exclude)
        intent.reasoning = ReasoningWish("reasoning", options.effort or None, options.max_tokens)
    elif options is not None and options.enabled is False:
        intent.reasoning = ReasoningWish("reasoning", "none")
    elif shows:
        # OpenRouter's field asks for nothing by itself.
        intent.reasoning = ReasoningWish("include_reasoning")


def _overruled(options: ReasoningOptions, effort: str | None) -> tuple[str, ...]:
    """The amounts of OpenRouter's field that another field overrules; `effort` is the one that both may say."""
    tokens = ("reasoning.max_tokens",) if options.max_tokens else ()
    return (*tokens, "reasoning.effort") if options.effort and options.effort != effort else tokens


def _cache(asked: PromptCacheOptions | None, lifetime: str | None, key: str | None, mark: Raw) -> CacheWish:
    if asked is None:
        return CacheWish(key, None, lifetime, mark)
    # Without a mode, too, options ask for a mark.
    return CacheWish(key, asked.mode or "implicit", asked.ttl, mark)
