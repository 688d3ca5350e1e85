"""What is told of each request that has ended, and who is told: totals, ledger, metrics, the request log."""

from typing import Protocol

from msgspec import Struct

from gateway.service.listening import Listener
from gateway.service.record import Record


class Ended(Struct, frozen=True):
    """A request of an endpoint that generates text, after its end.

    `caller` is the name for people; `key_id` is the id of a stored key. `end_user` is what the caller sent: whoever
    keeps it has to hash it. `model` is the requested one. `at` is the Unix time at which the request arrived,
    `read_seconds` how long it took until it was read and admitted. `status` is what the caller was told, of a stream
    that has broken the status of its error; `error` is the kind of the failure, None if all went well. `heard` is there
    only for clients whose requests may be kept with their content.
    """

    request_id: str
    endpoint: str
    caller: str
    key_id: str | None
    group: str | None
    end_user: str | None
    model: str
    is_stream: bool
    at: float
    seconds: float
    record: Record
    trace_id: str | None = None
    status: int = 200
    error: str | None = None
    read_seconds: float = 0.0
    heard: Listener | None = None


class Observer(Protocol):
    """Somebody who is told of each request that has ended."""

    def note(self, ended: Ended) -> None:
        """Take a request in. Must not wait, and must not raise."""
        ...
