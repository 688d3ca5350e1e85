"""Watches what was spent of money rules: an alert for each configured part of an amount."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from gateway.alerts.alert import TOTAL, Alert
from gateway.ledger.money import dollars
from translators.moments import iso_text

_MOST_METERS: Final = 100_000
# Looking is spread out: requests go on between two portions.
_AT_ONCE: Final = 500


class Budget(Struct, frozen=True):
    """One money rule for one subject, in one window. `subject` names a key, a group or a hash; "" is everyone.

    The window ends at `ends_at`; None is never.
    """

    rule: str
    subject: str
    limit: int
    starts_at: float
    ends_at: float | None = None


class _Reached(Struct):
    budget: Budget
    next_at: int
    reported: float = 0.0


class MoneyWatch:
    """Reports each part of `percents` once a window, only the greatest that was reached.

    It looks now and then at what was spent, so that no request does anything for it.
    """

    def __init__(self, percents: Sequence[float], now: Callable[[], float], report: Callable[[Alert], None]) -> None:
        self._percents = sorted(set(percents))
        self._now = now
        self._report = report
        self._reached: OrderedDict[tuple[str, str], _Reached] = OrderedDict()

    async def look(self, budgets: Iterable[tuple[Budget, int]]) -> None:
        """Look at all budgets once, with what was spent of each in nano-dollars."""
        if not self._percents:
            return
        for number, (budget, spent) in enumerate(budgets):
            self(budget, spent)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    def __call__(self, budget: Budget, spent: int) -> None:
        """Take in that `spent` is all that was spent in the budget's window."""
        reached = self._reached.get((budget.rule, budget.subject))
        if reached is not None and spent < reached.next_at and reached.budget == budget:
            return
        self._look(budget, spent, reached)

    def _look(self, budget: Budget, spent: int, reached: _Reached | None) -> None:
        if reached is None or reached.budget != budget:
            reached = self._reached[budget.rule, budget.subject] = _Reached(budget, 0)
            self._reached.move_to_end((budget.rule, budget.subject))
            if len(self._reached) > _MOST_METERS:
                self._reached.popitem(last=False)
        passed = [percent for percent in self._percents if spent >= _part(budget.limit, percent)]
        if passed and passed[-1] > reached.reported:
            reached.reported = passed[-1]
            self._report(_alert(budget, spent, passed[-1], self._now()))
        left = self._percents[len(passed) :]
        reached.next_at = _part(budget.limit, left[0]) if left else spent + (1 << 62)


def _part(limit: int, percent: float) -> int:
    """The part of an amount, rounded up, so that it is not reported too early."""
    return -(-limit * round(percent * 1000) // 100_000)


def _alert(budget: Budget, spent: int, percent: float, now: float) -> Alert:
    window = iso_text(budget.starts_at) if budget.ends_at is not None else TOTAL
    ends_at = iso_text(budget.ends_at) if budget.ends_at is not None else None
    data = {
        "rule": budget.rule,
        "subject": budget.subject or None,
        "percent": percent,
        "spent_usd": dollars(spent),
        "limit_usd": dollars(budget.limit),
        "window_starts_at": iso_text(budget.starts_at) if budget.ends_at is not None else None,
        "window_ends_at": ends_at,
    }
    whose = f" for {budget.subject}" if budget.subject else ""
    until = f" until {ends_at}" if ends_at else ""
    text = f"{percent:g} % of {dollars(budget.limit)} USD are spent{whose} (rule {budget.rule}{until})"
    return Alert(f"money/{budget.rule}/{budget.subject}/{window}/{percent:g}", "money", now, text, data)
