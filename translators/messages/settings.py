"""The small fields of a request that have a counterpart, and those that have none."""

import hashlib
import re
from collections.abc import Collection, Mapping
from operator import attrgetter
from typing import Final, TypeVar

from translators.adjustments import Adjustments
from translators.answers.stops import blank_stops
from translators.errors import TranslationError
from translators.hosts import HostProfile
from translators.limits import MAX_STOPS, MAX_USER, check_length, check_text
from translators.messages.reasoning import Reasoning
from translators.models import METADATA, SERVICE_TIER, STOPS, ModelRow
from translators.reading import decode, is_null
from translators.wire.chat import ChatRequest
from translators.wire.raw import INTEGER_DECODER, NULL

T = TypeVar("T")

# Section 17 of the Messages reference: longer ids are refused.
_MAX_USER_ID: Final = 256
# Messages forbids personal data in `metadata.user_id`. A phone number shows by its plus or by what stands between its
# digits; digits alone are what databases number their rows with.
_PHONE_NUMBER: Final = re.compile(r"(?=.*[+\s().-])\s*\+?[\s().-]*(?:\d[\s().-]*){7,15}", re.DOTALL)
_LARGEST_SHOWN: Final = 10**12
_SERVICE_TIERS: Final = {
    "auto": "auto",
    "priority": "auto",
    "fast": "auto",
    "scale": "auto",
    "default": "standard_only",
    "flex": "standard_only",
    # Anthropic's own word.
    "standard_only": "standard_only",
}
_VERBOSITY: Final = {
    "low": "Keep your answers short and to the point.",
    "medium": None,
    "high": "Give thorough, detailed answers.",
}
# Fields without a counterpart, and the values (as JSON) that ask for nothing.
WITHOUT_COUNTERPART: Final[dict[str, tuple[bytes, ...]]] = {
    "seed": (),
    "logit_bias": (b"{}",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "prediction": (),
    "store": (b"false",),
    "moderation": (),
    "best_of": (b"0", b"1"),
    "models": (b"[]",),
    "provider": (b"{}",),
    "route": (),
    "transforms": (b"[]",),
}
_values_without_counterpart: Final = attrgetter(*WITHOUT_COUNTERPART)
_NOTHING_TO_DROP: Final = (NULL,) * len(WITHOUT_COUNTERPART)


def token_limit(request: ChatRequest, row: ModelRow, bound: int | None, adjustments: Adjustments) -> tuple[int, bool]:
    """`max_tokens`, and whether it is the caller's own; 0 counts as absent, and what is absent is the maximum."""
    name = "max_completion_tokens" if request.max_completion_tokens else "max_tokens"
    limit = request.max_completion_tokens or request.max_tokens
    if not limit:
        return min(row.max_output, bound or row.max_output), False
    if limit < 0:
        raise TranslationError(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {_shown(limit)} instead.",
            param=name,
            code="integer_below_min_value",
        )
    if limit > row.max_output:
        adjustments.add(name, f"{_shown(limit)}->{row.max_output}", "model")
        limit = row.max_output
    return limit, True


def sampling(
    request: ChatRequest, row: ModelRow, host: HostProfile, reasoning: Reasoning, adjustments: Adjustments
) -> dict[str, object]:
    """Temperature or top_p (one of the two) and top_k, where the model honours them; neutral values are left out."""
    if request.temperature is None and request.top_p is None and is_null(request.top_k):
        return {}
    wanted: dict[str, object] = {
        name: value
        for name, value, highest in (("temperature", request.temperature, 2), ("top_p", request.top_p, 1))
        if value is not None and _in_range(name, value, highest) != 1
    }
    if not is_null(request.top_k):
        wanted["top_k"] = decode(INTEGER_DECODER, request.top_k, "top_k")
    for name, number in list(wanted.items()):
        reason = _obstacle(row, host, reasoning)
        if reason is not None:
            adjustments.add(name, "dropped", reason)
            del wanted[name]
        elif name == "temperature" and isinstance(number, float) and number > 1:
            # Claude's range ends at 1, which is the default: nothing is left to send.
            adjustments.add(name, f"{number:g}->1", "range")
            del wanted[name]
    if "temperature" in wanted and "top_p" in wanted:
        adjustments.add("top_p", "dropped", "temperature")
        del wanted["top_p"]
    return wanted


def _obstacle(row: ModelRow, host: HostProfile, reasoning: Reasoning) -> str | None:
    if row.sampling == "none":
        return "model"
    if host.sampling_version is None:
        return "host"
    return "thinking" if reasoning.is_thinking else None


def _in_range(name: str, value: float, highest: int) -> float:
    if 0 <= value <= highest:
        return value
    side = "below_min" if value < 0 else "above_max"
    raise TranslationError(
        f"Invalid '{name}': expected a value from 0 to {highest}, but got {value:g} instead.",
        param=name,
        code=f"decimal_{side}_value",
    )


# What the caller calls a field that the model may refuse.
_CALLERS_NAMES: Final = {STOPS: "stop", METADATA: "user", SERVICE_TIER: "service_tier"}


def add_settings(
    fields: dict[str, object], request: ChatRequest, adjustments: Adjustments, refused: Collection[str] = ()
) -> None:
    """Add stop sequences, the user's id and the service tier; `refused` are fields that the model does not take."""
    if request.stop:
        stops = _stops(request)
        check_length(stops, MAX_STOPS, "stop")
        if kept := [stop for stop in stops if stop.strip()]:
            fields["stop_sequences"] = kept
        blank = {stop for stop in stops if not stop.strip()}
        if len(own_stops(request)) < len(blank):
            adjustments.add("stop", "dropped", "blank" if "" in blank else "limit")
    if (request.safety_identifier or request.user) and (user := _user(request, adjustments)) is not None:
        fields["metadata"] = {"user_id": _user_id(user)}
    if request.service_tier is not None:
        fields["service_tier"] = _looked_up(_SERVICE_TIERS, request.service_tier, "service_tier")
    if refused:
        for name, callers in _CALLERS_NAMES.items():
            if name in fields and name in refused:
                del fields[name]
                adjustments.add(callers, "dropped", "model")


def own_stops(request: ChatRequest) -> tuple[str, ...]:
    """The stop sequences that Messages refuses, since they are white space only; the gateway looks for them itself."""
    return blank_stops(_stops(request)) if request.stop else ()


def verbosity_words(request: ChatRequest) -> str | None:
    """The sentence that stands for `verbosity`."""
    if request.verbosity is None:
        return None
    return _looked_up(_VERBOSITY, request.verbosity, "verbosity")


def drop_without_counterpart(request: ChatRequest, adjustments: Adjustments) -> None:
    """Name what is lost, unless it asked for nothing."""
    values = _values_without_counterpart(request)
    if values == _NOTHING_TO_DROP:
        return
    for (name, neutral), value in zip(WITHOUT_COUNTERPART.items(), values, strict=True):
        if not is_null(value) and bytes(value) not in neutral:
            adjustments.add(name, "dropped", "unsupported")


def _stops(request: ChatRequest) -> list[str]:
    return [request.stop] if isinstance(request.stop, str) else request.stop or []


def _shown(number: int) -> str:
    """A number as a header can carry it: one of hundreds of digits would leave no room for the other notes."""
    if abs(number) <= _LARGEST_SHOWN:
        return str(number)
    return f">{_LARGEST_SHOWN}" if number > 0 else f"<-{_LARGEST_SHOWN}"


def _user(request: ChatRequest, adjustments: Adjustments) -> str | None:
    """The first of the two fields that names somebody; white space names nobody."""
    for name in ("safety_identifier", "user"):
        user: str | None = getattr(request, name)
        if user and user.strip():
            check_text(user, MAX_USER, name)
            return user
        if user:
            adjustments.add(name, "dropped", "blank")
    return None


def _user_id(user: str) -> str:
    """The user's id as it is, or its hash where it is too long or looks like personal data."""
    if len(user) <= _MAX_USER_ID and "@" not in user and not _PHONE_NUMBER.fullmatch(user.strip()):
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _looked_up(table: Mapping[str, T], value: str, path: str) -> T:
    if value in table:
        return table[value]
    values = ", ".join(f"'{item}'" for item in table)
    raise TranslationError(
        f"Invalid value: '{value}'. Supported values are: {values}.", param=path, code="invalid_value"
    )
