"""Alerts on their way: claimed, posted, and posted again after failures, while nobody waits for them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.alerts.alert import Alert
from gateway.alerts.claims import Claims, MemoryClaims
from gateway.alerts.posting import NotPostedError, Target, post
from gateway.telemetry.logs import log_event

# The pauses before the second attempt, the third, and so on: a receiver may be away for a quarter of an hour.
PAUSES_SECONDS: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
# More alerts than these are not waiting at once.
MOST_WAITING: Final = 100
_MOST_AT_ONCE: Final = 4
_CLOSE_SECONDS: Final = 2.0
_LOST: Final = "An alert was not delivered"


class Outbox:
    """Posts alerts to `target`; without one, nothing is sent. `claims` are shared with other processes."""

    def __init__(
        self,
        target: Target | None,
        claims: Claims | None = None,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.target = target
        self.claims = claims
        self._own_claims = MemoryClaims()
        self._now = now
        self._sleep = sleep
        self._tasks: dict[asyncio.Task[None], Alert] = {}
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)

    def put(self, alert: Alert) -> None:
        """Take an alert; it is posted later, unless it was before. Must be called in the event loop; never waits."""
        if self.target is None or not self._own_claims.claim_now(alert):
            return
        if len(self._tasks) >= MOST_WAITING:
            _note_lost(alert, f"{MOST_WAITING} others are waiting", 0)
            return
        task = asyncio.get_running_loop().create_task(self._send(alert))
        self._tasks[task] = alert
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def close(self) -> None:
        """Give what is on its way a moment, and give up the rest."""
        tasks = dict(self._tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        for task in late:
            task.cancel()
            _note_lost(tasks[task], "the gateway ends", 0)
        await asyncio.gather(*late, return_exceptions=True)

    async def _send(self, alert: Alert) -> None:
        if not await self._is_ours(alert):
            return
        for attempt, pause in enumerate((*PAUSES_SECONDS, None), 1):
            target = self.target
            if target is None:
                return
            try:
                async with self._places:
                    await post(target, alert, self._now())
                log_event(logging.INFO, "An alert was sent", alert=alert.name, attempts=attempt)
                return
            except NotPostedError as error:
                if pause is None or not error.is_passing:
                    _note_lost(alert, str(error), attempt)
                    return
            await self._sleep(pause)

    async def _is_ours(self, alert: Alert) -> bool:
        if self.claims is None:
            return True
        try:
            return await self.claims.claim(alert)
        except OSError as error:
            # Sent by each worker is better than by none.
            log_event(logging.WARNING, "Whether an alert was sent before is not known", alert=alert.name, why=error)
            return True


def _note_lost(alert: Alert, why: str, attempts: int) -> None:
    log_event(logging.WARNING, _LOST, alert=alert.name, text=alert.text, why=why, attempts=attempts)
