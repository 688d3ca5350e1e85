"""The table of all metrics: collector, documentation, dashboard and alerts are made from it.

Each label has few values by construction: models of the table and `other`, callers up to a limit and `other`,
configured keys, hosts and organizations, kinds of errors. No label holds what a caller wrote, and none an end user.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

Merge: TypeAlias = Literal["sum", "max", "share"]
MetricType: TypeAlias = Literal["counter", "gauge", "histogram"]

# Those of OpenTelemetry's GenAI convention, and three more: answers with tools may take ten minutes.
DURATIONS: Final = tuple(round(0.01 * 2**power, 2) for power in range(17))
# A token comes every 10 to 50 ms.
TOKEN_TIMES: Final = tuple(round(0.001 * 2**power, 3) for power in range(12))
LAGS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# Everything that has no value of its own under a label.
OTHER: Final = "other"
# Money is counted in these, so that rounding loses nothing.
NANO_DOLLARS: Final = 1_000_000_000


class Metric(NamedTuple):
    """One metric; `merge` says how the gauges of several workers become one: `share` is a sum in which each worker that
    knows nothing counts like the others.

    Counted values are divided by `divisor`.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"
    divisor: int = 1


def _counter(name: str, help_text: str, *labels: str, divisor: int = 1) -> Metric:
    return Metric(name, "counter", help_text, labels, divisor=divisor)


def _seconds(name: str, help_text: str, *labels: str, buckets: tuple[float, ...] = DURATIONS) -> Metric:
    return Metric(name, "histogram", help_text, labels, "seconds", buckets)


def _gauge(name: str, help_text: str, *labels: str, merge: Merge = "sum", unit: str = "") -> Metric:
    return Metric(name, "gauge", help_text, labels, unit, merge=merge)


METRICS: Final = (
    # Requests for models, counted when they end.
    _counter(
        "dragoman_requests_total",
        "Requests of known callers, by the status of their end: of a broken stream that of its error, 499 if the "
        "client left.",
        "endpoint",
        "model",
        "caller",
        "status",
    ),
    _counter(
        "dragoman_failures_total",
        "Requests of known callers that failed, by the kind of the error.",
        "endpoint",
        "model",
        "kind",
    ),
    _seconds(
        "dragoman_request_duration_seconds",
        "From a request's arrival to its end; outcome is ok, failed, or gone (the client left).",
        "endpoint",
        "model",
        "outcome",
    ),
    _seconds(
        "dragoman_time_to_first_token_seconds",
        "From the moment when a request was understood to the first content for its caller.",
        "endpoint",
        "model",
    ),
    _seconds(
        "dragoman_time_between_tokens_seconds",
        "Of streams that ended well: the mean time for an output token after the first content.",
        "endpoint",
        "model",
        buckets=TOKEN_TIMES,
    ),
    _seconds("dragoman_queue_wait_seconds", "How long requests waited for a key, of those that had to.", "model"),
    _counter(
        "dragoman_tokens_total",
        "Tokens of all attempts, as upstream reports them; type is input (without the cache), cache_read, "
        "cache_write_5m, cache_write_1h, or output (with thinking). Their sum is everything.",
        "model",
        "caller",
        "type",
    ),
    _counter("dragoman_thinking_tokens_total", "The part of the output tokens that was thinking.", "model", "caller"),
    _counter(
        "dragoman_cost_dollars_total",
        "What all attempts cost by the price table, in US dollars.",
        "model",
        "caller",
        divisor=NANO_DOLLARS,
    ),
    # Calls upstream.
    _counter(
        "dragoman_attempts_total",
        "Calls upstream, by key and outcome: ok, abandoned, or the kind of the error.",
        "key",
        "model",
        "outcome",
    ),
    _seconds(
        "dragoman_attempt_duration_seconds",
        "From the beginning of a call upstream to the end of its answer.",
        "host",
        "model",
    ),
    _seconds(
        "dragoman_upstream_response_seconds",
        "From the beginning of a call upstream to the head of its answer, of calls that were answered.",
        "host",
        "model",
    ),
    _counter(
        "dragoman_fallbacks_total",
        "Requests that another model answered, since the requested one was overloaded.",
        "model",
        "fallback",
    ),
    # Everything over HTTP, also what reaches no endpoint.
    _counter(
        "dragoman_http_requests_total",
        "Answered HTTP requests to whatever path, by the class of their status (4xx).",
        "route",
        "status_class",
    ),
    _counter(
        "dragoman_http_errors_total",
        "Errors that callers were told, by kind: also of requests that were refused before they were read.",
        "kind",
    ),
    _counter(
        "dragoman_rule_refusals_total",
        "Requests that a rule has refused (effect refused), and those that a shadow rule would have (effect shadow).",
        "rule",
        "effect",
    ),
    _counter(
        "dragoman_refused_connections_total",
        "Requests and connections that the server refused before they were a request, by status.",
        "status",
    ),
    # Read when somebody asks.
    _gauge("dragoman_open_requests", "Requests for models that are being answered."),
    _gauge("dragoman_open_streams", "Of these, streams whose head was sent."),
    _gauge("dragoman_background_responses", "Responses that are being made in the background."),
    _gauge("dragoman_connections", "Open connections of clients."),
    _gauge("dragoman_queue_length", "Requests that wait for a key, by class of models.", "model_class"),
    _gauge("dragoman_queue_size", "How many requests may wait for a key."),
    _gauge("dragoman_key_leases", "Requests that use a key now.", "key"),
    _gauge("dragoman_key_room", "How many requests a key may have at once, for keys with a limit.", "key"),
    _gauge("dragoman_key_state", "Workers in which a key has this state.", "key", "state"),
    _gauge(
        "dragoman_rate_limit",
        "Upstream's limit per minute, by organization, class of models, and what is limited.",
        "organization",
        "model_class",
        "limit",
        merge="share",
    ),
    _gauge(
        "dragoman_rate_limit_remaining",
        "What is left of a limit, as estimated since upstream's last answer.",
        "organization",
        "model_class",
        "limit",
        merge="share",
    ),
    _gauge(
        "dragoman_rate_limit_reset_seconds",
        "The time until a limit is full again.",
        "organization",
        "model_class",
        "limit",
        merge="max",
        unit="seconds",
    ),
    _gauge(
        "dragoman_rate_limit_cooling_seconds",
        "How long upstream has told the gateway to wait; 0 if it has not.",
        "organization",
        "model_class",
        merge="max",
        unit="seconds",
    ),
    _gauge(
        "dragoman_breaker_state",
        "0 closed, 1 suspect (others are preferred), 2 half open (one request may try), 3 open; of a host's network, "
        "and of its service for a class of models.",
        "host",
        "model_class",
        merge="max",
    ),
    _counter(
        "dragoman_kept_turns_total",
        "Turns that were kept, and requests that got turns back (restored).",
        "event",
    ),
    _counter(
        "dragoman_kept_turns_left_out_total",
        "Requests that got no turns back although some were kept, by reason.",
        "reason",
    ),
    _gauge("dragoman_store_entries", "Entries in memory, of turns and of responses.", "store"),
    _gauge("dragoman_store_bytes", "Bytes in memory, of turns and of responses.", "store", unit="bytes"),
    _counter(
        "dragoman_store_failures_total",
        "Entries that could not be read, were refused, or could not be written to the store.",
        "store",
        "what",
    ),
    _gauge("dragoman_ledger_waiting", "Requests and rows that are not written to the ledger yet."),
    _gauge("dragoman_ledger_failing", "Workers that cannot write the ledger at the moment."),
    _counter("dragoman_ledger_lost_total", "Requests and rows that the ledger will never have."),
    _gauge("dragoman_request_log_entries", "Requests that the request log holds."),
    _gauge("dragoman_request_log_bytes", "The estimated size of the request log.", unit="bytes"),
    _seconds(
        "dragoman_event_loop_lag_seconds",
        "How late the event loop runs what is due, measured four times a second.",
        buckets=LAGS,
    ),
    _gauge("dragoman_workers", "Processes whose values are in this answer."),
    _gauge("dragoman_build_info", "Always 1; the version of Dragoman and of Python.", "version", "python", merge="max"),
    _gauge(
        "dragoman_start_time_seconds",
        "The Unix time at which the latest worker started.",
        merge="max",
        unit="seconds",
    ),
    _counter("dragoman_cpu_seconds_total", "CPU time of all workers.", divisor=NANO_DOLLARS),
    _gauge("dragoman_resident_memory_bytes", "Resident memory of all workers.", unit="bytes"),
    _gauge("dragoman_open_files", "Open file descriptors of all workers."),
    _gauge("dragoman_max_files", "How many file descriptors all workers may open."),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}
