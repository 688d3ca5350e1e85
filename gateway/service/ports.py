"""What the life of a request needs from the network, the store and the caller's side, as protocols."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto
from typing import Protocol

from msgspec import Struct

from translators.hosts import HostProfile
from translators.message_usage import Terms


class Call(Struct, frozen=True, gc=False):
    """One HTTP call to a Messages host; `version` is its `anthropic-version`, `betas` its `anthropic-beta`.

    `headers` are additional ones: lower-case names, printable ASCII values, never credentials; those of `trace` differ
    from call to call. `spent_seconds` is the time used by earlier calls for the same answer, since the time limit for a
    whole answer covers all of them.
    """

    version: str
    body: bytes = b""
    streams: bool = False
    betas: tuple[str, ...] = ()
    method: str = "POST"
    path: str = "/v1/messages"
    headers: tuple[tuple[str, str], ...] = ()
    spent_seconds: float = 0.0
    trace: tuple[tuple[str, str], ...] = ()


class HttpCall(Struct, frozen=True, gc=False):
    """A call as one host takes it: where it goes, with all headers but those that frame it.

    `is_known` says that the written headers may be cached, since the same ones come again; not with a caller's key.
    """

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str
    spent_seconds: float
    is_known: bool


class Outgoing(Protocol):
    """A request in its Messages form, written by a translator for one host."""

    @property
    def body(self) -> bytes: ...

    @property
    def version(self) -> str: ...

    @property
    def betas(self) -> tuple[str, ...]: ...

    @property
    def streams(self) -> bool: ...

    @property
    def adjusted(self) -> str | None:
        """The value of the caller's `x-gateway-adjusted` header."""
        ...

    @property
    def terms(self) -> Terms:
        """What it asks for that changes its price."""
        ...


class Endpoint(Protocol):
    @property
    def name(self) -> str:
        """The key's name, for logs."""
        ...

    @property
    def profile(self) -> HostProfile:
        """What the host accepts."""
        ...

    @property
    def base_url(self) -> str:
        """What stands before the path of a call."""
        ...

    @property
    def is_callers_own(self) -> bool:
        """Whether the credentials are the caller's, so that a refusal is reported to the caller."""
        ...

    def prepare(self, call: Call) -> HttpCall:
        """The call in the form that this kind of host takes, with the credentials."""
        ...

    def redact(self, text: str) -> str:
        """The text without any credentials."""
        ...


class UpstreamAnswer(Protocol):
    """An answer whose head has arrived; header names are lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of its head; released with the first `push`."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the end of the body has arrived, though it may not have been received yet."""
        ...

    async def receive(self) -> bytes:
        """The next piece of the body as the network delivered it; empty at the end of the body."""
        ...

    async def push(self, sink: Callable[[bytes], bool]) -> None:
        """Pass each piece to `sink` as soon as the network delivers it, until `sink` returns False.

        Also returns at the end of the body. Exceptions from `sink` are raised here.
        """
        ...

    async def ended(self) -> None:
        """Wait for the end of the body, or a time limit; what has arrived can still be received.

        Used while the caller does not read: the upstream client reads ahead as much as its own buffer holds.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first `limit` bytes."""
        ...


class Upstream(Protocol):
    """The network to Messages hosts; every exception it raises is a `FailedError`.

    Credentials are removed from the texts of any `FailedError` that passes through the block.
    """

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a call and wait for the head of its answer; leaving the block before the end of the body disconnects."""
        ...


class Store(Protocol):
    """What outlives a request: small values under 16-byte keys, which are digests. No method raises."""

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is in this process's memory, without waiting."""
        ...

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The stored values; errors count as misses. A key that is not found is not looked up again for a while."""
        ...

    async def put(self, key: bytes, value: bytes) -> bool:
        """Store a value; returns whether it was stored, when other processes can find it or after a time limit."""
        ...

    def forget(self, keys: Sequence[bytes]) -> None:
        """Delete values: in memory at once, in the backing store soon."""
        ...

    async def close(self) -> None:
        """Write what has not been written yet."""
        ...


class RecordsUnavailableError(Exception):
    """The records cannot be read or written at the moment; the text says why, and holds no secret."""


class Appended(Enum):
    """What became of entries: a record that does not exist has none, and one that is full takes no more."""

    KEPT = auto()
    NO_RECORD = auto()
    FULL = auto()


class Records(Protocol):
    """Records that callers can read again, change and delete: a value and ordered entries under a 16-byte digest.

    Nothing is cached: what one process has written or deleted is so for all that share the storage. Records expire.
    Writing one renews its time. Every method but `put` raises `RecordsUnavailableError` if the storage fails.
    """

    @property
    def is_shared(self) -> bool:
        """Whether all workers, and this one after a restart, find the same records."""
        ...

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes] = ()) -> bool:
        """Write a record's value, and renew the times of others; False if the value is too large to be kept.

        When it returns, other processes can find the record. If the storage fails, this process keeps it in memory.
        """
        ...

    async def replace(self, key: bytes, value: bytes) -> bool:
        """Write the value of a record that exists; False if it does not, or the value is too large to be kept."""
        ...

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of those records that exist, in one query."""
        ...

    async def delete(self, key: bytes) -> bool:
        """Delete a record with all its entries; False if it does not exist."""
        ...

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        """Add entries (names of 16 bytes, and values) behind the others, all or none; one that is there stays as it is.

        Entries that several processes append at the same time are all kept.
        """
        ...

    async def names(self, key: bytes) -> list[bytes]:
        """The names of a record's entries in order."""
        ...

    async def entries(self, key: bytes, names: Sequence[bytes] | None = None) -> dict[bytes, bytes]:
        """All entries of a record in order, or those with these names."""
        ...

    async def remove(self, key: bytes, name: bytes) -> bool:
        """Delete one entry; False if it does not exist."""
        ...


class Seal(Protocol):
    """Seals blocks for one caller and one model, as texts that this caller holds and sends back."""

    def seal(self, blocks: Sequence[bytes]) -> str:
        """The blocks in one URL-safe text."""
        ...

    def open(self, text: str) -> list[bytes] | None:
        """The blocks; None for a text of anybody else, another model or another secret, and for an altered one."""
        ...

    @property
    def summaries(self) -> "Seal":
        """The seal of the same caller for what every model may read: summaries of conversations."""
        ...


class Seals(Protocol):
    """Makes the seals of all callers."""

    def for_caller(self, scope: bytes, model: str) -> Seal:
        """The seal of one caller (`Caller.scope`) and model (the id that upstream knows)."""
        ...


class Client(Protocol):
    """The caller's side of a stream; writes do not wait for a caller that does not read (see `is_full`)."""

    async def begin(self) -> None:
        """Send the head; later calls have no effect."""
        ...

    async def write(self, data: bytes) -> None:
        """Send one piece of the body."""
        ...

    async def finish(self, data: bytes) -> None:
        """Send the last piece, and end the body."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether the caller has stopped reading."""
        ...

    async def drained(self) -> None:
        """Wait until the caller reads again, or has disconnected."""
        ...

    @property
    def takes_pushes(self) -> bool:
        """Whether `push` may be used now: the head was sent, and the caller keeps up."""
        ...

    def push(self, data: bytes) -> bool:
        """Send one piece without waiting; returns whether another one may follow at once."""
        ...
