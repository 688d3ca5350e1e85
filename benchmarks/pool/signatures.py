"""Which account has signed what a conversation holds: what all workers of a gateway know together."""

from gateway.keypool import Account, KeyPool, Lease

_PLACES = 65_536


class Signatures:
    """For a share of all conversations; one that was answered by another account has lost its own for good."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._accounts: dict[bytes, Account | None] = {}

    def account(self, prefix: bytes) -> Account | None:
        """The account that a conversation is to go to."""
        return self._accounts.get(prefix)

    def answered(self, pool: KeyPool, lease: Lease) -> None:
        """An answer is complete: it is signed by whose key it was."""
        prefix = lease.request.prefix
        if prefix is None or int.from_bytes(prefix[:2], "big") >= self._share * _PLACES:
            return
        known = self._accounts.setdefault(prefix, pool.account_of(lease))
        if known is not None and not pool.is_of(lease, known):
            self._accounts[prefix] = None
