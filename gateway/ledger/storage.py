"""The ledger of one process: written by a thread of its own, switched by reloads, flushed at the end."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.config import AccountsConfig
from gateway.ledger.opening import accounts_path
from gateway.service.observers import Ended
from gateway.telemetry.logs import log_event
from translators.errors import ErrorKind, FailedError, Failure

if TYPE_CHECKING:
    from gateway.ledger.parts import Parts

# How long what waits may take to be written at the end.
_CLOSE_SECONDS: Final = 10.0
# How often the log is told about the writer.
_LOOK_SECONDS: Final = 0.5
_REFUSED: Final = (
    "The gateway cannot write its ledger at the moment, and is configured to answer no requests without it "
    "(accounts.on_ledger_failure)."
)
UNWRITTEN: Final = "The gateway ends with rows of the ledger that could not be written"


class LedgerState(NamedTuple):
    """How many requests and rows wait to be written, how many are lost, and whether the file cannot be written."""

    waiting: int
    lost: int
    is_failing: bool


class Ledger:
    """An `Observer` of requests, which opens nothing until it is started. Where accounts are off, it does nothing."""

    def __init__(
        self,
        config: AccountsConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._clock = clock
        self._wall = wall
        self._parts = self._made()
        self._is_started = False
        self._work: set[asyncio.Task[None]] = set()

    def note(self, ended: Ended) -> None:
        """Let the ledger have a request."""
        if self._parts is not None:
            self._parts.writer.note(ended)

    @property
    def state(self) -> LedgerState | None:
        """How it is now; None where accounts are off."""
        if self._parts is None:
            return None
        writer = self._parts.writer
        return LedgerState(writer.waiting, writer.lost, writer.is_failing)

    @property
    def is_well(self) -> bool:
        """Whether it can be written; True where accounts are off."""
        return self._parts is None or not self._parts.writer.is_failing

    def check(self) -> None:
        """Raise `FailedError` if no request may be answered because the ledger cannot be written."""
        parts = self._parts
        if parts is not None and parts.writer.is_failing and self._config.on_ledger_failure == "refuse":
            raise FailedError(Failure(ErrorKind.LEDGER_UNAVAILABLE, _REFUSED, detail=parts.writer.batches.trouble))

    def reload(self, config: AccountsConfig) -> None:
        """Use another configuration. What is replaced completes its pending writes."""
        old, self._config = self._config, config
        old_path, path = accounts_path(old), accounts_path(config)
        if (old_path, old.secret) == (path, config.secret):
            if self._parts is not None:
                from gateway.ledger.parts import keep_of

                self._parts.writer.keep = keep_of(config)
            return
        replaced, self._parts = self._parts, self._made()
        if replaced is not None:
            task = asyncio.create_task(_close(replaced))
            self._work.add(task)
            task.add_done_callback(self._work.discard)
        if self._is_started and self._parts is not None:
            self._parts.writer.start()

    async def run(self) -> None:
        """Write the ledger, and tell the log how that goes, until cancelled; `close` follows."""
        self._is_started = True
        if self._parts is not None:
            self._parts.writer.start()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._parts is not None:
                self._parts.log.look()

    async def close(self) -> None:
        """Write what waits, then close."""
        await asyncio.gather(*self._work)
        if self._parts is not None:
            await _close(self._parts)

    def _made(self) -> "Parts | None":
        if (path := accounts_path(self._config)) is None:
            return None
        # SQLite is loaded only where it is used.
        from gateway.ledger.parts import parts_for

        return parts_for(path, self._config, self._clock, self._wall)


async def _close(parts: "Parts") -> None:
    writer = parts.writer
    is_written = await asyncio.to_thread(writer.close, _CLOSE_SECONDS)
    parts.log.look()
    if not is_written:
        log_event(logging.ERROR, UNWRITTEN, rows=writer.waiting, why=writer.batches.trouble)
