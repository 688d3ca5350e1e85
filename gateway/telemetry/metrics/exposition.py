"""Writes metrics as Prometheus reads them, as text or OpenMetrics; the library is imported when somebody asks.

Importing it takes some 50 ms and 2 MB, which a gateway without a scraper does not pay for.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.telemetry.metrics.histogram import SUM, Exemplar
from gateway.telemetry.metrics.metrics import Shown
from gateway.telemetry.metrics.otel import RENAMED, Renamed
from gateway.telemetry.metrics.table import BY_NAME, METRICS, Metric

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

_TOTAL: Final = "_total"
_TRACE_ID: Final = "trace_id"


def exposition(shown: Shown, accept: str, *, with_otel_names: bool) -> tuple[bytes, str]:
    """The body and its content type, in the format that the `Accept` header asks for."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(shown, with_otel_names=with_otel_names))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collector:
    """What the library asks for metrics."""

    def __init__(self, shown: Shown, *, with_otel_names: bool) -> None:
        self._shown = shown
        self._with_otel_names = with_otel_names

    def collect(self) -> "Iterator[Family]":
        for metric in METRICS:
            samples = [*_samples_of(self._shown, metric)]
            if samples:
                yield _family(metric, metric.name, metric.help, metric.labels, samples, self._shown)
        if self._with_otel_names:
            yield from self._renamed()

    def _renamed(self) -> "Iterator[Family]":
        for renamed in RENAMED:
            metric = BY_NAME[renamed.source]
            samples = _renamed_samples(self._shown, metric, renamed)
            if samples:
                yield _family(metric, renamed.name, renamed.help, renamed.label_names, samples, None)


def _samples_of(shown: Shown, metric: Metric) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of a metric, each with the values of its labels; those of a histogram are a dictionary."""
    if metric.type == "gauge":
        yield from shown.gauges.get(metric.name, {}).items()
    elif (level := shown.counts.get(metric.name)) is not None:
        yield from _leaves(level, len(metric.labels), ())


def _leaves(level: Any, depth: int, labels: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not depth:
        yield labels, level
    elif isinstance(level, Mapping):
        for value, inner in level.items():
            yield from _leaves(inner, depth - 1, (*labels, value))


def _renamed_samples(shown: Shown, metric: Metric, renamed: Renamed) -> list[tuple[tuple[str, ...], Any]]:
    """The values under the other labels, added up where those are the same."""
    found: dict[tuple[str, ...], Any] = {}
    for labels, value in _samples_of(shown, metric):
        given = renamed.labels(dict(zip(metric.labels, labels, strict=True)))
        if given is None:
            continue
        place = tuple(given[name] for name in renamed.label_names)
        if isinstance(value, Mapping):
            known = found.setdefault(place, {})
            for bucket, count in value.items():
                known[bucket] = known.get(bucket, 0) + count
        else:
            found[place] = found.get(place, 0) + value
    return [*found.items()]


def _family(
    metric: Metric,
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    samples: list[tuple[tuple[str, ...], Any]],
    shown: Shown | None,
) -> "Family":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if metric.type == "histogram":
        histogram = HistogramMetricFamily(name, help_text, labels=labels)
        for values, counts in samples:
            traces = shown.traces.get((name, *values), {}) if shown is not None else {}
            histogram.add_metric(values, _buckets(metric, counts, traces), counts.get(SUM, 0.0))
        return histogram
    if metric.type == "counter":
        counter = CounterMetricFamily(name.removesuffix(_TOTAL), help_text, labels=labels)
        for values, count in samples:
            counter.add_metric(values, count / metric.divisor if metric.divisor != 1 else count)
        return counter
    gauge = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in samples:
        gauge.add_metric(values, value)
    return gauge


def _buckets(metric: Metric, counts: Mapping[str, float], traces: Mapping[int, Exemplar]) -> list[Any]:
    """Cumulated counts by their bounds, as the library takes them."""
    from prometheus_client.core import Exemplar as Sampled

    buckets: list[Any] = []
    sum_so_far = 0.0
    for place, bound in enumerate((*map(repr, metric.buckets), "+Inf")):
        sum_so_far += counts.get(str(place), 0)
        trace = traces.get(place)
        if trace is None:
            buckets.append((bound, sum_so_far))
        else:
            sampled = Sampled({_TRACE_ID: trace.trace_id}, trace.value, trace.at)
            buckets.append((bound, sum_so_far, sampled))
    return buckets
