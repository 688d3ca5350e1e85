"""Anthropic's rate limits in OpenAI's headers (section 1.4 of the OpenAI reference)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

_PREFIX: Final = "anthropic-ratelimit-"
_KINDS: Final = ("requests", "tokens")


def openai_rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """The `x-ratelimit-*` headers for an answer's (lower case names); what it does not say is left out."""
    limits: dict[str, str] = {}
    for kind in _KINDS:
        for what in ("limit", "remaining"):
            if (count := headers.get(f"{_PREFIX}{kind}-{what}", "")).isdecimal():
                limits[f"x-ratelimit-{what}-{kind}"] = count
        seconds = _seconds_until(headers.get(f"{_PREFIX}{kind}-reset"), headers.get("date"))
        if seconds is not None:
            limits[f"x-ratelimit-reset-{kind}"] = go_duration(seconds)
    return limits


def go_duration(seconds: float) -> str:
    """Seconds the way Go writes them, which is how OpenAI does: `12ms`, `1.5s`, `6m0s`, `1h2m3s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest / 1000:g}s"
    if minutes or hours:
        shown = f"{minutes}m{shown}"
    return f"{hours}h{shown}" if hours else shown


def _seconds_until(reset: str | None, sent_at: str | None) -> float | None:
    """By upstream's own clock: its answer says when it was sent."""
    try:
        return max(0.0, (_moment(reset or "") - _http_date(sent_at or "")).total_seconds())
    except ValueError:
        return None


# Both are the same for many answers in a row, and take longer to read than everything else here together.
@lru_cache(maxsize=64)
def _moment(text: str) -> datetime:
    return _aware(datetime.fromisoformat(text))


@lru_cache(maxsize=64)
def _http_date(text: str) -> datetime:
    return _aware(parsedate_to_datetime(text))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
