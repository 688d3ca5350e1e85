"""What every exchange works with, and the models that may answer a request."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gateway.keypool import Account, KeyPool, RetryBudget
from gateway.proxy.dispatch import Dispatcher
from gateway.proxy.makers import Makers
from gateway.proxy.memory import TurnMemory
from gateway.proxy.own_keys import OwnLimits
from gateway.proxy.ports import Endpoint, Outgoing, Upstream
from gateway.proxy.retry import RetryPolicy
from translators.errors import Failure
from translators.hosts import HostProfile
from translators.models import ModelTable, model_table

R = TypeVar("R", bound=Outgoing)

# Each empty frozenset would be another 216 bytes.
NO_KEYS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange works with; `sleep` and `jitter` are for retries.

    `on_refused` is told the name of a key that upstream rejects. Where the key's secret is read again, it returns a
    future that tells, when that is done, whether there is another secret. `models` is what is known of models,
    `own_limits` what is known of the keys that callers bring.
    """

    dispatcher: Dispatcher
    endpoints: Mapping[str, Endpoint]
    upstream: Upstream
    policy: RetryPolicy
    budget: RetryBudget
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    on_refused: Callable[[str], "asyncio.Future[bool] | None"] = lambda key: None
    memory: TurnMemory = field(default_factory=TurnMemory)
    makers: Makers = field(default_factory=Makers)
    models: ModelTable = field(default_factory=model_table)
    own_limits: OwnLimits = field(default_factory=OwnLimits)

    @property
    def pool(self) -> KeyPool:
        """The keys."""
        return self.dispatcher.pool

    def for_caller(self, endpoint: Endpoint, digest: bytes) -> "Services":
        """The same for a caller who brought a key, which has this digest: a pool of that key, without a queue."""
        dispatcher = self.own_limits.dispatcher(endpoint.name, digest, self.dispatcher.clock)
        return replace(self, dispatcher=dispatcher, endpoints={endpoint.name: endpoint}, on_refused=lambda key: None)


class Candidate(Struct, Generic[R], frozen=True):
    """A model that may answer; `write` gives the request's Messages form for a kind of host.

    What a request holds may be signed by an `account`; `write` is told whether it goes to a key of that. `learn` is
    told of a 400 and of what was sent; where `write` gives another form after that, it is tried. `limits` is what the
    pool calls the model, where its limits are not those of its messages. `write_in_turns`, which a large request has,
    sees to it that `write` knows what it is asked for. Keys that are `barred` do not reach what the request is about.
    `explain` tells a failure of what was sent in the caller's terms.
    """

    model: str
    write: Callable[[HostProfile, bool], R]
    learn: Callable[[HostProfile, str, R], None] = lambda host, message, sent: None
    limits: str | None = None
    account: Account | None = None
    write_in_turns: Callable[[HostProfile, bool], Awaitable[None]] | None = None
    barred: frozenset[str] = NO_KEYS
    explain: Callable[[Failure, R], Awaitable[Failure]] | None = None
