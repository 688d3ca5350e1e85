"""Secrets that were rotated while the gateway runs: a key that upstream rejects may have another one by now."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Container
from typing import Final

from gateway.config import Source
from gateway.secret import Secret
from gateway.telemetry.logs import log_event

# A key that is bad for good is not asked for again and again.
PAUSE_SECONDS: Final = 10.0


class Rotation:
    """Reads the secrets of rejected keys anew, in a thread, and hands them to `use`, which knows if they are new."""

    def __init__(self, use: Callable[[str, Source, Secret], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._use = use
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[bool]] = {}

    def ask(self, key: str, source: Source) -> "asyncio.Task[bool] | None":
        """Have a key's secret read, unless that was done a moment ago.

        What is given back tells, when it is done, whether there is a new secret; None says that nothing is being done.
        """
        now = self._clock()
        if now - self._asked_at.get(key, float("-inf")) < PAUSE_SECONDS:
            return self._running.get(key)
        self._asked_at[key] = now
        task = self._running[key] = asyncio.create_task(self._read(key, source))
        task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    def keep_only(self, keys: Container[str]) -> None:
        """Forget the keys that are gone."""
        self._asked_at = {key: moment for key, moment in self._asked_at.items() if key in keys}

    async def _read(self, key: str, source: Source) -> bool:
        try:
            secret = await asyncio.to_thread(source.read, os.environ)
        except ValueError as problem:
            log_event(logging.WARNING, "The secret of a rejected key could not be read again", key=key, why=problem)
            return False
        return self._use(key, source, secret)
