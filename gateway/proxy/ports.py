"""What the proxy needs from the rooms below it, as protocols that they implement."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from translators.hosts import HostProfile


class Call(Struct, frozen=True, gc=False):
    """One HTTP call to a Messages host; `version` is its `anthropic-version`, `betas` its `anthropic-beta`.

    `headers` are further ones: lower case names, printable ASCII values, never credentials. `spent_seconds` is how long
    the calls took that it goes on with: the limit for a whole answer is for all of them.
    """

    version: str
    body: bytes = b""
    streams: bool = False
    betas: tuple[str, ...] = ()
    method: str = "POST"
    path: str = "/v1/messages"
    headers: tuple[tuple[str, str], ...] = ()
    spent_seconds: float = 0.0


class HttpCall(Struct, frozen=True, gc=False):
    """A call as one host takes it: where it goes, with all headers but those that frame it.

    `is_known` says that the same headers come again, so that they may be kept; a key that a caller brought may not.
    """

    base_url: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str
    spent_seconds: float
    is_known: bool


class Outgoing(Protocol):
    """A request in its Messages form, as a translator writes it for one host."""

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
        """What had to be changed, for the caller's header."""
        ...


class Endpoint(Protocol):
    """A host and the credentials to use there."""

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
        """Whether the credentials are the caller's, so that a refusal is the caller's to know."""
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
        """Those of the head; not kept beyond the first `push`."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the end of the body has arrived, though perhaps not been received yet."""
        ...

    async def receive(self) -> bytes:
        """The next piece of the body as the network brought it; empty when the body has ended."""
        ...

    async def push(self, sink: Callable[[bytes], bool]) -> None:
        """Give piece after piece to `sink`, in the moment when the network brings it, until it says False.

        Also returns when the body has ended. What `sink` raises is raised here.
        """
        ...

    async def ended(self) -> None:
        """Until the end of the body has arrived, or a limit of time is reached; what has arrived can still be received.

        For whoever cannot take more of it now: so much is read ahead as the client of upstream holds by itself.
        """
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first `limit` bytes."""
        ...


class Upstream(Protocol):
    """The network towards Messages hosts; everything it raises is a `FailedError`.

    A `FailedError` that passes through the block, whoever raised it, leaves without the credentials in its texts.
    """

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a call and wait for the answer's head; leaving the block before the body has ended hangs up."""
        ...


class Store(Protocol):
    """What outlives a request: small values under keys of 16 bytes, which are digests. Nothing here raises."""

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is in this process's memory, at once."""
        ...

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is there, in memory or behind it; trouble is a miss. A key not found is not looked for again soon."""
        ...

    async def put(self, key: bytes, value: bytes) -> bool:
        """Keep a value, and whether that can be; returns when other processes find it, or when that takes too long."""
        ...

    def forget(self, keys: Sequence[bytes]) -> None:
        """Keep these no longer: in memory at once, behind it soon."""
        ...

    async def close(self) -> None:
        """Write what waits to be written."""
        ...


class Client(Protocol):
    """The caller's side of a stream; no write waits for a caller that does not read (`is_full`)."""

    async def begin(self) -> None:
        """Send the head, once; later calls do nothing."""
        ...

    async def write(self, data: bytes) -> None:
        """Send one piece of the body."""
        ...

    async def finish(self, data: bytes) -> None:
        """Send the last piece and end the body."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether the caller does not read for now."""
        ...

    async def drained(self) -> None:
        """Until the caller reads again, or has gone."""
        ...

    @property
    def takes_pushes(self) -> bool:
        """Whether pieces can be sent by `push` now: the head has left, and the caller keeps up."""
        ...

    def push(self, data: bytes) -> bool:
        """Send one piece without waiting; whether another one may follow at once."""
        ...
