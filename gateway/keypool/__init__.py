"""The key pool: which key serves the next attempt. Plain state, with time as an argument and no I/O."""

from gateway.keypool.breaker import Breaker
from gateway.keypool.budget import RetryBudget
from gateway.keypool.domains import KeyState
from gateway.keypool.host import Host
from gateway.keypool.lease import Lease
from gateway.keypool.lease_queue import LeaseQueue
from gateway.keypool.lease_request import ABANDONED, SUCCESS, Account, Key, LeaseRequest, Outcome
from gateway.keypool.merging import merged
from gateway.keypool.pool import KeyPool, PoolSettings
from gateway.keypool.snapshot import PoolView, snapshot
from gateway.keypool.sticky_waits import MOST_PATIENCE_SECONDS, StickyWait

__all__ = [
    "ABANDONED",
    "MOST_PATIENCE_SECONDS",
    "SUCCESS",
    "Account",
    "Breaker",
    "Host",
    "Key",
    "KeyPool",
    "KeyState",
    "Lease",
    "LeaseQueue",
    "LeaseRequest",
    "Outcome",
    "PoolSettings",
    "PoolView",
    "RetryBudget",
    "StickyWait",
    "merged",
    "snapshot",
]
