"""The client address of a request: the peer of its connection, or the address that trusted proxies report."""

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from starlette.types import Scope

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_KEY: Final = "dragoman.address"
_FORWARDED_FOR: Final = b"x-forwarded-for"
# The longest possible address, with brackets and a port; longer entries are not addresses.
_LONGEST_ENTRY: Final = 64
# The maximum number of proxies that are followed.
_MOST_PROXIES: Final = 16
# A client with one IPv6 address usually controls its whole network of this prefix length.
_CLIENTS_BITS: Final = 64


class Addresses:
    """Finds the client's address; `trusted_proxies` are addresses and networks in their usual notation."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ipaddress.ip_network(network) for network in trusted_proxies)

    def note(self, scope: Scope) -> None:
        """Determine the address once, and store it in the scope."""
        client = scope.get("client")
        peer = _plain(client[0]) if client else None
        scope[_KEY] = self._named_by(peer, scope) if self._trusted and peer is not None else peer

    def _named_by(self, peer: str, scope: Scope) -> str:
        """The nearest address that is not a trusted proxy's; each proxy appends the address of its peer.

        Everything before an untrusted address, or before an entry that is not an address, may be forged.
        """
        found = peer
        for entry in _entries(scope):
            if not self.trusts(found):
                break
            address = _read(entry)
            if address is None:
                break
            found = str(address)
        return found

    def trusts(self, text: str) -> bool:
        """Whether an address belongs to a trusted proxy."""
        address = _read(text)
        return address is not None and any(address in network for network in self._trusted)


def address_of(scope: Scope) -> str | None:
    """The client's address, or None if it is not known."""
    address: str | None = scope.get(_KEY)
    return address


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """The addresses that count as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    read = _read(address)
    if not isinstance(read, ipaddress.IPv6Address):
        return address
    return str(ipaddress.IPv6Network((int(read) >> _CLIENTS_BITS << _CLIENTS_BITS, 128 - _CLIENTS_BITS)))


def _plain(peer: str) -> str:
    """A peer's address; an IPv4 address that arrived on an IPv6 socket loses its IPv6 prefix."""
    return peer if ":" not in peer else str(_read(peer) or peer)


def _entries(scope: Scope) -> Iterator[str]:
    """The entries that proxies have appended, latest first: from the last entry of the last header backwards."""
    lines = [value for name, value in scope["headers"] if name == _FORWARDED_FOR]
    for _ in range(_MOST_PROXIES):
        if not lines:
            return
        rest, comma, entry = lines[-1].rpartition(b",")
        lines[-1:] = [rest] if comma else []
        yield entry[: _LONGEST_ENTRY + 1].decode("latin-1").strip()


@lru_cache(maxsize=1024)
def _read(entry: str) -> _Address | None:
    """An address, possibly in brackets or with a port; None for anything else."""
    text = entry
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    # A zone (after the percent sign) may be any text.
    if len(text) > _LONGEST_ENTRY or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
