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

    def __init__(self, use: Callable[[str, Source, Secret], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._use = use
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, key: str, source: Source) -> None:
        """Have a key's secret read, unless that was done a moment ago; returns at once."""
        now = self._clock()
        if now - self._asked_at.get(key, float("-inf")) < PAUSE_SECONDS:
            return
        self._asked_at[key] = now
        task = asyncio.create_task(self._read(key, source))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def keep_only(self, keys: Container[str]) -> None:
        """Forget the keys that are gone."""
        self._asked_at = {key: moment for key, moment in self._asked_at.items() if key in keys}

    async def _read(self, key: str, source: Source) -> None:
        try:
            secret = await asyncio.to_thread(source.read, os.environ)
        except ValueError as problem:
            log_event(logging.WARNING, "The secret of a rejected key could not be read again", key=key, why=problem)
            return
        self._use(key, source, secret)
