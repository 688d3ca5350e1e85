"""Several balancers side by side, as the workers of one gateway are: each sees its own requests only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.pool.balancers import Balancer, Request
from benchmarks.pool.caches import Usage
from translators.errors import Failure


class Workers:
    """Each request is decided by the worker it came to; a lease knows which one that was."""

    def __init__(self, balancers: Sequence[Balancer]) -> None:
        self._balancers = balancers

    def acquire(self, request: Request, now: float) -> tuple[Balancer, Any] | None:
        balancer = self._balancers[request.worker]
        lease = balancer.acquire(request, now)
        return None if lease is None else (balancer, lease)

    def key_name(self, lease: tuple[Balancer, Any]) -> str:
        balancer, inner = lease
        return balancer.key_name(inner)

    def answered(self, lease: tuple[Balancer, Any], status: int, headers: Mapping[str, str], now: float) -> None:
        balancer, inner = lease
        balancer.answered(inner, status, headers, now)

    def succeeded(self, lease: tuple[Balancer, Any], usage: Usage, now: float) -> None:
        balancer, inner = lease
        balancer.succeeded(inner, usage, now)

    def failed(self, lease: tuple[Balancer, Any], failure: Failure, now: float) -> None:
        balancer, inner = lease
        balancer.failed(inner, failure, now)

    def is_try(self, failure: Failure) -> bool:
        return self._balancers[0].is_try(failure)

    def allows_retry(self, failure: Failure, now: float) -> bool:
        # Which worker's budget it is does not matter on average.
        return any(balancer.allows_retry(failure, now) for balancer in self._balancers)

    def why_none(self, request: Request, now: float) -> Failure:
        return self._balancers[request.worker].why_none(request, now)

    def join(self, request: Request, now: float) -> bool:
        return self._balancers[request.worker].join(request, now)

    def leave(self, request: Request) -> None:
        self._balancers[request.worker].leave(request)

    def serve(self, now: float) -> Iterator[tuple[Request, tuple[Balancer, Any]]]:
        for balancer in self._balancers:
            for request, lease in balancer.serve(now):
                yield request, (balancer, lease)

    def wake_at(self, now: float) -> float | None:
        moments = [moment for balancer in self._balancers if (moment := balancer.wake_at(now)) is not None]
        return min(moments, default=None)

    def due_probes(self, now: float) -> Sequence[str]:
        return [f"{place} {name}" for place, each in enumerate(self._balancers) for name in each.due_probes(now)]

    def probed(self, name: str, is_well: bool, now: float) -> None:
        place, _, key = name.partition(" ")
        self._balancers[int(place)].probed(key, is_well, now)
