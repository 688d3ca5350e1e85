"""Which requests somebody asks for, and in which order they are shown: the latest first."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from gateway.telemetry.requests.entries import Entry

USUAL_LIMIT: Final = 50
MOST: Final = 1_000
_FAILED: Final = "failed"


class Wanted(Struct, frozen=True):
    """What requests have to be; None is anything. `status` is a number, a class as `5xx`, or `failed`.

    `after` is a Unix time: only requests that ended later. `model` is the one that was asked for, or that answered.
    """

    caller: str | None = None
    model: str | None = None
    status: str | None = None
    slower_than: float | None = None
    after: float | None = None
    limit: int = USUAL_LIMIT


def chosen(entries: Iterable[Entry], wanted: Wanted) -> list[Entry]:
    """The requests that match, by their end, the latest first."""
    found = [entry for entry in entries if _matches(entry, wanted)]
    found.sort(key=lambda entry: (entry.ended_at, entry.id), reverse=True)
    return found[: wanted.limit]


def _matches(entry: Entry, wanted: Wanted) -> bool:
    return (
        (wanted.caller is None or wanted.caller in (entry.caller, entry.key_id))
        and (wanted.model is None or wanted.model in (entry.asked_model, entry.model))
        and (wanted.status is None or _has_status(entry, wanted.status))
        and (wanted.slower_than is None or entry.ms > wanted.slower_than * 1000)
        and (wanted.after is None or entry.ended_at > wanted.after)
    )


def _has_status(entry: Entry, status: str) -> bool:
    if status == _FAILED:
        return entry.error is not None
    return str(entry.status) == status or f"{entry.status // 100}xx" == status
