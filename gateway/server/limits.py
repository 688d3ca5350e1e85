"""What clients may take of this process before anybody knows who they are: connections, and memory for their bodies."""

import ipaddress
import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

# Bodies up to this size may also have the last part of the room, so that large ones do not keep them out.
SMALL_BODY_BYTES: Final = 64 * 1024
# Heads up to this size may always be unfinished: nearly all are smaller, and come in several packets all the same.
SMALL_HEAD_BYTES: Final = 8 * 1024
# An address of IPv6 is one of the many that its owner has.
_PREFIX_BITS: Final = 64
# So many connections without a place may wait for their answer at once.
_MOST_TURNED_AWAY: Final = 64
# What happens to many connections is told once in so much time.
_TELL_SECONDS: Final = 60.0

logger: Final = logging.getLogger("uvicorn.error")


def _nobody(_address: str) -> bool:
    return False


@dataclass(slots=True, eq=False)
class ServerLimits:
    """One object for all connections of a process, so that a new configuration holds for those that there are.

    `is_exempt` says which addresses (as texts) stand for many clients, as a proxy's does; this machine's always do.
    """

    max_connections: int = 16_384
    max_per_address: int = 8_192
    max_buffered_bytes: int = 256 * 1024 * 1024
    # Large bodies may not have the rest.
    ample_bytes: int = 224 * 1024 * 1024
    write_seconds: float = 60.0
    is_exempt: Callable[[str], bool] = _nobody
    buffered_bytes: int = 0
    # Heads that are not complete yet: those that are not small may have the last eighth as well, no more.
    most_head_bytes: int = 32 * 1024 * 1024
    head_bytes: int = 0
    connections: int = 0
    # Connections without a place, until they are told.
    turned_away: int = 0
    _told_at: float = -math.inf
    _by_place: Counter[str] = field(default_factory=Counter)

    def place_of(self, address: str | None) -> str:
        """Under what an address's connections are counted together; empty: only with all others."""
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
        """Count a new connection of a place, if there is room for it; to be followed by `leave` then."""
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
        """Have so much room for bodies on their way in; the last eighth of it is for small ones."""
        self.max_buffered_bytes = most_bytes
        self.most_head_bytes = most_bytes // 8
        self.ample_bytes = most_bytes - self.most_head_bytes

    def turn_away(self, client: tuple[str, int] | None, now: float) -> bool:
        """Count a connection that found no place, and log that now and then; whether it may be answered.

        One that may be is counted in `turned_away`, until whoever asked takes it off.
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
        """Whether a head of which `size` bytes are here may go on, with what all unfinished ones hold now."""
        return size <= SMALL_HEAD_BYTES or self.head_bytes <= self.most_head_bytes

    def has_room(self, size: int) -> bool:
        """Whether a body of which `size` bytes are here may stay, with what all of them hold now."""
        most = self.max_buffered_bytes if size <= SMALL_BODY_BYTES else self.ample_bytes
        return self.buffered_bytes <= most
