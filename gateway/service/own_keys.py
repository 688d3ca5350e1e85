"""Keys that callers bring: a pool of one key for each request, and the keys' cooling limits.

A key is stored as a digest, and only while one of its limits cools; nothing else outlives its requests.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.keypool import Key, KeyPool, Lease, Outcome, PoolSettings
from gateway.service.dispatch import Dispatcher
from translators.errors import Blame

MAX_KEYS: Final = 1_000
# Callers choose model names.
MAX_CLASSES: Final = 32

_CALLERS_OWN: Final = b"own"


class OwnLimits:
    """When limits of callers' keys stop cooling, by the keys' digests and classes of models; the oldest are dropped."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._cooling: OrderedDict[bytes, dict[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._cooling)

    def dispatcher(self, name: str, digest: bytes, clock: Callable[[], float]) -> Dispatcher:
        """A pool of one key, which has a name for logs, and no queue: the limits are its owner's."""
        # Conversations are separated by the key itself, so any mark will do.
        pool = KeyPool([Key(name, mark=_CALLERS_OWN)], PoolSettings("weighted"))
        if digest in self._cooling:
            for limit_class, until in self._cooling_now(digest, clock()).items():
                pool.cool(limit_class, until)
        return _OwnDispatcher(pool, self, digest, clock)

    def note(self, digest: bytes, limit_class: str, until: float, now: float) -> None:
        """Upstream must not be asked for a class of models before `until`."""
        cooling = self._cooling_now(digest, now)
        cooling.pop(limit_class, None)
        cooling[limit_class] = until
        if len(cooling) > MAX_CLASSES:
            del cooling[next(iter(cooling))]
        self._cooling[digest] = cooling
        self._cooling.move_to_end(digest)
        if len(self._cooling) > self._max_keys:
            self._cooling.popitem(last=False)

    def _cooling_now(self, digest: bytes, now: float) -> dict[str, float]:
        """The key's limits that are still cooling; also drops a few expired entries of other keys."""
        oldest = next(iter(self._cooling), digest)
        for known in {digest, oldest}:
            left = {name: until for name, until in self._cooling.get(known, {}).items() if until > now}
            if left:
                self._cooling[known] = left
            else:
                self._cooling.pop(known, None)
        return self._cooling.get(digest, {})


class _OwnDispatcher(Dispatcher):
    """The dispatcher of one request; it stores for later requests what upstream says of the key's limits."""

    def __init__(self, pool: KeyPool, limits: OwnLimits, digest: bytes, clock: Callable[[], float]) -> None:
        super().__init__(pool, clock=clock)
        self._limits = limits
        self._digest = digest

    def release(self, lease: Lease, outcome: Outcome) -> None:
        super().release(lease, outcome)
        if outcome.blame is Blame.KEY_LIMIT:
            request = lease.request
            until = lease.state.organization.rate_limits(request.limit_class, request.model).cooling_until
            self._limits.note(self._digest, request.limit_class, until, self.clock())
