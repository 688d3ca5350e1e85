"""The budgets of the rules of this process, as their meters have them."""

import math
from collections.abc import Iterable, Iterator

from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.rule import Subject, What
from gateway.accounts.rules.windows import bounds
from gateway.alerts.money import Budget


def budgets_of(meters: Iterable[Meter], now: float) -> Iterator[tuple[Budget, int]]:
    """Each budget with what was spent of it in the current window; what running requests hold is not spent."""
    for meter in meters:
        measure = meter.measure
        if measure.what is not What.MONEY or not measure.is_calendar:
            continue
        starts_at, ends_at = bounds(measure.window, now)
        state = meter.state(now)
        end = None if math.isinf(ends_at) else ends_at
        yield Budget(measure.rule, _named(measure.subject), state.limit, starts_at, end), state.spent


def _named(subject: Subject) -> str:
    """A group, a key, or a key with the hash of an end user; empty for everyone."""
    whose = subject.caller or subject.group or ""
    return whose if subject.end_user is None else f"{whose}:{subject.end_user.hex()}"
