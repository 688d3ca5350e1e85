"""Who observes the requests of one process: metrics, request log and traces, and what they read when one looks."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeVar

from starlette.types import Scope

from gateway.accounts.rules.admission import Rules
from gateway.config import Config
from gateway.edge.interrupts import Interrupts
from gateway.edge.tracing import trace_id_of
from gateway.http import descriptors
from gateway.http.limits import ServerLimits
from gateway.http.refusals import Refusal, Refuse
from gateway.kept_turns import Storage
from gateway.ledger.storage import Ledger
from gateway.service.background import Background
from gateway.service.dispatch import Dispatcher
from gateway.service.kept import KeptTurns
from gateway.service.observers import Ended, Observer
from gateway.service.wire import SeenWire
from gateway.telemetry.metrics.gauges import Gauge, pool_gauges, rule_counts
from gateway.telemetry.metrics.metrics import METRICS, Look, Metrics, merged
from gateway.telemetry.metrics.routes import route_of
from gateway.telemetry.requests.contents import Content, Contents, Wires
from gateway.telemetry.requests.entries import Entry
from gateway.telemetry.requests.log import RequestLog, RequestLogSettings
from gateway.telemetry.requests.recent import RECENT, Now, Recent
from gateway.telemetry.requests.recent import merged as merged_recent
from gateway.telemetry.requests.views import CONTENTS, REQUESTS, WIRES
from gateway.telemetry.traces.opening import open_tracers
from gateway.workers.views import View
from translators.models import ModelTable

T = TypeVar("T")

# Requests that wait for their batch.
_MOST_WAITING: Final = 128


@dataclass(frozen=True, slots=True)
class Observed:
    """What gauges are read from."""

    dispatcher: Dispatcher
    interrupts: Interrupts
    background: Background
    storage: Storage
    turns: KeptTurns
    ledger: Ledger
    rules: Rules


class Batch:
    """Hands requests on to other observers, many at once: that costs half as much as each within its request."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._ended: list[Ended] = []

    def note(self, ended: Ended) -> None:
        """Take a request in; one with content is handed on at once, since its content has a time."""
        self._ended.append(ended)
        if len(self._ended) >= _MOST_WAITING or ended.heard is not None:
            self.flush()

    def flush(self) -> None:
        """Hand on what there is."""
        noted, self._ended = self._ended, []
        for observer in self._observers:
            for ended in noted:
                observer.note(ended)

    def hand_to(self, observers: Sequence[Observer]) -> None:
        """Hand further requests to these."""
        self.flush()
        self._observers = tuple(observers)


class Observing:
    """Metrics and request log of one process, from its start on: a reload changes their settings."""

    def __init__(self, config: Config, models: ModelTable, observed: Observed, now: Callable[[], float]) -> None:
        self.metrics = Metrics(models, route_of, now)
        self.requests = RequestLog(_settings_of(config), Contents(now), Wires(now))
        self._tracers = open_tracers(os.environ)
        self.recent = Recent(now)
        self._now = now
        self._observed = observed
        self._config = config
        self._is_started = False
        self._batch = Batch(self._wanted())
        self.metrics.gauges.append(self._gauges)
        self.metrics.counts.append(self._counts)

    def use(self, config: Config, models: ModelTable) -> None:
        """Go by another configuration from now on."""
        self._config = config
        self._batch.hand_to(self._wanted())
        self.metrics.requests.use(models)
        self.requests.use(_settings_of(config))
        if self._is_started:
            self.start()

    def start(self) -> None:
        """Measure the event loop from now on, or no longer, as the configuration says."""
        self._is_started = True
        self.metrics.lag.stop()
        if self._config.metrics.enabled:
            self.metrics.lag.start()

    def stop(self) -> None:
        self._is_started = False
        self.metrics.lag.stop()
        self.requests.contents.close()
        self.requests.wires.close()

    async def close(self) -> None:
        """Send the traces of all requests, which have ended by now."""
        for tracer in self._tracers:
            await tracer.close()

    def serving(self, limits: ServerLimits, refuse: Refuse) -> Refuse:
        """Read the server's connections from now on; returns what refuses requests, and counts them."""
        edge = self.metrics.edge
        self.metrics.gauges.append(lambda: [("dragoman_connections", (), limits.connections)])

        def refuse_and_count(refusal: Refusal, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
            edge.refused(refusal.status)
            return refuse(refusal, url, headers)

        return refuse_and_count

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who is told of requests, if anybody is."""
        return (self._batch, *self._tracers) if self._wanted() else self._tracers

    @property
    def trace(self) -> Callable[[Scope], str | None]:
        """What begins the trace of a request, and returns its id."""
        return self._tracers[0].begin if self._tracers else trace_id_of

    @property
    def on_answered(self) -> Callable[[str, int, str | None], None] | None:
        """Who is told of each answered request, whatever its path."""
        return self.metrics.edge.answered if self._config.metrics.enabled else None

    def views(self) -> tuple[View[Any], ...]:
        """What `/metrics`, `/admin/requests` and `/admin/overview` show, for all workers."""
        metrics, requests = self._after_all(self.metrics), self._after_all(self.requests)
        return (
            View(
                METRICS,
                Look,
                lambda: metrics().look(),
                lambda looks, tally: {METRICS: merged(looks, tally)},
                lambda: metrics().tally(),
            ),
            View(
                REQUESTS,
                list[Entry],
                lambda: requests().look(),
                lambda found, _: {REQUESTS: [*chain.from_iterable(found)]},
            ),
            View(RECENT, Now, self._look_now, lambda parts, _: merged_recent(parts, self._now())),
            View(
                CONTENTS,
                dict[str, Content],
                self.requests.contents.shown,
                lambda found, _: {CONTENTS: dict(chain.from_iterable(each.items() for each in found))},
            ),
            View(
                WIRES,
                dict[str, SeenWire],
                self.requests.wires.shown,
                lambda found, _: {WIRES: dict(chain.from_iterable(each.items() for each in found))},
            ),
        )

    def _wanted(self) -> tuple[Observer, ...]:
        metrics = (self.metrics,) if self._config.metrics.enabled else ()
        log = (self.requests,) if self._config.request_log.size else ()
        return (*metrics, *log, *((self.recent,) if self._config.console.enabled else ()))

    def _after_all(self, observer: T) -> Callable[[], T]:
        """The observer, after it was told of all requests that have ended."""

        def told() -> T:
            self._batch.flush()
            return observer

        return told

    def _look_now(self) -> Now:
        self._batch.flush()
        observed = self._observed
        opened, waiting = observed.interrupts, observed.dispatcher.waiting
        return Now(len(opened), opened.begun, waiting, self.recent.slices())

    def _gauges(self) -> Iterator[Gauge]:
        observed, log = self._observed, self.requests
        yield from pool_gauges(observed.dispatcher.snapshot())
        yield "dragoman_open_requests", (), len(observed.interrupts)
        yield "dragoman_open_streams", (), observed.interrupts.begun
        yield "dragoman_background_responses", (), len(observed.background)
        if (ledger := observed.ledger.state) is not None:
            yield "dragoman_ledger_waiting", (), ledger.waiting
            yield "dragoman_ledger_failing", (), ledger.is_failing
        yield "dragoman_request_log_entries", (), len(log)
        yield "dragoman_request_log_bytes", (), log.bytes
        if (limit := descriptors.limit()) is not None:
            yield "dragoman_max_files", (), limit
        turns, records = observed.storage.store.current.view(), observed.storage.records.view()
        yield "dragoman_store_entries", ("turns",), turns.entries
        yield "dragoman_store_bytes", ("turns",), turns.bytes
        yield "dragoman_store_entries", ("responses",), records.in_memory
        yield "dragoman_store_bytes", ("responses",), records.bytes

    def _counts(self) -> Iterator[Gauge]:
        observed = self._observed
        if (ledger := observed.ledger.state) is not None:
            yield "dragoman_ledger_lost_total", (), ledger.lost
        yield from rule_counts(observed.rules.refused, "refused")
        yield from rule_counts(observed.rules.shadows.totals, "shadow")
        kept = observed.turns.counts
        yield "dragoman_kept_turns_total", ("kept",), kept.kept
        yield "dragoman_kept_turns_total", ("restored",), kept.restored
        for reason, count in kept.left_out.items():
            yield "dragoman_kept_turns_left_out_total", (reason,), count
        turns, records = observed.storage.store.current.counts, observed.storage.records.counts
        yield "dragoman_store_failures_total", ("turns", "unreadable"), turns.unreadable
        for store, counts in (("turns", turns), ("responses", records)):
            yield "dragoman_store_failures_total", (store, "refused"), counts.refused
            yield "dragoman_store_failures_total", (store, "not_written"), counts.not_written


def _settings_of(config: Config) -> RequestLogSettings:
    return RequestLogSettings(config.request_log.size, config.request_log.max_bytes)
