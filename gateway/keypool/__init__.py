"""Which key serves the next attempt: plain state that decides, with time as an argument and no I/O."""

from gateway.keypool.pool import ABANDONED, SUCCESS, Key, KeyPool, Lease, Outcome

__all__ = ["ABANDONED", "SUCCESS", "Key", "KeyPool", "Lease", "Outcome"]
