"""Anthropic's token buckets: what an organization may ask of one class of models (section 1.5 of the reference)."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

# A limit is checked over its last minute; some are said to be enforced over less.
BURST_SECONDS: Final = 60.0
_PREFIX: Final = "anthropic-ratelimit-"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one organization may use of one class of models in a minute."""

    requests: float
    input_tokens: float
    output_tokens: float

    def times(self, factor: float) -> "Limits":
        """The same, so many times as much."""
        return Limits(self.requests * factor, self.input_tokens * factor, self.output_tokens * factor)


@dataclass(slots=True)
class Bucket:
    """Refills steadily up to its capacity; drains as steadily while answers are produced, below zero if need be."""

    per_minute: float
    capacity: float
    level: float
    settled_at: float = 0.0
    drain_per_second: float = 0.0

    @classmethod
    def holding(cls, per_minute: float, burst_seconds: float = BURST_SECONDS, fill: float = 1.0) -> "Bucket":
        """A bucket that holds so many seconds' worth of its limit, filled to a share of that."""
        capacity = per_minute * burst_seconds / 60
        return cls(per_minute, capacity, capacity * fill)

    def settle(self, now: float) -> float:
        """What is in it now."""
        flow = self.per_minute / 60 - self.drain_per_second
        self.level = min(self.capacity, self.level + (now - self.settled_at) * flow)
        self.settled_at = now
        return self.level

    def take(self, amount: float, now: float) -> None:
        """Take out so much at once, whether or not it is there."""
        self.level = self.settle(now) - amount

    def drain(self, per_second: float, now: float) -> None:
        """From now on so much more runs out in a second; less, where negative."""
        self.settle(now)
        # Thousands of additions and subtractions must not leave a trickle behind.
        self.drain_per_second = max(0.0, round(self.drain_per_second + per_second, 6))

    def seconds_until(self, amount: float, now: float) -> float:
        """When so much will be there, as its limit refills it; never, for more than it can hold."""
        missing = amount - self.settle(now)
        if missing <= 0:
            return 0.0
        return missing * 60 / self.per_minute if amount <= self.capacity else math.inf

    def full_in(self, now: float) -> float:
        """Seconds until it is full again, were nothing more taken out."""
        return (self.capacity - self.settle(now)) * 60 / self.per_minute


class Meter:
    """The three buckets of an organization for one class of models, and what they say in headers.

    A request costs one request and its uncached input when it is let in; output costs as it is produced.
    `max_tokens` costs nothing, and neither do reads from the cache.
    """

    def __init__(self, limits: Limits, burst_seconds: float = BURST_SECONDS, fill: float = 1.0) -> None:
        self.requests = Bucket.holding(limits.requests, burst_seconds, fill)
        self.input_tokens = Bucket.holding(limits.input_tokens, burst_seconds, fill)
        self.output_tokens = Bucket.holding(limits.output_tokens, burst_seconds, fill)

    def seconds_until_room(self, input_tokens: int, now: float) -> float:
        """How long a request with so much uncached input has to wait; 0 when it may come in."""
        return max(
            self.requests.seconds_until(1, now),
            self.input_tokens.seconds_until(input_tokens, now),
            # How long the answer will be is not known yet: some room is enough.
            self.output_tokens.seconds_until(1, now),
        )

    def share_left(self, now: float) -> float:
        """How full its emptiest bucket is."""
        buckets = (self.requests, self.input_tokens, self.output_tokens)
        return min(bucket.settle(now) / bucket.capacity for bucket in buckets)

    def charge(self, input_tokens: int, now: float) -> None:
        """Let a request in."""
        self.requests.take(1, now)
        self.input_tokens.take(input_tokens, now)

    def headers(self, now: float, wall_clock: float) -> dict[str, str]:
        """What the answer to a request says of the buckets; `wall_clock` is what `now` is called outside."""
        input_tokens, output_tokens = self.input_tokens, self.output_tokens
        both = sum(_thousands(bucket, now) for bucket in (input_tokens, output_tokens))
        full_in = {
            "requests": self.requests.full_in(now),
            "input-tokens": input_tokens.full_in(now),
            "output-tokens": output_tokens.full_in(now),
        }
        return {
            f"{_PREFIX}requests-limit": str(int(self.requests.per_minute)),
            f"{_PREFIX}requests-remaining": str(max(0, int(self.requests.level))),
            f"{_PREFIX}requests-reset": _rfc3339(wall_clock + full_in["requests"]),
            f"{_PREFIX}tokens-limit": str(int(input_tokens.per_minute + output_tokens.per_minute)),
            f"{_PREFIX}tokens-remaining": str(both),
            f"{_PREFIX}tokens-reset": _rfc3339(wall_clock + max(full_in["input-tokens"], full_in["output-tokens"])),
            f"{_PREFIX}input-tokens-limit": str(int(input_tokens.per_minute)),
            f"{_PREFIX}input-tokens-remaining": str(_thousands(input_tokens, now)),
            f"{_PREFIX}input-tokens-reset": _rfc3339(wall_clock + full_in["input-tokens"]),
            f"{_PREFIX}output-tokens-limit": str(int(output_tokens.per_minute)),
            f"{_PREFIX}output-tokens-remaining": str(_thousands(output_tokens, now)),
            f"{_PREFIX}output-tokens-reset": _rfc3339(wall_clock + full_in["output-tokens"]),
        }


@lru_cache(maxsize=1024)
def http_date(wall_clock: int) -> str:
    """A moment as the header `date` has it."""
    return format_datetime(datetime.fromtimestamp(wall_clock, UTC), usegmt=True)


def _thousands(bucket: Bucket, now: float) -> int:
    """What is left, as upstream tells it: rounded to the nearest thousand."""
    return max(0, round(bucket.settle(now) / 1000) * 1000)


def _rfc3339(wall_clock: float) -> str:
    return _whole_second(math.ceil(wall_clock))


@lru_cache(maxsize=4096)
def _whole_second(wall_clock: int) -> str:
    return datetime.fromtimestamp(wall_clock, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
