"""Anthropic's rate limits in OpenAI's headers (section 1.4 of the OpenAI reference)."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

from translators.moments import http_moment, iso_moment

_PREFIX: Final = "anthropic-ratelimit-"
_LONGEST_MOMENTS: Final = 200
# Names there and here, put together once: of the counts and of the reset of each kind.
_NAMES: Final = [
    (
        [(f"{_PREFIX}{kind}-{what}", f"x-ratelimit-{what}-{kind}") for what in ("limit", "remaining")],
        (f"{_PREFIX}{kind}-reset", f"x-ratelimit-reset-{kind}"),
    )
    for kind in ("requests", "tokens")
]


def openai_rate_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """The `x-ratelimit-*` headers for an answer's (lower case names); what it does not say is left out."""
    limits: dict[str, str] = {}
    for counts, (reset_name, our_reset) in _NAMES:
        for name, ours in counts:
            if (count := headers.get(name)) is not None and count.isdecimal():
                limits[ours] = count
        if (reset := headers.get(reset_name)) is not None:
            sent_at = headers.get("date", "")
            # What is longer is no moment, and would be remembered.
            is_short = len(reset) + len(sent_at) <= _LONGEST_MOMENTS
            duration = _duration_until(reset, sent_at) if is_short else None
            if duration is not None:
                limits[our_reset] = duration
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


# Both are the same for many answers in a row, and take longer to read than everything else here together.
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
