"""Watches the share of requests that fail and of answers that begin late, over a sliding window."""

import re
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gateway.alerts.alert import Alert, repeated
from gateway.config import AlertsConfig
from gateway.service.observers import Ended
from gateway.service.record import Record
from translators.errors import RULES, Blame

_SLOTS: Final = 5
# More answers than this share that begin late: the 95th percentile is above the bound.
_LATE_SHARE: Final = 0.05
# Failures that are not of the caller's making, as a record names them.
_FAILURES: Final = frozenset(
    kind.name.lower() for kind, rule in RULES.items() if rule.status >= 500 or rule.blame is not Blame.NOBODY
)
_KIND: Final = re.compile(r": ([a-z_]+)(?: |$)")


class _Slot(Struct):
    requests: int = 0
    failed: int = 0
    begun: int = 0
    late: int = 0


class HealthWatch:
    """Observes one process's requests; `report` is called with what is above a bound of the configuration.

    A window is judged when it is over, and only if it has requests from its beginning on: what has just begun to go
    wrong has to last.
    """

    def __init__(self, config: AlertsConfig, report: Callable[[Alert], None]) -> None:
        self._config = config
        self._report = report
        self._slot_seconds = config.window_seconds / _SLOTS
        self._latest = config.first_token_seconds if config.first_token_seconds is not None else float("inf")
        self._ends_at = float("-inf")
        self._slot = _Slot()
        self._slots: deque[_Slot] = deque(maxlen=_SLOTS)

    def note(self, ended: Ended) -> None:
        """Count a request."""
        at = ended.at + ended.seconds
        if at >= self._ends_at:
            self._turn(at)
        slot, record = self._slot, ended.record
        slot.requests += 1
        if record.failures and has_failed(record):
            slot.failed += 1
        if (first := record.first_token_seconds) is not None:
            slot.begun += 1
            if first > self._latest:
                slot.late += 1

    def _turn(self, at: float) -> None:
        """Begin the slot that `at` is in; those that nobody used in between are empty."""
        over, ends_at = self._slot, self._ends_at
        self._slot = _Slot()
        self._ends_at = (at // self._slot_seconds + 1) * self._slot_seconds
        if ends_at == float("-inf"):
            return
        self._slots.append(over)
        self._judge(ends_at)
        empty = min(_SLOTS, round((self._ends_at - ends_at) / self._slot_seconds) - 1)
        self._slots.extend(_Slot() for _ in range(empty))

    def _judge(self, at: float) -> None:
        slots, config = self._slots, self._config
        requests = sum(slot.requests for slot in slots)
        if len(slots) < _SLOTS or not slots[0].requests or requests < config.min_requests:
            return
        failed, begun, late = (sum(getattr(slot, name) for slot in slots) for name in ("failed", "begun", "late"))
        window = {"window_seconds": config.window_seconds, "requests": requests}
        if config.error_percent is not None and failed * 100 > config.error_percent * requests:
            data = {"percent": round(failed * 100 / requests, 1), "bound_percent": config.error_percent, **window}
            text = f"{data['percent']:g} % of the requests of the last {config.window_seconds:g} s have failed"
            self._report(repeated("all", "errors", at, config.repeat_seconds, text, data))
        if config.first_token_seconds is not None and late > _LATE_SHARE * begun:
            data = {"late": late, "answers": begun, "bound_seconds": config.first_token_seconds, **window}
            text = f"{late} of {begun} answers of the last {config.window_seconds:g} s began after more than "
            text += f"{config.first_token_seconds:g} s"
            self._report(repeated("all", "latency", at, config.repeat_seconds, text, data))


def has_failed(record: Record) -> bool:
    """Whether a request got no whole answer, and neither the caller nor its departure is the reason."""
    if record.stop_reason is not None or not record.failures:
        return False
    named = _KIND.findall(record.failures[-1])
    return any(kind in _FAILURES for kind in named)
