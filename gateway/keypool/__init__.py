"""Which key serves the next attempt: plain state that decides, with time as an argument and no I/O."""

from gateway.keypool.breaker import Breaker
from gateway.keypool.budget import RetryBudget
from gateway.keypool.demand import ABANDONED, SUCCESS, Account, Demand, Key, Outcome
from gateway.keypool.domains import KeyState
from gateway.keypool.host import Host
from gateway.keypool.lease import Lease
from gateway.keypool.line import WaitingLine
from gateway.keypool.pool import KeyPool, PoolSettings
from gateway.keypool.snapshot import PoolView, snapshot
from gateway.keypool.stays import MOST_PATIENCE_SECONDS, Stay

__all__ = [
    "ABANDONED",
    "MOST_PATIENCE_SECONDS",
    "SUCCESS",
    "Account",
    "Breaker",
    "Demand",
    "Host",
    "Key",
    "KeyPool",
    "KeyState",
    "Lease",
    "Outcome",
    "PoolSettings",
    "PoolView",
    "RetryBudget",
    "Stay",
    "WaitingLine",
    "snapshot",
]
