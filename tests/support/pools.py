"""Short words for what tests do with a pool: heads of answers, outcomes, leases that are taken for granted."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from gateway.keypool import SUCCESS, Key, KeyPool, Lease, LeaseRequest, Outcome, PoolSettings
from gateway.keypool.domains import KeyState
from gateway.keypool.strategies import StrategyName
from translators.errors import ErrorKind, Failure
from translators.usage import Usage

MODEL, OTHER, SIBLING = "claude-sonnet-5-5", "claude-haiku-5-5", "claude-sonnet-5"
ASK = LeaseRequest(MODEL)
STRATEGIES: tuple[StrategyName, ...] = ("affinity", "least_busy", "weighted", "priority")
_SENT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def failed(kind: ErrorKind, retry_after_seconds: float | None = None, usage: Usage | None = None) -> Outcome:
    return Outcome.of(Failure(kind, "No.", retry_after_seconds=retry_after_seconds), usage)


def pool_of(*keys: Key | str, strategy: StrategyName = "affinity", share: float = 1.0) -> KeyPool:
    return KeyPool((Key(key) if isinstance(key, str) else key for key in keys), PoolSettings(strategy, share))


def taken(pool: KeyPool, now: float, lease_request: LeaseRequest = ASK, only: str | None = None) -> Lease:
    """A lease that has to be there; on a certain key if one is named."""
    others = frozenset(state.key.name for state in pool.states) - {only} if only else frozenset()
    lease = pool.acquire(now, lease_request, exclude=others)
    assert lease is not None
    return lease


def name_of(lease: Lease | None) -> str | None:
    return lease.key.name if lease else None


def fail(
    pool: KeyPool, now: float, outcome: Outcome, only: str | None = None, lease_request: LeaseRequest = ASK
) -> None:
    """One attempt that ends like this."""
    pool.release(taken(pool, now, lease_request, only), outcome, now)


def meet(
    pool: KeyPool,
    now: float,
    headers: Mapping[str, str],
    only: str | None = None,
    lease_request: LeaseRequest = ASK,
    outcome: Outcome = SUCCESS,
) -> str:
    """One attempt whose answer has this head; gives the key's name."""
    lease = taken(pool, now, lease_request, only)
    pool.answered(lease, headers, now)
    pool.release(lease, outcome, now)
    return lease.key.name


def head(
    organization: str | None = None,
    workspace: str | None = None,
    *,
    requests: tuple[int, int] | None = None,
    input_tokens: tuple[int, int] | None = None,
    output_tokens: tuple[int, int] | None = None,
    tokens: tuple[int, int] | None = None,
    full_in: float | None = None,
) -> dict[str, str]:
    """An answer's head: whose key it was, and (limit, remaining) of the buckets that are full again in so long."""
    headers = {"date": format_datetime(_SENT, usegmt=True)}
    if organization is not None:
        headers["anthropic-organization-id"] = organization
    if workspace is not None:
        headers["anthropic-workspace-id"] = workspace
    buckets = {"requests": requests, "input-tokens": input_tokens, "output-tokens": output_tokens, "tokens": tokens}
    for kind, figures in buckets.items():
        if figures is not None:
            limit, remaining = figures
            seconds = (1 - remaining / limit) * 60 if full_in is None else full_in
            headers[f"anthropic-ratelimit-{kind}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{kind}-remaining"] = str(remaining)
            headers[f"anthropic-ratelimit-{kind}-reset"] = (_SENT + timedelta(seconds=seconds)).isoformat()
    return headers


def state_of(pool: KeyPool, name: str) -> KeyState:
    return next(state for state in pool.states if state.key.name == name)
