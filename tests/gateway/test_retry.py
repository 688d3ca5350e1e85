"""Whether a failed attempt is followed by another."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.service.retry import FIRST_DELAY_SECONDS, RetryPolicy, blames_key, delay_before_retry
from translators.errors import RULES, ErrorKind, Failure

POLICY = RetryPolicy(max_attempts=3, deadline_seconds=600.0)
# Section 6 of the translation decisions.
ANOTHER_KEY_AT_ONCE = {
    ErrorKind.RATE_LIMITED,
    ErrorKind.RAMPED_TOO_FAST,
    ErrorKind.SPEND_LIMIT,
    ErrorKind.KEY_REJECTED,
    ErrorKind.MODEL_REFUSED,
    ErrorKind.WORKSPACE_LIMIT,
    ErrorKind.WORKSPACE_UNAVAILABLE,
    ErrorKind.NOT_PERMITTED,
    ErrorKind.NOT_FOUND,
    ErrorKind.LINKED_ACCOUNT,
}
AFTER_A_PAUSE = {
    ErrorKind.OVERLOADED,
    ErrorKind.COMPACTION_UNAVAILABLE,
    ErrorKind.UPSTREAM_REQUEST_TIMEOUT,
    ErrorKind.UPSTREAM_CONFLICT,
    ErrorKind.UPSTREAM_ERROR,
    ErrorKind.UPSTREAM_BAD_GATEWAY,
    ErrorKind.UPSTREAM_UNAVAILABLE,
    ErrorKind.UPSTREAM_TIMEOUT,
    ErrorKind.UNREACHABLE,
    ErrorKind.CUT_OFF,
    ErrorKind.PROTOCOL_ERROR,
}
NEVER = set(ErrorKind) - ANOTHER_KEY_AT_ONCE - AFTER_A_PAUSE


def delay(
    kind: ErrorKind, *, attempt: int = 1, elapsed: float = 0.0, jitter: float = 0.5, policy: RetryPolicy = POLICY
) -> float | None:
    failure = Failure(kind, "No.")
    return delay_before_retry(failure, attempt=attempt, elapsed_seconds=elapsed, policy=policy, jitter=jitter)


@pytest.mark.parametrize("kind", sorted(ANOTHER_KEY_AT_ONCE, key=str), ids=str)
def test_where_the_key_is_to_blame_another_one_is_tried_at_once(kind: ErrorKind) -> None:
    assert blames_key(Failure(kind, "No."))
    assert delay(kind) == 0.0


@pytest.mark.parametrize("kind", sorted(AFTER_A_PAUSE, key=str), ids=str)
def test_where_upstream_is_in_trouble_it_is_given_a_moment(kind: ErrorKind) -> None:
    assert not blames_key(Failure(kind, "No."))
    waited = delay(kind)
    assert waited is not None
    assert waited > 0


@pytest.mark.parametrize("kind", sorted(NEVER, key=str), ids=str)
def test_what_will_not_change_is_not_tried_again(kind: ErrorKind) -> None:
    assert delay(kind) is None
    assert not blames_key(Failure(kind, "No."))


@pytest.mark.parametrize("kind", sorted(AFTER_A_PAUSE, key=str), ids=str)
def test_the_last_attempt_is_the_last(kind: ErrorKind) -> None:
    assert delay(kind, attempt=2) is not None
    assert delay(kind, attempt=3) is None
    assert delay(kind, attempt=1, policy=RetryPolicy(max_attempts=1)) is None


def test_pauses_double() -> None:
    policy = RetryPolicy(max_attempts=9)
    pauses = [delay(ErrorKind.OVERLOADED, attempt=attempt, jitter=1.0, policy=policy) for attempt in (1, 2, 3, 4)]

    assert pauses == [FIRST_DELAY_SECONDS * factor for factor in (1, 2, 4, 8)]


@given(jitter=st.floats(0, 1), attempt=st.integers(1, 5))
def test_jitter_takes_away_half_a_pause_at_most(jitter: float, attempt: int) -> None:
    policy = RetryPolicy(max_attempts=9)
    full = delay(ErrorKind.OVERLOADED, attempt=attempt, jitter=1.0, policy=policy)
    actual = delay(ErrorKind.OVERLOADED, attempt=attempt, jitter=jitter, policy=policy)

    assert full is not None
    assert actual is not None
    assert full / 2 <= actual <= full


@given(elapsed=st.floats(0, 2000), kind=st.sampled_from(list(ErrorKind)))
def test_no_attempt_begins_after_the_deadline(elapsed: float, kind: ErrorKind) -> None:
    pause = delay(kind, elapsed=elapsed)

    assert pause is None or elapsed + pause < POLICY.deadline_seconds


def test_every_kind_of_error_has_its_rule() -> None:
    assert set(RULES) == set(ErrorKind)
