"""Leases for exchanges: at once if a key is ready, otherwise from the queue."""

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

# Conditions that pass by themselves; waiting does not help with a refused key or model.
WORTH_WAITING: Final = frozenset({ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.UNREACHABLE})
_NOBODY: Final[frozenset[str]] = frozenset()

_Waiter: TypeAlias = "asyncio.Future[Lease]"


class Change(Enum):
    """A change of a key or its organization that operators are told about once, when it happens."""

    REJECTED = auto()
    ACCEPTED = auto()
    OUT_OF_FUNDS = auto()
    WORKSPACE_RESTS = auto()


class Dispatcher:
    """The pool and its queue. `clock` returns monotonic seconds; `report` is called with changes."""

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
        """The number of waiting requests."""
        return len(self._queue)

    def snapshot(self) -> PoolView:
        """The operator's view."""
        return snapshot(self.pool, self._queue, self.clock())

    @property
    def usable_keys(self) -> int:
        """How many keys requests can use, now or when their limits allow it."""
        return self.pool.usable(self.clock())

    def has_queue(self, request: LeaseRequest) -> bool:
        """Whether requests for the same class of models are waiting."""
        return self._queue.has_queue(request)

    def update(
        self, keys: Iterable[Key], settings: PoolSettings, *, queue_size: int, queue_timeout_seconds: float
    ) -> None:
        """Replace keys and settings; what is known of unchanged keys is kept, waiting requests keep their places."""
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
        """A lease from the queue; None if the queue is full, if waiting is hopeless, or when time is up.

        `waited_seconds` is how long the same request has waited before.
        """
        patience = max(0.0, min(patience_seconds, self._queue_timeout_seconds - waited_seconds))
        now = self.clock()
        kind, seconds = self.pool.why_none(now, request, exclude)
        if kind not in WORTH_WAITING or math.inf > seconds > patience:
            return None
        if kind is ErrorKind.OVERLOADED and seconds == math.inf:
            # This request itself has opened the breaker, and there may never be another one to try.
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
                # The caller disconnected at the moment when its turn came.
                self.release(waiter.result(), ABANDONED)
        return lease

    def _anywhere(
        self, request: LeaseRequest, exclude: frozenset[str], avoid: frozenset[str], sticky_wait: StickyWait | None
    ) -> Lease | None:
        """A lease on any key, for a request that cannot wait in one place."""
        if sticky_wait is None or self._queue.has_queue(request):
            return None
        return self.pool.acquire(self.clock(), request, exclude=exclude, avoid=avoid)

    def answered(self, lease: Lease, headers: Mapping[str, str], status: int) -> None:
        """The head of an answer has arrived."""
        self.pool.answered(lease, headers, self.clock(), status=status)
        self._stir()

    def release(self, lease: Lease, outcome: Outcome) -> None:
        state, now = lease.state, self.clock()
        if outcome.is_success and not state.is_on_trial:
            # The usual case: nothing to report.
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

    def carry_out(self, order: str, name: str) -> bool:
        """Do with a key what an operator wants (`take_out`, `put_back`, `probe`); returns whether there is one."""
        if order == "probe":
            return self.pool.ask_again(name, self.clock())
        is_known = self.pool.take_out(name, is_out=order == "take_out")
        self._stir()
        return is_known

    def introduced(self, name: str, headers: Mapping[str, str]) -> None:
        """Upstream has told the organization of a key."""
        self.pool.introduced(name, headers)
        self._stir()

    def probed(self, name: str, *, is_well: bool | None) -> None:
        """Apply the result of the probe of a rejected or doubted key."""
        state = self.pool.state_of(name)
        was_rejected = state is not None and state.is_rejected
        self.pool.probed(name, is_well=is_well, now=self.clock())
        if state is not None and state.is_rejected != was_rejected and not state.is_on_trial:
            self._report(Change.REJECTED if state.is_rejected else Change.ACCEPTED, state)
        self._stir()

    def down_hosts(self) -> list[tuple[Host, str]]:
        """The hosts to probe, each with a key; only while requests wait."""
        return self.pool.down_hosts() if len(self._queue) else []

    def host_probed(self, host: Host, *, is_well: bool) -> None:
        """Apply the result of a host's probe."""
        self.pool.host_probed(host, is_well=is_well, now=self.clock())
        self._stir()

    def refused(self, name: str) -> None:
        """Upstream has rejected a key in a request of the gateway itself; one that has just served is only doubted."""
        state = self.pool.state_of(name)
        if state is not None and not state.is_rejected:
            state.doubt(self.clock())
            self.probed(name, is_well=False)

    def _stir(self) -> None:
        """Serve the queue soon, once for everything that happens in one iteration of the event loop."""
        if self._queue.waiters and not self._is_stirred:
            self._is_stirred = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._is_stirred = False
        now = self.clock()
        for waiter, lease in self._queue.serve(now):
            if waiter.done():
                # Its caller has just disconnected; give the lease to the next in the queue.
                self.release(lease, ABANDONED)
            else:
                waiter.set_result(lease)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_at = self._queue.wake_at()
        if wake_at < math.inf:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wake_at - now), self._serve)
