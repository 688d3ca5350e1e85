"""What unauthenticated clients may use of this process: connections, and memory for heads and bodies."""

import ipaddress
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

# The last part of the memory is reserved for bodies up to this size, so that large ones cannot block them.
SMALL_BODY_BYTES: Final = 64 * 1024
# Unfinished heads up to this size are never refused: nearly all are smaller, though they may come in several packets.
SMALL_HEAD_BYTES: Final = 8 * 1024
# The owner of an IPv6 address usually has a whole /64.
_PREFIX_BITS: Final = 64
# The most connections without a place that are answered at once; the others are aborted.
_MOST_TURNED_AWAY: Final = 64
# Refused connections are logged at most this often.
_TELL_SECONDS: Final = 60.0

logger: Final = logging.getLogger("uvicorn.error")


def _nobody(_address: str) -> bool:
    return False


@dataclass(slots=True, eq=False)
class ServerLimits:
    """Limits and counts of all connections of a process; a new configuration changes them for open connections too.

    `is_exempt` says which addresses (as texts) stand for many clients, as a proxy's does; this machine's always do.
    """

    max_connections: int = 16_384
    max_per_address: int = 8_192
    max_buffered_bytes: int = 256 * 1024 * 1024
    # Large bodies may use no more than this.
    ample_bytes: int = 224 * 1024 * 1024
    write_seconds: float = 60.0
    is_exempt: Callable[[str], bool] = _nobody
    buffered_bytes: int = 0
    # For incomplete heads that are not small.
    most_head_bytes: int = 32 * 1024 * 1024
    head_bytes: int = 0
    connections: int = 0
    # Connections without a place that have not been answered yet.
    turned_away: int = 0
    _told_at: float = -math.inf
    _by_place: Counter[str] = field(default_factory=Counter)

    def place_of(self, address: str | None) -> str:
        """The key under which an address's connections are counted; empty if they only count towards the total."""
        if not address or self.is_exempt(address):
            return ""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(found, ipaddress.IPv6Address):
            if found.ipv4_mapped is None:
                return "" if found.is_loopback else f"{int(found) >> (128 - _PREFIX_BITS):x}"
            found = found.ipv4_mapped
        return "" if found.is_loopback else str(found)

    def enter(self, place: str) -> bool:
        """Count a new connection and return True if the limits allow it; the caller has to call `leave` then."""
        if self.connections >= self.max_connections or (place and self._by_place[place] >= self.max_per_address):
            return False
        self.connections += 1
        if place:
            self._by_place[place] += 1
        return True

    def leave(self, place: str) -> None:
        """A connection that was counted has ended."""
        self.connections -= 1
        if place:
            self._by_place[place] -= 1
            if not self._by_place[place]:
                del self._by_place[place]

    def allow_bodies(self, most_bytes: int) -> None:
        """Set the memory for bodies being received; its last eighth is reserved for small ones."""
        self.max_buffered_bytes = most_bytes
        self.most_head_bytes = most_bytes // 8
        self.ample_bytes = most_bytes - self.most_head_bytes

    def turn_away(self, client: tuple[str, int] | None, now: float) -> bool:
        """Log a connection beyond the limits, now and then; returns whether it should be answered, not aborted.

        If so, it is counted in `turned_away`, which the caller decrements when the connection has ended.
        """
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            said = "Connections are refused, %d are open; the last one was from %s."
            logger.warning(said, self.connections, client)
        if self.turned_away >= _MOST_TURNED_AWAY:
            return False
        self.turned_away += 1
        return True

    def has_room_for_head(self, size: int) -> bool:
        """Whether an unfinished head of `size` bytes may stay in memory, given what all of them hold."""
        return size <= SMALL_HEAD_BYTES or self.head_bytes <= self.most_head_bytes

    def has_room(self, size: int) -> bool:
        """Whether a body of `size` bytes so far may stay in memory, given what all of them hold."""
        most = self.max_buffered_bytes if size <= SMALL_BODY_BYTES else self.ample_bytes
        return self.buffered_bytes <= most
