"""Leases for exchanges: at once where a key is ready, else when their turn in the queue comes."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Final, TypeAlias

from gateway.keypool import (
    ABANDONED,
    Host,
    Key,
    KeyPool,
    KeyState,
    Lease,
    LeaseQueue,
    LeaseRequest,
    Outcome,
    PoolSettings,
    PoolView,
    StickyWait,
    snapshot,
)
from translators.errors import Blame, ErrorKind

# What passes by itself; a refused key or model does not while somebody waits.
WORTH_WAITING: Final = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.UNREACHABLE})
_NOBODY: Final[frozenset[str]] = frozenset()

_Waiter: TypeAlias = "asyncio.Future[Lease]"


class Change(Enum):
    """What an operator wants to hear of a key or its organization, once, when it happens."""

    REJECTED = auto()
    ACCEPTED = auto()
    OUT_OF_FUNDS = auto()
    WORKSPACE_RESTS = auto()


class Dispatcher:
    """The pool and the queue in front of it. `clock` gives monotonic seconds; `report` is told of changes."""

    def __init__(
        self,
        pool: KeyPool,
        *,
        queue_size: int = 0,
        queue_timeout_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[Change, KeyState], None] = lambda change, state: None,
    ) -> None:
        self.pool = pool
        self.clock = clock
        self._report = report
        self._queue: LeaseQueue[_Waiter] = LeaseQueue(pool, queue_size)
        self._queue_timeout_seconds = queue_timeout_seconds
        self._is_stirred = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def snapshot(self) -> PoolView:
        """What an operator may see."""
        return snapshot(self.pool, self._queue, self.clock())

    def has_queue(self, request: LeaseRequest) -> bool:
        """Whether somebody waits for the same class of models."""
        return self._queue.has_queue(request)

    def update(
        self, keys: Iterable[Key], settings: PoolSettings, *, queue_size: int, queue_timeout_seconds: float
    ) -> None:
        """Go on with these keys and bounds; what is known stays known, and whoever wait stays there."""
        self.pool.update(keys, settings)
        self._queue.size = queue_size
        self._queue_timeout_seconds = queue_timeout_seconds
        self._stir()

    def acquire(
        self, request: LeaseRequest, *, exclude: frozenset[str] = _NOBODY, avoid: frozenset[str] = _NOBODY
    ) -> Lease | None:
        """A lease at once, or None: no key is ready, or others have waited longer."""
        return self._queue.acquire(self.clock(), request, exclude=exclude, avoid=avoid)

    async def wait(
        self,
        request: LeaseRequest,
        *,
        exclude: frozenset[str] = _NOBODY,
        avoid: frozenset[str] = _NOBODY,
        patience_seconds: float = math.inf,
        waited_seconds: float = 0.0,
    ) -> Lease | None:
        """A lease when its turn comes; None where there is no room in the queue, no hope, or no time left.

        `waited_seconds` is how long the same request has waited before.
        """
        patience = max(0.0, min(patience_seconds, self._queue_timeout_seconds - waited_seconds))
        now = self.clock()
        kind, seconds = self.pool.why_none(now, request, exclude)
        if kind not in WORTH_WAITING or math.inf > seconds > patience:
            return None
        if kind is ErrorKind.OVERLOADED and seconds == math.inf:
            # It has opened the breaker itself, and nobody else may ever try.
            return None
        sticky_wait = self.pool.sticky_wait(now, request, exclude=exclude, avoid=avoid)
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        if not self._queue.join(waiter, request, exclude=exclude, avoid=avoid, sticky_wait=sticky_wait):
            return self._anywhere(request, exclude, avoid, sticky_wait)
        self._stir()
        lease: Lease | None = None
        try:
            async with asyncio.timeout(patience):
                lease = await waiter
        except TimeoutError:
            has_come = waiter.done() and not waiter.cancelled()
            lease = waiter.result() if has_come else self._anywhere(request, exclude, avoid, sticky_wait)
        finally:
            self._queue.leave(waiter)
            self._stir()
            if lease is None and waiter.done() and not waiter.cancelled():
                # The caller has left in the very moment when its turn came.
                self.release(waiter.result(), ABANDONED)
        return lease

    def _anywhere(
        self, request: LeaseRequest, exclude: frozenset[str], avoid: frozenset[str], sticky_wait: StickyWait | None
    ) -> Lease | None:
        """A lease for one who was to wait in one place, and cannot."""
        if sticky_wait is None or self._queue.has_queue(request):
            return None
        return self.pool.acquire(self.clock(), request, exclude=exclude, avoid=avoid)

    def answered(self, lease: Lease, headers: Mapping[str, str], status: int) -> None:
        """An answer's head has come."""
        self.pool.answered(lease, headers, self.clock(), status=status)
        self._stir()

    def release(self, lease: Lease, outcome: Outcome) -> None:
        """Give a lease back."""
        state, now = lease.state, self.clock()
        if outcome.is_success and not state.is_on_trial:
            # Nothing to report: the usual case.
            self.pool.release(lease, outcome, now)
            self._stir()
            return
        was_out, was_on_trial = state.is_rejected or state.is_on_trial, state.is_on_trial
        had_funds, had_place = not state.organization.backoff.refusals, not state.workspace.backoff.refusals
        self.pool.release(lease, outcome, now)
        if state.is_rejected and not was_out:
            self._report(Change.REJECTED, state)
        elif was_on_trial and not (state.is_on_trial or state.is_rejected):
            self._report(Change.ACCEPTED, state)
        elif outcome.blame is Blame.ORGANIZATION and had_funds and not state.is_gone:
            self._report(Change.OUT_OF_FUNDS, state)
        elif outcome.blame is Blame.WORKSPACE and had_place and not state.is_gone:
            self._report(Change.WORKSPACE_RESTS, state)
        self._stir()

    def introduced(self, name: str, headers: Mapping[str, str]) -> None:
        """Upstream has told whose a key is."""
        self.pool.introduced(name, headers)
        self._stir()

    def probed(self, name: str, *, is_well: bool | None) -> None:
        """What the probe of a rejected or doubted key has shown."""
        state = self.pool.state_of(name)
        was_rejected = state is not None and state.is_rejected
        self.pool.probed(name, is_well=is_well, now=self.clock())
        if state is not None and state.is_rejected != was_rejected and not state.is_on_trial:
            self._report(Change.REJECTED if state.is_rejected else Change.ACCEPTED, state)
        self._stir()

    def down_hosts(self) -> list[tuple[Host, str]]:
        """The hosts to ask whether they are back, each with a key: only while somebody waits."""
        return self.pool.down_hosts() if len(self._queue) else []

    def host_probed(self, host: Host, *, is_well: bool) -> None:
        """What the probe of a host has shown."""
        self.pool.host_probed(host, is_well=is_well, now=self.clock())
        self._stir()

    def refused(self, name: str) -> None:
        """Upstream does not know a key, as our own question has shown; one that has just served is only doubted."""
        state = self.pool.state_of(name)
        if state is not None and not state.is_rejected:
            state.doubt(self.clock())
            self.probed(name, is_well=False)

    def _stir(self) -> None:
        """Look at the queue soon, once for all that happens in one turn of the loop."""
        if self._queue.waiters and not self._is_stirred:
            self._is_stirred = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._is_stirred = False
        now = self.clock()
        for waiter, lease in self._queue.serve(now):
            if waiter.done():
                # Its caller has just left; the next in the queue can have it.
                self.release(lease, ABANDONED)
            else:
                waiter.set_result(lease)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_at = self._queue.wake_at()
        if wake_at < math.inf:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wake_at - now), self._serve)
