"""Where a request comes from: the peer of its connection, or whom proxies name that the operator trusts."""

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from starlette.types import Scope

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_KEY: Final = "dragoman.address"
_FORWARDED_FOR: Final = b"x-forwarded-for"
# The longest address there is, in brackets and with a port; what is longer is none.
_LONGEST_ENTRY: Final = 64
# Who is behind more proxies than these is not looked for.
_MOST_PROXIES: Final = 16
# Whoever has one address of IPv6 has as many as the network of that size holds.
_CLIENTS_BITS: Final = 64


class Addresses:
    """Finds the address of who asks; `trusted_proxies` are addresses and networks in their usual spelling."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ipaddress.ip_network(network) for network in trusted_proxies)

    def note(self, scope: Scope) -> None:
        """Find it once, and keep it with the request."""
        client = scope.get("client")
        peer = _plain(client[0]) if client else None
        scope[_KEY] = self._named_by(peer, scope) if self._trusted and peer is not None else peer

    def _named_by(self, peer: str, scope: Scope) -> str:
        """The nearest address that is no trusted proxy's; each proxy appends the one that it was asked from.

        What stands before an address that is not trusted, or before what is no address, may be anybody's invention.
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
        """Whether an address is a trusted proxy's."""
        address = _read(text)
        return address is not None and any(address in network for network in self._trusted)


def address_of(scope: Scope) -> str | None:
    """The address of who asks, as far as it is known."""
    address: str | None = scope.get(_KEY)
    return address


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What one client can have of addresses: an address of IPv4, and of IPv6 a network of 64 bits."""
    read = _read(address)
    if not isinstance(read, ipaddress.IPv6Address):
        return address
    return str(ipaddress.IPv6Network((int(read) >> _CLIENTS_BITS << _CLIENTS_BITS, 128 - _CLIENTS_BITS)))


def _plain(peer: str) -> str:
    """A peer's address; one of IPv4 that a socket of IPv6 has accepted in its own spelling."""
    return peer if ":" not in peer else str(_read(peer) or peer)


def _entries(scope: Scope) -> Iterator[str]:
    """What proxies have appended, the latest first: the last entry of the last header of that name."""
    lines = [value for name, value in scope["headers"] if name == _FORWARDED_FOR]
    for _ in range(_MOST_PROXIES):
        if not lines:
            return
        rest, comma, entry = lines[-1].rpartition(b",")
        lines[-1:] = [rest] if comma else []
        yield entry[: _LONGEST_ENTRY + 1].decode("latin-1").strip()


@lru_cache(maxsize=1024)
def _read(entry: str) -> _Address | None:
    """An address, also in brackets or with a port; None for anything else."""
    text = entry
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    # Behind a percent sign any text may stand.
    if len(text) > _LONGEST_ENTRY or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
