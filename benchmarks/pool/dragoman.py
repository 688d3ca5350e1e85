"""Dragoman's own pool in the simulation: what `gateway/service` does with it, without a network, in simulated time."""

import math
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.pool.balancers import Request
from benchmarks.pool.caches import Usage
from benchmarks.pool.signatures import Signatures
from benchmarks.pool.world import World
from gateway.keypool import Key, KeyPool, Lease, LeaseQueue, LeaseRequest, Outcome, PoolSettings, RetryBudget
from gateway.keypool.strategies import StrategyName
from gateway.service.dispatch import WORTH_WAITING
from gateway.service.retry import is_refusal
from translators import usage as gateway_usage
from translators.errors import Failure


class Dragoman:
    """The real pool, its queue and its budget for retries; whose keys they are it finds out by itself."""

    def __init__(
        self,
        world: World,
        strategy: StrategyName,
        *,
        share: float = 1.0,
        queue_size: int = 1000,
        queue_seconds: float = 30.0,
        retry_percent: float = 20.0,
        signatures: Signatures | None = None,
    ) -> None:
        keys = [Key(key.name, host=key.host, mark=key.name.encode()) for key in world.keys.values()]
        self._pool = KeyPool(keys, PoolSettings(strategy, share))
        self._queue: LeaseQueue[Request] = LeaseQueue(self._pool, queue_size)
        self._queue_seconds = queue_seconds
        self._budget = RetryBudget(retry_percent)
        self._signatures = signatures

    def acquire(self, request: Request, now: float) -> Lease | None:
        if not request.avoided:
            self._budget.request()
        lease_request = self._lease_request(request)
        return self._queue.acquire(now, lease_request, exclude=request.excluded, avoid=request.avoided)

    def key_name(self, lease: Lease) -> str:
        return lease.key.name

    def answered(self, lease: Lease, status: int, headers: Mapping[str, str], now: float) -> None:
        self._pool.answered(lease, headers, now, status=status)

    def succeeded(self, lease: Lease, usage: Usage, now: float) -> None:
        counted = gateway_usage.Usage(
            usage.input_tokens, usage.cache_write_tokens, usage.cache_read_tokens, usage.output_tokens
        )
        if self._signatures is not None:
            self._signatures.answered(self._pool, lease)
        self._pool.release(lease, Outcome.success(counted), now)

    def failed(self, lease: Lease, failure: Failure, now: float) -> None:
        self._pool.release(lease, Outcome.of(failure), now)

    def is_try(self, failure: Failure) -> bool:
        return not is_refusal(failure)

    def allows_retry(self, failure: Failure, now: float) -> bool:
        return is_refusal(failure) or self._budget.allows_retry(now)

    def why_none(self, request: Request, now: float) -> Failure:
        kind, _ = self._pool.why_none(now, self._lease_request(request), request.excluded)
        return Failure(kind, "No key is ready.")

    def join(self, request: Request, now: float) -> bool:
        lease_request = self._lease_request(request)
        kind, seconds = self._pool.why_none(now, lease_request, request.excluded)
        if kind not in WORTH_WAITING or math.inf > seconds > self._queue_seconds:
            return False
        sticky_wait = self._pool.sticky_wait(now, lease_request, exclude=request.excluded, avoid=request.avoided)
        return self._queue.join(
            request, lease_request, exclude=request.excluded, avoid=request.avoided, sticky_wait=sticky_wait
        )

    def leave(self, request: Request) -> None:
        self._queue.leave(request)

    def serve(self, now: float) -> Iterable[tuple[Request, Lease]]:
        return self._queue.serve(now)

    def wake_at(self, now: float) -> float | None:
        return self._queue.wake_at()

    def due_probes(self, now: float) -> Sequence[str]:
        return self._pool.due_probes(now)

    def probed(self, name: str, is_well: bool, now: float) -> None:
        self._pool.probed(name, is_well=is_well, now=now)

    def _lease_request(self, request: Request) -> LeaseRequest:
        turn = request.turn
        account = self._signatures.account(turn.prefix) if self._signatures is not None else None
        return LeaseRequest(
            turn.call.model, turn.estimated_tokens, turn.prefix, turn.caller, streams=True, account=account
        )
