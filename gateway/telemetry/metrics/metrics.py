"""The metrics of one process, and how those of several become one: counts are added up, gauges by their rule."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from gateway.service.observers import Ended
from gateway.telemetry.metrics.counts import EdgeCounts, RequestCounts, Tally, put
from gateway.telemetry.metrics.gauges import Gauge, added_up, process_gauges
from gateway.telemetry.metrics.histogram import Exemplar
from gateway.telemetry.metrics.lag import LoopLag
from gateway.telemetry.metrics.table import BY_NAME
from translators.models import ModelTable

METRICS: Final = "metrics"
"""The name of their view."""
_CPU_NANOSECONDS: Final = 10_000_000


class Values(Struct, frozen=True, array_like=True):
    """The values of one metric, each with the values of its labels."""

    name: str
    values: list[tuple[list[str], float]]


class Traces(Struct, frozen=True, array_like=True):
    """The latest traces of one histogram, by the numbers of its buckets."""

    name: str
    labels: list[str]
    buckets: dict[int, Exemplar]


class Look(Struct, frozen=True):
    """What one process shows now, beside its counts."""

    gauges: list[Values] = field(default_factory=list)
    traces: list[Traces] = field(default_factory=list)


class Metrics:
    """All metrics of one process, from its start on. `gauges` and `counts` are asked whenever somebody looks."""

    def __init__(self, models: ModelTable, route_of: Callable[[str], str], now: Callable[[], float]) -> None:
        self.requests = RequestCounts(models)
        self.edge = EdgeCounts(route_of)
        self.lag = LoopLag()
        self.gauges: list[Callable[[], Iterable[Gauge]]] = []
        self.counts: list[Callable[[], Iterable[Gauge]]] = []
        self._started_at = now()

    def note(self, ended: Ended) -> None:
        """Count a request."""
        self.requests.note(ended)

    def tally(self) -> Tally:
        """All counts, which only grow."""
        tally = self.requests.tally() | self.edge.tally()
        put(tally, self.lag.histogram.tally(), "dragoman_event_loop_lag_seconds")
        # In steps, so that a process at rest shows the same again.
        put(tally, time.process_time_ns() // _CPU_NANOSECONDS * _CPU_NANOSECONDS, "dragoman_cpu_seconds_total")
        for counted in self.counts:
            for name, labels, count in counted():
                put(tally, count, name, *labels)
        return tally

    def look(self) -> Look:
        """What is shown now."""
        gauges = [gauge for read in self.gauges for gauge in read()]
        found = added_up([*gauges, *process_gauges(self._started_at)])
        values = [
            Values(name, [([*labels], value) for labels, value in by_labels.items()])
            for name, by_labels in found.items()
        ]
        traces = [
            Traces(name, labels, buckets)
            for name, histograms in self.requests.exemplars().items()
            for labels, buckets in histograms
        ]
        return Look(values, traces)


class Shown(Struct, frozen=True):
    """The metrics of all processes: numbers by metric and by the values of its labels, and traces of histograms."""

    counts: Tally
    gauges: Mapping[str, Mapping[tuple[str, ...], float]]
    traces: Mapping[tuple[str, ...], Mapping[int, Exemplar]]


def merged(looks: Sequence[Look], tally: Tally) -> Shown:
    """The metrics of several processes, of whose counts `tally` is the sum."""
    values: dict[str, dict[tuple[str, ...], list[float]]] = {}
    traces: dict[tuple[str, ...], Mapping[int, Exemplar]] = {}
    for look in looks:
        for found in look.gauges:
            by_labels = values.setdefault(found.name, {})
            for labels, value in found.values:
                by_labels.setdefault(tuple(labels), []).append(value)
        for trace in look.traces:
            place = (trace.name, *trace.labels)
            traces[place] = {**traces.get(place, {}), **trace.buckets}
    gauges = {
        name: {labels: _merged(name, each, len(looks)) for labels, each in by_labels.items()}
        for name, by_labels in values.items()
    }
    return Shown(tally, gauges, traces)


def _merged(name: str, values: Sequence[float], workers: int) -> float:
    """The gauge of all workers, by the rule of its metric."""
    merge = BY_NAME[name].merge if name in BY_NAME else "sum"
    if merge == "max":
        return max(values)
    # Each worker has its share of a limit, also one that has not heard of it yet.
    return sum(values) * (workers / len(values) if merge == "share" else 1)
