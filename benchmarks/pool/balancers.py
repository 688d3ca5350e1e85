"""What chooses keys in a simulation: the way a gateway without knowledge does it, and Dragoman's own pool."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.pool.caches import Usage
from benchmarks.pool.workloads import Turn
from translators.errors import ErrorKind, Failure


@dataclass(slots=True, eq=False)
class Request:
    """A turn on its way, which worker it came to, and what comes after it; what has become of it so far."""

    turn: Turn
    turns: Iterator[Turn]
    came_at: float
    worker: int = 0
    tries: int = 0
    excluded: frozenset[str] = frozenset()
    avoided: frozenset[str] = frozenset()
    waits: bool = False
    failure: Failure | None = None


class Balancer(Protocol):
    """Gives out keys, and learns. It sees what a gateway sees: a request's estimate, an answer's headers."""

    def acquire(self, request: Request, now: float) -> Any | None:
        """A lease, or None where no key is ready."""

    def key_name(self, lease: Any) -> str:
        """Which key a lease is for."""

    def answered(self, lease: Any, status: int, headers: Mapping[str, str], now: float) -> None:
        """An answer's head has come."""

    def succeeded(self, lease: Any, usage: Usage, now: float) -> None:
        """An answer is complete."""

    def failed(self, lease: Any, failure: Failure, now: float) -> None:
        """An attempt has failed."""

    def is_try(self, failure: Failure) -> bool:
        """Whether a failed attempt is one of the few that a request has."""

    def allows_retry(self, failure: Failure, now: float) -> bool:
        """Whether another attempt would not be too much altogether."""

    def why_none(self, request: Request, now: float) -> Failure:
        """What to tell a caller for whom there is no key."""

    def join(self, request: Request, now: float) -> bool:
        """Take a place in the waiting line; whether there is one."""

    def leave(self, request: Request) -> None:
        """Give the place up."""

    def serve(self, now: float) -> Iterable[tuple[Request, Any]]:
        """Those whose turn it is, each with a lease; each is started before the next is asked for."""

    def wake_at(self, now: float) -> float | None:
        """When to ask again, were nothing to happen until then."""

    def due_probes(self, now: float) -> Sequence[str]:
        """The keys to be looked at without a caller's request."""

    def probed(self, name: str, is_well: bool, now: float) -> None:
        """What that has shown."""


class Unlearning:
    """What a balancer does not do that learns nothing from answers, and lets nobody wait."""

    def key_name(self, lease: str) -> str:
        return lease

    def answered(self, lease: str, status: int, headers: Mapping[str, str], now: float) -> None:
        pass

    def succeeded(self, lease: str, usage: Usage, now: float) -> None:
        pass

    def failed(self, lease: str, failure: Failure, now: float) -> None:
        pass

    def is_try(self, failure: Failure) -> bool:
        return True

    def allows_retry(self, failure: Failure, now: float) -> bool:
        return True

    def why_none(self, request: Request, now: float) -> Failure:
        return Failure(ErrorKind.RATE_LIMITED, "No key is ready.")

    def join(self, request: Request, now: float) -> bool:
        return False

    def leave(self, request: Request) -> None:
        pass

    def serve(self, now: float) -> Iterable[tuple[Request, Any]]:
        return ()

    def wake_at(self, now: float) -> float | None:
        return None

    def due_probes(self, now: float) -> Sequence[str]:
        return ()

    def probed(self, name: str, is_well: bool, now: float) -> None:
        pass


class Plain(Unlearning):
    """The next key in turn or any key, whatever it answered before."""

    def __init__(self, keys: Sequence[str], choose: Callable[[Sequence[str]], str]) -> None:
        self._keys = keys
        self._choose = choose

    def acquire(self, request: Request, now: float) -> str | None:
        names = [name for name in self._keys if name not in request.excluded and name not in request.avoided]
        return self._choose(names) if names else None
