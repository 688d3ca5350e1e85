"""The shared services of exchanges, and the candidate models for a request."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gateway.keypool import Account, KeyPool, RetryBudget
from gateway.service.background import Background
from gateway.service.conversations import Conversations
from gateway.service.dispatch import Dispatcher
from gateway.service.kept import KeptTurns
from gateway.service.no_store import NO_SEALS
from gateway.service.own_keys import OwnLimits
from gateway.service.ports import Endpoint, Outgoing, Seals, Upstream
from gateway.service.responses import StoredResponses
from gateway.service.retry import RetryPolicy
from gateway.service.signers import Signers
from translators.errors import Failure
from translators.hosts import HostProfile
from translators.models import ModelTable, model_table
from translators.prices import Prices, list_prices

R = TypeVar("R", bound=Outgoing)

# A new empty frozenset would take 216 bytes each time.
NO_KEYS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Services:
    """The shared services of all exchanges; `sleep` and `jitter` are for retries, `now` gives Unix seconds.

    `on_refused` is called with the name of a key that upstream rejects. If the key's secret is read again, it returns a
    future that says whether the secret has changed. `models` is the table of models, `own_limits` the state of keys
    that callers bring.
    """

    dispatcher: Dispatcher
    endpoints: Mapping[str, Endpoint]
    upstream: Upstream
    policy: RetryPolicy
    budget: RetryBudget
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    on_refused: Callable[[str], "asyncio.Future[bool] | None"] = lambda key: None
    kept_turns: KeptTurns = field(default_factory=KeptTurns)
    signers: Signers = field(default_factory=Signers)
    models: ModelTable = field(default_factory=model_table)
    prices: Prices = field(default_factory=list_prices)
    own_limits: OwnLimits = field(default_factory=OwnLimits)
    responses: StoredResponses = field(default_factory=StoredResponses)
    conversations: Conversations = field(default_factory=Conversations)
    background: Background = field(default_factory=Background)
    seals: Seals = NO_SEALS

    @property
    def pool(self) -> KeyPool:
        return self.dispatcher.pool

    def for_caller(self, endpoint: Endpoint, digest: bytes) -> "Services":
        """The services for a caller with its own key, identified by its digest: a pool of that key, without a queue."""
        dispatcher = self.own_limits.dispatcher(endpoint.name, digest, self.dispatcher.clock)
        return replace(self, dispatcher=dispatcher, endpoints={endpoint.name: endpoint}, on_refused=lambda key: None)


class Candidate(Struct, Generic[R], frozen=True):
    """A model that may answer; `write` returns the request's Messages form for a kind of host.

    `account` has signed parts of the request; `write` is told whether the key belongs to it. `learn` is called with a
    400 and what was sent; if `write` then returns another form, that is tried. `limits` is the name under which the
    pool keeps the limits of these calls, if it is not the model's: counting tokens has limits of its own.
    `write_in_slices`, set for a large request, prepares what `write` will return. The keys named in `barred` are not
    used, because they do not reach what the request refers to. `explain` puts a failure into the caller's terms.
    """

    model: str
    write: Callable[[HostProfile, bool], R]
    learn: Callable[[HostProfile, str, R], None] = lambda host, message, sent: None
    limits: str | None = None
    account: Account | None = None
    write_in_slices: Callable[[HostProfile, bool], Awaitable[None]] | None = None
    barred: frozenset[str] = NO_KEYS
    explain: Callable[[Failure, R], Awaitable[Failure]] | None = None
