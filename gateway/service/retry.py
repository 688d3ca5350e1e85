"""Decides whether a failed attempt is followed by another; pure functions."""

from dataclasses import dataclass
from typing import Final

from translators.errors import Blame, Failure

# Doubled with each attempt: upstream failures pass within seconds or not at all.
FIRST_DELAY_SECONDS: Final = 0.25
# The blamed key is not asked again for this request; another one may be asked at once.
_KEY_BLAMES: Final = frozenset({Blame.KEY, Blame.KEY_LIMIT, Blame.KEY_AND_MODEL, Blame.WORKSPACE, Blame.ORGANIZATION})
# A refused key is taken out, and the number of keys is bounded: trying the next one counts neither as an attempt nor
# against the retry budget.
_REFUSALS: Final = _KEY_BLAMES - {Blame.KEY_LIMIT}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The maximum number of attempts; none begins later than `deadline_seconds` after the request arrived."""

    max_attempts: int = 3
    deadline_seconds: float = 600.0


def blames_key(failure: Failure) -> bool:
    """Whether the failed key must not be used again for this request."""
    return failure.rule.blame in _KEY_BLAMES or failure.rule.one_other


def is_refusal(failure: Failure) -> bool:
    """Whether a key was refused, so that the request has to use another one regardless of other rules."""
    return failure.rule.blame in _REFUSALS or failure.rule.one_other


def delay_before_retry(
    failure: Failure, *, attempt: int, elapsed_seconds: float, policy: RetryPolicy, jitter: float
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up; `attempt` counts from 1, `jitter` is in 0..1."""
    if not failure.rule.retry or attempt >= policy.max_attempts:
        return None
    delay = 0.0
    if not blames_key(failure):
        # Without jitter, callers that failed together would retry together.
        delay = FIRST_DELAY_SECONDS * 2 ** (attempt - 1) * (0.5 + jitter / 2)
    return delay if elapsed_seconds + delay < policy.deadline_seconds else None
