"""What is counted of requests, under labels of which there are few whatever callers do, and how it is written."""

import asyncio
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.metrics import exposition as writing
from gateway.telemetry.metrics.counts import MOST_CALLERS, MOST_KEYS, MOST_ROWS
from gateway.telemetry.metrics.histogram import Histogram
from gateway.telemetry.metrics.lag import LoopLag
from gateway.telemetry.metrics.metrics import Look, Metrics, merged
from gateway.telemetry.metrics.otel import RENAMED
from gateway.telemetry.metrics.routes import route_of
from gateway.telemetry.metrics.table import BY_NAME, DURATIONS, METRICS
from gateway.workers.tallies import total
from tests.support.ended import CHAT, MODEL, NOW, ended, entry, record
from tests.support.exposed import samples_of, total_of
from translators.models import model_table

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def metrics() -> Metrics:
    return Metrics(model_table(), route_of, lambda: NOW)


def shown(*counted: Metrics, accept: str = TEXT) -> str:
    """What one or several processes show together, as it goes from process to process."""
    looks = [msgspec.msgpack.decode(msgspec.msgpack.encode(each.look()), type=Look) for each in counted]
    tallies = [json.loads(json.dumps(each.tally())) for each in counted]
    body, _ = writing.exposition(merged(looks, total(tallies)), accept, with_otel_names=True)
    return body.decode()


def labels_of(text: str, name: str, label: str) -> set[str]:
    return {sample.labels[label] for sample in samples_of(text) if sample.name == name}


def test_a_request_is_counted_with_all_its_attempts() -> None:
    counted = metrics()
    failed = entry("first", error="overloaded", status=529, messages=(), seconds=0.5)
    counted.note(ended(1, failed, entry("second")))
    counted.note(ended(2, error="cut_off", status=502))
    counted.note(ended(3, error="client_gone", status=499))
    text = shown(counted)

    assert total_of(text, "dragoman_requests_total", endpoint=CHAT, model=MODEL, caller="shop") == 3
    assert [total_of(text, "dragoman_requests_total", status=status) for status in ("200", "502", "499")] == [1, 1, 1]
    assert total_of(text, "dragoman_failures_total", kind="cut_off") == 1
    assert total_of(text, "dragoman_attempts_total", key="first", outcome="overloaded") == 1
    assert total_of(text, "dragoman_attempts_total", outcome="ok") == 3
    assert total_of(text, "dragoman_tokens_total", type="cache_write_1h") == 12
    assert total_of(text, "dragoman_thinking_tokens_total") == 60
    cost = 3 * entry().nano_dollars + failed.nano_dollars
    assert total_of(text, "dragoman_cost_dollars_total", caller="shop", model=MODEL) == pytest.approx(cost / 1e9)
    durations = "dragoman_request_duration_seconds"
    assert [total_of(text, f"{durations}_count", outcome=how) for how in ("ok", "failed", "gone")] == [1, 1, 1]
    assert total_of(text, f"{durations}_bucket", outcome="ok", le="2.56") == 0
    assert total_of(text, f"{durations}_bucket", outcome="ok", le="5.12") == 1
    assert total_of(text, "dragoman_time_to_first_token_seconds_sum") == 3
    assert total_of(text, "dragoman_time_between_tokens_seconds_sum") == pytest.approx(3.5 / 299)
    assert total_of(text, "dragoman_upstream_response_seconds_sum") == pytest.approx(4 * 0.8)
    assert total_of(text, "gen_ai_server_request_duration_seconds_count", error_type="") == 1


def test_a_wait_and_another_model_are_counted_where_they_occur() -> None:
    counted = metrics()
    first = entry(model="claude-opus-5", error="overloaded")
    counted.note(ended(1, first, entry(), record=record(first, entry(), fallback=MODEL, waited_seconds=3.0)))
    counted.note(ended(2))
    text = shown(counted)

    assert total_of(text, "dragoman_queue_wait_seconds_count") == 1
    assert total_of(text, "dragoman_fallbacks_total", fallback=MODEL) == 1


def test_what_callers_choose_makes_no_labels() -> None:
    counted = metrics()
    for number in range(600):
        name = f"name-{number}"
        counted.note(ended(number, entry(name, model=name), model=name, caller=name))
        counted.edge.answered(f"/v1/{name}", 404, "unknown_url")
    text = shown(counted)

    assert labels_of(text, "dragoman_requests_total", "model") == {"other"}
    assert len(labels_of(text, "dragoman_requests_total", "caller")) == MOST_CALLERS + 1
    assert len(labels_of(text, "dragoman_tokens_total", "caller")) == MOST_CALLERS + 1
    assert len(labels_of(text, "dragoman_attempts_total", "key")) == MOST_KEYS + 1
    assert labels_of(text, "dragoman_http_requests_total", "route") == {"other"}
    assert total_of(text, "dragoman_requests_total") == 600


def test_callers_and_models_together_make_a_limited_number_of_rows() -> None:
    counted, models = metrics(), [row.id for row in model_table().rows]
    for number in range(MOST_CALLERS):
        for model in models:
            counted.note(ended(number, entry(f"key-{number}", model=model), model=model, caller=f"name-{number}"))
    tally = counted.tally()

    most = MOST_ROWS + len(models)
    assert MOST_ROWS <= sum(map(len, tally["dragoman_requests_total"][CHAT].values())) <= most
    assert sum(map(len, tally["dragoman_attempts_total"].values())) <= most


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (CHAT, CHAT),
        ("/chat/completions", CHAT),
        ("/v1/models/claude-opus-5", "models"),
        ("/responses/resp_1/cancel", "responses"),
        ("/admin/pool", "admin"),
        ("/v1", "other"),
        ("/", "other"),
        ("", "other"),
        ("/v1/v1/chat/completions", "other"),
    ],
)
def test_paths_have_few_routes(path: str, route: str) -> None:
    assert route_of(path) == route


@given(st.lists(st.floats(0, 1000)))
def test_a_histogram_counts_each_value_once_and_under_its_bound(values: list[float]) -> None:
    histogram = Histogram(DURATIONS)
    for value in values:
        histogram.observe(value)

    for place, bound in enumerate(DURATIONS):
        assert sum(histogram.counts[: place + 1]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)


def test_counts_of_several_processes_are_added_up_and_gauges_by_their_rule() -> None:
    first, second = metrics(), metrics()
    for each, value in ((first, 2.0), (second, 3.0)):
        each.note(ended())
        each.gauges.append(
            lambda value=value: [  # type: ignore[misc]
                ("dragoman_key_leases", ("main",), value),
                ("dragoman_breaker_state", ("host", "network"), value),
                ("dragoman_rate_limit", ("org", "sonnet-5", "requests"), value),
            ]
        )
    text = shown(first, second, metrics())

    assert total_of(text, "dragoman_requests_total") == 2
    assert total_of(text, "dragoman_request_duration_seconds_count") == 2
    assert total_of(text, "dragoman_key_leases") == 5
    assert total_of(text, "dragoman_breaker_state") == 3
    assert total_of(text, "dragoman_rate_limit") == 7.5
    assert total_of(text, "dragoman_workers") == 3


def test_openmetrics_shows_the_latest_trace_of_a_bucket() -> None:
    first, second = metrics(), metrics()
    first.note(ended(1, trace_id="a" * 32))
    second.note(ended(2, trace_id="b" * 32, seconds=100.0))
    text = shown(first, second, accept=OPENMETRICS)

    traces = {sample.labels["le"]: sample.exemplar.labels for sample in samples_of(text) if sample.exemplar}
    assert traces == {"5.12": {"trace_id": "a" * 32}, "163.84": {"trace_id": "b" * 32}}
    assert "trace_id" not in shown(first, second)


def test_each_metric_has_a_name_that_tells_its_unit_and_type() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert metric.name.endswith(f"_{metric.unit}" if metric.unit else ""), metric.name
        assert bool(metric.buckets) == (metric.type == "histogram"), metric.name
        assert metric.help.endswith("."), metric.name


def test_each_name_of_opentelemetry_is_for_a_metric_that_there_is() -> None:
    for renamed in RENAMED:
        labels = renamed.labels({**dict.fromkeys(BY_NAME[renamed.source].labels, ""), "type": "output"})
        assert labels is None or tuple(labels) == renamed.label_names


async def test_a_late_event_loop_is_measured() -> None:
    lag = LoopLag()
    lag.start()
    loop = asyncio.get_running_loop()
    lag._due_at = loop.time() - 2.0
    lag._measure(loop)
    lag.stop()

    assert lag.histogram.tally()["9"] == 1
