"""The small fields of a request that have a counterpart, and those that have none."""

import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Final, TypeVar

from translators.adjustments import Adjustments
from translators.answers.stops import blank_stops
from translators.errors import TranslationError
from translators.hosts import HostProfile
from translators.intent import Intent
from translators.limits import MAX_STOPS, MAX_USER, check_length, check_text
from translators.messages.reasoning import Reasoning
from translators.models import METADATA, SERVICE_TIER, STOPS, ModelRow
from translators.reading import decode, is_null
from translators.wire.raw import INTEGER_DECODER

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


def token_limit(intent: Intent, row: ModelRow, bound: int | None, adjustments: Adjustments) -> tuple[int, bool]:
    """`max_tokens`, and whether it is the caller's own; 0 counts as absent, and what is absent is the maximum."""
    limit = intent.max_tokens
    if not limit:
        return min(row.max_output, bound or row.max_output), False
    name = intent.name_of("max_tokens")
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
    intent: Intent, row: ModelRow, host: HostProfile, reasoning: Reasoning, adjustments: Adjustments
) -> dict[str, object]:
    """Temperature or top_p (one of the two) and top_k, where the model honours them; neutral values are left out."""
    if intent.temperature is None and intent.top_p is None and is_null(intent.top_k):
        return {}
    wanted: dict[str, object] = {
        name: value
        for name, value, highest in (("temperature", intent.temperature, 2), ("top_p", intent.top_p, 1))
        if value is not None and _in_range(name, value, highest) != 1
    }
    if not is_null(intent.top_k):
        wanted["top_k"] = decode(INTEGER_DECODER, intent.top_k, "top_k")
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


# Fields that the model may refuse, and those of an intent.
_REFUSABLE: Final = {STOPS: "stops", METADATA: "user", SERVICE_TIER: "service_tier"}


def add_settings(
    fields: dict[str, object], intent: Intent, adjustments: Adjustments, refused: Collection[str] = ()
) -> None:
    """Add stop sequences, the user's id and the service tier; `refused` are fields that the model does not take."""
    if stops := intent.stops:
        check_length(stops, MAX_STOPS, intent.name_of("stops"))
        if kept := [stop for stop in stops if stop.strip()]:
            fields["stop_sequences"] = kept
        blank = {stop for stop in stops if not stop.strip()}
        if len(own_stops(intent)) < len(blank):
            adjustments.add(intent.name_of("stops"), "dropped", "blank" if "" in blank else "limit")
    for name in intent.blank:
        adjustments.add(name, "dropped", "blank")
    if intent.user is not None:
        check_text(intent.user, MAX_USER, intent.name_of("user"))
        fields["metadata"] = {"user_id": _user_id(intent.user)}
    if intent.service_tier is not None:
        fields["service_tier"] = _looked_up(_SERVICE_TIERS, intent.service_tier, intent.name_of("service_tier"))
    if refused:
        for name, field in _REFUSABLE.items():
            if name in fields and name in refused:
                del fields[name]
                adjustments.add(intent.name_of(field), "dropped", "model")


def own_stops(intent: Intent) -> tuple[str, ...]:
    """The stop sequences that Messages refuses, since they are white space only; the gateway looks for them itself."""
    return blank_stops(intent.stops) if intent.stops else ()


def verbosity_words(intent: Intent) -> str | None:
    """The sentence that stands for `verbosity`."""
    if intent.verbosity is None:
        return None
    return _looked_up(_VERBOSITY, intent.verbosity, intent.name_of("verbosity"))


def _shown(number: int) -> str:
    """A number as a header can carry it: one of hundreds of digits would leave no room for the other notes."""
    if abs(number) <= _LARGEST_SHOWN:
        return str(number)
    return f">{_LARGEST_SHOWN}" if number > 0 else f"<-{_LARGEST_SHOWN}"


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
