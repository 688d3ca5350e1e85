"""What is told of shadow rules: how often they would have refused requests."""

import logging
from collections.abc import Callable, Iterable

from gateway.accounts.rules.plan import Payer
from gateway.accounts.rules.rule import Rule
from gateway.telemetry.logs import log_event


class ShadowLog:
    """Counts for each rule, and says so in the log at intervals."""

    def __init__(self, clock: Callable[[], float], seconds: float = 10.0) -> None:
        self._clock = clock
        self._seconds = seconds
        # How often each rule would have refused.
        self.totals: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._reported_at: dict[str, float] = {}

    def note(self, rules: Iterable[Rule], caller: Payer) -> None:
        """These shadow rules would have refused a request."""
        now = self._clock()
        for rule in rules:
            self.totals[rule.id] = self.totals.get(rule.id, 0) + 1
            count = self._counts[rule.id] = self._counts.get(rule.id, 0) + 1
            if now - self._reported_at.get(rule.id, -self._seconds) >= self._seconds:
                log_event(
                    logging.INFO,
                    "A shadow rule would have refused requests",
                    rule=rule.id,
                    caller=caller.name,
                    count=count,
                )
                self._reported_at[rule.id], self._counts[rule.id] = now, 0
