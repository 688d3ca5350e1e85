"""Failures and late answers are reported when they last."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.alerts.alert import Alert
from gateway.alerts.health import HealthWatch
from gateway.config import AlertsConfig
from gateway.service.observers import Ended
from gateway.service.record import Progress, Record, record_of
from translators.errors import ErrorKind, Failure

ANSWERED = replace(record_of([Progress("claude-sonnet-5-5")]), stop_reason="end_turn", first_token_seconds=0.5)
CONFIG = AlertsConfig(error_percent=20, first_token_seconds=10, window_seconds=50, min_requests=20)


def failed(kind: ErrorKind, *, stop_reason: str | None = None) -> Record:
    progress = Progress("claude-sonnet-5-5", stop_reason=stop_reason)
    progress.note("key: one", Failure(kind, "no luck"))
    return record_of([progress])


OVERLOADED = failed(ErrorKind.OVERLOADED)
LATE = replace(ANSWERED, first_token_seconds=11.0)


def ended(record: Record, at: float) -> Ended:
    return Ended("req", "/v1/chat/completions", "shop", None, None, None, "gpt-5", False, at, 0.0, record)


def reported(*records: Record, slots: int = 6, config: AlertsConfig = CONFIG) -> list[Alert]:
    """What is reported if these requests are repeated in each slot of ten seconds."""
    alerts: list[Alert] = []
    watch = HealthWatch(config, alerts.append)
    for slot in range(slots):
        for record in records:
            watch.note(ended(record, 1000.0 + slot * 10))
    return alerts


def test_failures_that_last_for_a_window_are_reported() -> None:
    (alert,) = reported(*[ANSWERED] * 7, *[OVERLOADED] * 3)

    assert alert.kind == "errors"
    assert alert.text == "30 % of the requests of the last 50 s have failed"
    assert alert.data == {"percent": 30.0, "bound_percent": 20, "window_seconds": 50, "requests": 50}


@pytest.mark.parametrize("records", [[ANSWERED] * 8 + [OVERLOADED] * 2, [ANSWERED], [OVERLOADED] * 3])
def test_up_to_the_bound_or_with_few_requests_nothing_is_reported(records: Sequence[Record]) -> None:
    assert not reported(*records)


def test_what_has_just_begun_is_not_reported_yet() -> None:
    assert not reported(*[OVERLOADED] * 100, slots=5)


def test_a_pause_without_requests_begins_a_new_window() -> None:
    alerts: list[Alert] = []
    watch = HealthWatch(CONFIG, alerts.append)
    for at in (1000, 1010, 1020, 2000, 2010, 2020, 2030, 2040):
        for _ in range(20):
            watch.note(ended(OVERLOADED, float(at)))

    assert not alerts
    watch.note(ended(OVERLOADED, 2050.0))
    assert len(alerts) == 1


def test_while_it_lasts_it_has_the_same_name_until_its_time_is_over() -> None:
    alerts = reported(*[OVERLOADED] * 10, slots=20)

    assert len(alerts) == 15
    assert len({alert.name for alert in alerts}) == 1


def test_answers_that_begin_late_are_reported_from_the_95th_percentile_on() -> None:
    (alert,) = reported(*[ANSWERED] * 18, LATE, LATE)

    assert alert.kind == "latency"
    assert alert.text == "10 of 100 answers of the last 50 s began after more than 10 s"
    assert not reported(*[ANSWERED] * 19, LATE)


@pytest.mark.parametrize(
    ("record", "counts"),
    [
        (failed(ErrorKind.OVERLOADED), True),
        (failed(ErrorKind.CUT_OFF), True),
        (failed(ErrorKind.RATE_LIMITED), True),
        (failed(ErrorKind.KEY_REJECTED), True),
        (failed(ErrorKind.INVALID_REQUEST), False),
        (failed(ErrorKind.CONTEXT_TOO_LONG), False),
        (failed(ErrorKind.OVERLOADED, stop_reason="end_turn"), False),
        (replace(ANSWERED, stop_reason=None), False),
    ],
    ids=str,
)
def test_a_failure_counts_if_neither_caller_nor_departure_made_it_and_no_other_key_answered(
    record: Record, counts: bool
) -> None:
    assert bool(reported(*[record] * 10)) is counts


def test_what_is_not_configured_is_not_reported() -> None:
    assert not reported(*[OVERLOADED] * 10, *[LATE] * 10, config=AlertsConfig(window_seconds=50))
