"""The one end of every request that generates text: its log line, its account, and everyone who observes it."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.accounts.visits import Visit
from gateway.doors.records import RequestSummary, note_record
from gateway.edge.notes import Notes
from gateway.edge.outcomes import Outcome
from gateway.service.listening import Listener
from gateway.service.observers import Ended, Observer
from gateway.service.record import Progress, Record, record_of

_NOTHING_TRIED: Final = record_of([Progress("")])


class RequestEnd(NamedTuple):
    """What the end of a request is told besides its record; see `Ended`."""

    outcome: Outcome
    read_seconds: float = 0.0
    trace_id: str | None = None
    heard: Listener | None = None


class Ending:
    """Ends requests; `now` gives the Unix time. `watchers` are also told of those that were refused before."""

    def __init__(
        self, observers: Sequence[Observer], now: Callable[[], float], watchers: Sequence[Observer] = ()
    ) -> None:
        self._observers = tuple(observers)
        self._watchers = tuple(watchers)
        self._now = now

    def note(
        self,
        request_id: str,
        notes: Notes,
        asked: RequestSummary,
        visit: Visit,
        progress: Sequence[Progress],
        seconds: float,
        end: RequestEnd,
    ) -> None:
        """End a request that was read, however it went; `seconds` is how long it took."""
        record = record_of(progress)
        note_record(notes, record, asked, visit.caller)
        if end.trace_id is not None:
            notes.fields["trace_id"] = end.trace_id
        visit.settle(record)
        if not asked.is_counted:
            return
        ended = self._ended(request_id, visit, record, seconds, end, asked)
        for observer in self._observers:
            observer.note(ended)

    def refuse(self, request_id: str, visit: Visit, seconds: float, end: RequestEnd) -> None:
        """End a request of a known caller that could not be read, or was not admitted."""
        visit.settle(None)
        if self._watchers:
            ended = self._ended(request_id, visit, _NOTHING_TRIED, seconds, end)
            for watcher in self._watchers:
                watcher.note(ended)

    def _ended(
        self,
        request_id: str,
        visit: Visit,
        record: Record,
        seconds: float,
        end: RequestEnd,
        asked: RequestSummary | None = None,
    ) -> Ended:
        """What observers are told; without `asked`, nobody knows what was asked for."""
        caller = visit.caller
        return Ended(
            request_id=request_id,
            endpoint=visit.endpoint,
            caller=caller.name,
            key_id=caller.key_id,
            group=caller.group,
            end_user=visit.end_user if asked is not None else None,
            model=asked.model if asked is not None else "",
            is_stream=asked is not None and asked.is_stream,
            at=self._now() - seconds,
            seconds=seconds,
            record=record,
            trace_id=end.trace_id,
            status=end.outcome.status,
            error=end.outcome.error,
            read_seconds=end.read_seconds,
            heard=end.heard,
        )
