"""Tracks which account made the signed thinking and the thread messages that Messages clients send back.

Both are valid only with the account that made them. The client's scope is part of every key, so that no client can
look up another's.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from gateway.keypool import Account
from gateway.service.no_store import NO_STORE
from gateway.service.ports import Store

# What this process remembers by itself, some 10 MB at most; the store, if there is one, remembers more.
MOST_KNOWN: Final = 10_000
KEEP_SECONDS: Final = 86_400.0
# The maximum number of a history's thinking blocks that are looked up, and looked up in the store: the latest ones.
MOST_RECALLED: Final = 1_000
_MOST_FETCHED: Final = 500
_KEY_BYTES: Final = 16
_THOUGHT: Final = b"thought"
_MESSAGE: Final = b"message"


class Signer(Struct, frozen=True, array_like=True):
    """The account and workspace of a key, as far as they were known; `key` is its mark.

    `left_out` says why thinking before this block was left out, "" if it was not: the block is sent back without it. An
    empty signer marks a block that upstream has refused, which is itself left out.
    """

    organization: str = ""
    key: bytes = b""
    workspace: str = ""
    left_out: str = ""

    @property
    def account(self) -> Account | None:
        """The account whose keys can verify the block; None for an empty signer."""
        return Account(self.organization, self.key) if self.organization or self.key else None


class Recalled(NamedTuple):
    """What is known of a history's thinking: the account of the latest block, and how many blocks at the start to drop.

    `left_out` says why these are dropped.
    """

    account: Account | None = None
    gone: int = 0
    left_out: str = ""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Signer)


@dataclass(slots=True)
class Signers:
    """This process's cache of signers, and the store if there is one."""

    store: Store = NO_STORE
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[bytes, tuple[Signer, float]] = field(default_factory=OrderedDict)

    def note_thoughts(self, scope: bytes, digests: Sequence[bytes], signer: Signer) -> list[tuple[bytes, Signer]]:
        """Record who made an answer's thinking; returns what to share with other processes."""
        later = msgspec.structs.replace(signer, left_out="")
        made = [(_key(scope, _THOUGHT, digest), later if number else signer) for number, digest in enumerate(digests)]
        for key, each in made:
            self._put(key, each)
        return made

    def note_message(self, scope: bytes, message_id: str, signer: Signer) -> list[tuple[bytes, Signer]]:
        """Record where a message is that a thread can continue from; returns what to share with other processes."""
        key = _key(scope, _MESSAGE, message_id.encode("utf-8", "surrogatepass"))
        self._put(key, signer)
        return [(key, signer)]

    async def share(self, made: Sequence[tuple[bytes, Signer]]) -> None:
        """Put the records into the store; returns when other processes can find them, or after a time limit."""
        await asyncio.gather(*(self.store.put(key, _ENCODER.encode(signer)) for key, signer in made))

    def refuse(self, scope: bytes, digests: Sequence[bytes]) -> None:
        """Upstream has refused thinking: the client's thinking up to here is not sent again."""
        if (last := next(filter(None, reversed(digests)), None)) is not None:
            self._put(_key(scope, _THOUGHT, last), Signer(left_out="refused"))

    async def recall(self, scope: bytes, digests: Sequence[bytes]) -> Recalled:
        """What is known of a history's thinking blocks, given in order; b"" is one without a signature."""
        first = max(0, len(digests) - MOST_RECALLED)
        latest = enumerate(digests[first:], first)
        places = {_key(scope, _THOUGHT, digest): place for place, digest in latest if digest}
        known = {places[key]: signer for key, signer in (await self._find(list(places))).items()}
        account: Account | None = None
        for place in sorted(known, reverse=True):
            signer = known[place]
            account = account or signer.account
            if signer.left_out:
                return Recalled(account, place if signer.account else place + 1, signer.left_out)
        return Recalled(account)

    async def signer_of(self, scope: bytes, message_id: str) -> Signer | None:
        """Where a message is; None if this client did not get it."""
        key = _key(scope, _MESSAGE, message_id.encode("utf-8", "surrogatepass"))
        return (await self._find([key])).get(key)

    async def _find(self, keys: Sequence[bytes]) -> dict[bytes, Signer]:
        found = {key: signer for key in keys if (signer := self._get(key)) is not None}
        missing = [key for key in keys if key not in found][-_MOST_FETCHED:]
        for key, value in (await self.store.fetch(missing)).items() if missing else ():
            try:
                found[key] = _DECODER.decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            self._put(key, found[key])
        return found

    def _get(self, key: bytes) -> Signer | None:
        known = self._known.get(key)
        if known is None:
            return None
        signer, until = known
        if until <= self.clock():
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return signer

    def _put(self, key: bytes, signer: Signer) -> None:
        self._known[key] = (signer, self.clock() + KEEP_SECONDS)
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


def _key(scope: bytes, what: bytes, name: bytes) -> bytes:
    return blake2b(b"\0".join((what, scope, name)), digest_size=_KEY_BYTES).digest()
