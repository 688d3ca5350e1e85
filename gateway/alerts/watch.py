"""The alerts of one process: what is watched, and where it is sent; a reload changes both."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from gateway.accounts.rules.meters import Meter
from gateway.alerts.alert import Alert
from gateway.alerts.budgets import budgets_of
from gateway.alerts.health import HealthWatch
from gateway.alerts.money import MoneyWatch
from gateway.alerts.outbox import Outbox
from gateway.alerts.pool import alert_of, log_change
from gateway.alerts.posting import Target
from gateway.alerts.stored_claims import StoredClaims
from gateway.config import AlertsConfig, Config
from gateway.keypool import KeyState
from gateway.service.dispatch import Change
from gateway.service.observers import Observer

# How often it is looked at what was spent of money rules.
LOOK_SECONDS: Final = 2.0


class Alerts:
    """Tells the operator, once over all processes that have the same accounts' file."""

    def __init__(
        self,
        config: Config,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._outbox = Outbox(target_of(config), StoredClaims(config.accounts), now=now, sleep=sleep)
        self._config = config.alerts
        self._watch(config.alerts)

    def reload(self, config: Config) -> None:
        """Use another configuration; counts begin anew if the section has changed."""
        self._outbox.target, self._outbox.claims = target_of(config), StoredClaims(config.accounts)
        if config.alerts != self._config:
            self._watch(config.alerts)

    @property
    def observers(self) -> Sequence[Observer]:
        """Who has to be told of each request: nobody where nothing would come of it."""
        config = self._config
        is_watched = config.error_percent is not None or config.first_token_seconds is not None
        return (self._health,) if is_watched and config.url is not None else ()

    def on_change(self, change: Change, state: KeyState) -> None:
        """A key of the pool was rejected, is accepted again, or has no funds."""
        log_change(change, state)
        alert = alert_of(change, state, self._now(), self._config.repeat_seconds)
        if alert is not None:
            self.report(alert)

    async def watch_budgets(self, meters: Callable[[], Iterable[Meter]]) -> None:
        """Look at what was spent of the rules' budgets until cancelled."""
        while True:
            if self._config.url is not None:
                await self._money.look(budgets_of(meters(), self._now()))
            await asyncio.sleep(LOOK_SECONDS)

    def report(self, alert: Alert) -> None:
        """Send an alert, once over all workers."""
        self._outbox.put(alert)

    async def close(self) -> None:
        await self._outbox.close()

    def _watch(self, config: AlertsConfig) -> None:
        self._config = config
        self._health = HealthWatch(config, self.report)
        self._money = MoneyWatch(config.money_percent, self._now, self.report)


def target_of(config: Config) -> Target | None:
    """Where alerts go; None without a URL."""
    alerts = config.alerts
    if alerts.url is None:
        return None
    return Target(alerts.url, alerts.secret, alerts.timeout_seconds, config.upstream.ca_file)
