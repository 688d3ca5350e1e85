"""Converts Anthropic's rate limit headers to OpenAI's (section 1.4 of the OpenAI reference)."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

from translators.moments import http_moment, iso_moment

_PREFIX: Final = "anthropic-ratelimit-"
_LONGEST_MOMENTS: Final = 200
# The header names on both sides, computed once: for the counts and the reset of each kind.
_NAMES: Final = [
    (
        [(f"{_PREFIX}{kind}-{what}", f"x-ratelimit-{what}-{kind}") for what in ("limit", "remaining")],
        (f"{_PREFIX}{kind}-reset", f"x-ratelimit-reset-{kind}"),
    )
    for kind in ("requests", "tokens")
]


def openai_rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """The `x-ratelimit-*` headers for an answer's headers (lower-case names); missing values are left out."""
    limits: dict[str, str] = {}
    for counts, (reset_name, our_reset) in _NAMES:
        for name, ours in counts:
            if (count := headers.get(name)) is not None and count.isdecimal():
                limits[ours] = count
        if (reset := headers.get(reset_name)) is not None:
            sent_at = headers.get("date", "")
            # A longer text is not a time, and would be cached.
            is_short = len(reset) + len(sent_at) <= _LONGEST_MOMENTS
            duration = _duration_until(reset, sent_at) if is_short else None
            if duration is not None:
                limits[our_reset] = duration
    return limits


def go_duration(seconds: float) -> str:
    """Seconds in Go's format, which OpenAI uses: `12ms`, `1.5s`, `6m0s`, `1h2m3s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest / 1000:g}s"
    if minutes or hours:
        shown = f"{minutes}m{shown}"
    return f"{hours}h{shown}" if hours else shown


# Consecutive answers often have the same values, and parsing takes longer than everything else here.
@lru_cache(maxsize=64)
def _duration_until(reset: str, sent_at: str) -> str | None:
    """By upstream's own clock: its answer says when it was sent."""
    try:
        seconds = (iso_moment(reset) - _http_date(sent_at)).total_seconds()
    except ValueError:
        return None
    return go_duration(max(0.0, seconds))


@lru_cache(maxsize=64)
def _http_date(text: str) -> datetime:
    return http_moment(text)
