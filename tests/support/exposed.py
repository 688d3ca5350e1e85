"""What `/metrics` says, as Prometheus' own reader understands it."""

from collections.abc import Iterator

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples_of(text: str) -> Iterator[Sample]:
    """All samples of an answer, in either format."""
    read = openmetrics_families if text.endswith("# EOF\n") else text_string_to_metric_families
    for family in read(text):
        yield from family.samples


def total_of(text: str, name: str, **labels: str) -> float:
    """The sum of a metric over all label sets that have these labels."""
    return sum(
        sample.value for sample in samples_of(text) if sample.name == name and labels.items() <= sample.labels.items()
    )
