"""Responses that this process makes in the background: started, bounded, renewed, cancelled, and ended."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from msgspec import Struct

from gateway.service.event_log import EventLog
from gateway.service.following import Follower, Piece, Polls
from gateway.service.no_store import NO_RECORDS
from gateway.service.ports import Records, RecordsUnavailableError
from gateway.service.responses import RUNNING, StoredResponse, StoredResponses
from gateway.service.runs import RENEW_SECONDS, RunKeys, Runs, keys_of
from translators.errors import ErrorKind, FailedError, Failure, TranslationError

# How often the flags of other workers are looked for.
LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 5.0
# How long a cancellation in this process is waited for: the writes at its end take no longer.
_CANCEL_SECONDS: Final = 10.0
_SWITCHED_OFF: Final = (
    "Responses in the background have to be kept, and this gateway keeps none: 'background' needs the settings "
    "responses.store true, and store.kind 'sqlite' or 'valkey' ('memory' with one worker)."
)
_NONE_ALLOWED: Final = (
    "This gateway makes no responses in the background: the settings responses.background_tasks and "
    "responses.background_per_client have to be 1 or more."
)
_NOT_SHARED: Final = (
    "Responses in the background need a store that all workers share: the setting store.kind has to be 'sqlite' or "
    "'valkey', or server.workers 1."
)
_TOO_LARGE: Final = "The request is too large to be kept, so it cannot be answered in the background."
_SYNCHRONOUS: Final = "Cannot cancel a synchronous response."


class BackgroundSettings(Struct, frozen=True):
    """The operator's settings; the limits are those of one process."""

    is_on: bool = False
    most: int = 0
    most_per_caller: int = 0
    workers: int = 1


class Run:
    """One response that this process makes; `is_cancelled` is set when it shall end early, `done` when it has ended.

    `was_cancelled` says that it has ended early, and is kept so.
    """

    __slots__ = ("done", "is_cancelled", "keys", "log", "scope", "was_cancelled")

    def __init__(self, scope: bytes, keys: RunKeys, log: EventLog) -> None:
        self.scope = scope
        self.keys = keys
        self.log = log
        self.is_cancelled = asyncio.Event()
        self.was_cancelled = False
        self.done = asyncio.Event()


class Background:
    """All such responses of one process, and what is asked about those of any. It outlives reloads."""

    def __init__(
        self,
        records: Records = NO_RECORDS,
        settings: BackgroundSettings = BackgroundSettings(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self.settings = settings
        self._runs = Runs(records, now)
        self._running: dict[bytes, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: Counter[bytes] = Counter()
        self._polls = Polls()
        self._tending: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many are being made."""
        return len(self._tasks)

    def check(self, scope: bytes) -> None:
        """Raise the error for a caller that cannot have one more."""
        settings = self.settings
        if not settings.is_on:
            raise TranslationError(_SWITCHED_OFF, param="background", code="background_unavailable")
        if not settings.most or not settings.most_per_caller:
            raise TranslationError(_NONE_ALLOWED, param="background", code="background_unavailable")
        if settings.workers > 1 and not self._records.is_shared:
            raise TranslationError(_NOT_SHARED, param="background", code="background_unavailable")
        if self._taken[scope] >= settings.most_per_caller or self._taken.total() >= settings.most:
            whose = "You have" if self._taken[scope] >= settings.most_per_caller else "This gateway has"
            message = f"{whose} as many responses in the background as it takes. Please try again when some are done."
            code = "too_many_background_responses"
            raise FailedError(Failure(ErrorKind.RATE_LIMITED, message, code=code, retry_after_seconds=RETRY_SECONDS))

    async def start(
        self,
        scope: bytes,
        responses: StoredResponses,
        record: StoredResponse,
        events: bytes,
        work: Callable[[Run], Awaitable[None]],
    ) -> Run:
        """Keep the response, and begin to make it; `events` are its first, and `work` adds the others to the run's log.

        When it returns, all workers find it.
        """
        self.check(scope)
        self._taken[scope] += 1
        try:
            keys = keys_of(scope, record.id)
            run = Run(scope, keys, EventLog(self._records, keys.run))
            is_kept = await self._runs.begin(keys) and await responses.keep(scope, record)
            if not is_kept:
                raise FailedError(Failure(ErrorKind.TOO_LARGE, _TOO_LARGE))
            run.log.add(events)
            await run.log.flush()
        except BaseException:
            self._release(scope)
            raise
        self._running[keys.response] = run
        task = asyncio.create_task(self._make(run, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend())
        return run

    async def find(self, scope: bytes, response_id: str) -> StoredResponse | None:
        """A response, of any kind, as it is now; None if there is none for this caller."""
        return await self._runs.find(scope, response_id)

    async def cancel(self, scope: bytes, record: StoredResponse) -> None:
        """Cancel a response in any worker; one that has ended stays as it is. Raises the error for others."""
        if not record.is_background:
            raise TranslationError(_SYNCHRONOUS)
        if record.unfinished == RUNNING:
            await self._stop(keys_of(scope, record.id))

    async def delete(self, scope: bytes, responses: StoredResponses, response_id: str) -> bool:
        """Delete a response of any kind, and cancel it; False if there is none for this caller."""
        record = await self.find(scope, response_id)
        is_deleted = await responses.delete(scope, response_id)
        if record is not None and record.is_background:
            keys = keys_of(scope, response_id)
            if record.unfinished == RUNNING:
                await self._stop(keys)
            await self._runs.delete(keys)
        return is_deleted

    def follow(
        self, scope: bytes, response_id: str, number: int, silence_seconds: float
    ) -> AsyncGenerator[Piece, None]:
        """The events of a response from this number on, to its end (see `Follower`)."""
        keys = keys_of(scope, response_id)
        run = self._running.get(keys.response)
        log = run.log if run is not None else None

        async def find() -> StoredResponse | None:
            return await self.find(scope, response_id)

        follower = Follower(self._records, self._runs, keys, log, find, self._polls)
        return follower.follow(number, silence_seconds)

    async def close(self, seconds: float) -> None:
        """Wait so long for those that run; they are interrupted by others."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        if self._tending is not None:
            self._tending.cancel()

    async def _stop(self, keys: RunKeys) -> None:
        run = self._running.get(keys.response)
        if run is None:
            await self._runs.flag(keys)
            return
        run.is_cancelled.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await run.done.wait()

    async def _make(self, run: Run, work: Callable[[Run], Awaitable[None]]) -> None:
        try:
            await work(run)
        finally:
            try:
                await run.log.end()
                await self._runs.end(run.keys, is_cancelled=run.was_cancelled)
            finally:
                del self._running[run.keys.response]
                self._release(run.scope)
                run.done.set()

    def _release(self, scope: bytes) -> None:
        self._taken[scope] -= 1
        if not self._taken[scope]:
            del self._taken[scope]

    async def _tend(self) -> None:
        """Renew all runs, and look for flags that other workers have set, as long as there are any."""
        renewed_at = asyncio.get_running_loop().time()
        while self._running:
            await asyncio.sleep(LOOK_SECONDS)
            now = asyncio.get_running_loop().time()
            is_due = now - renewed_at >= RENEW_SECONDS
            renewed_at = now if is_due else renewed_at
            with contextlib.suppress(RecordsUnavailableError):
                await self._look([*self._running.values()], renews=is_due)

    async def _look(self, runs: list[Run], *, renews: bool) -> None:
        if self._records.is_shared:
            flagged = await self._runs.flagged(run.keys for run in runs)
            for run in runs:
                if run.keys.flag in flagged:
                    run.is_cancelled.set()
        if renews:
            await self._runs.renew(run.keys for run in runs)
