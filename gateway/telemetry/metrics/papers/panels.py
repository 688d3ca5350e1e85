"""The panels of the dashboard, as a table: what each shows, in PromQL."""

from typing import Final, NamedTuple

# Grafana fits this to the panel's resolution and to how often Prometheus asks.
RATE: Final = "$__rate_interval"
_CHOSEN: Final = 'model=~"$model"'


class Panel(NamedTuple):
    """`queries` are expressions, each with its legend. `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    is_stacked: bool = False
    help: str = ""


class Row(NamedTuple):
    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str, chosen: str = _CHOSEN) -> str:
    return f"sum by ({by}) (rate({metric}{{{chosen}}}[{RATE}]))"


def _quantile(quantile: float, metric: str, chosen: str = _CHOSEN) -> str:
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', 'le', chosen)})"


def _quantiles(metric: str, chosen: str = _CHOSEN) -> tuple[tuple[str, str], ...]:
    return tuple((_quantile(quantile, metric, chosen), f"p{quantile * 100:g}") for quantile in (0.5, 0.95, 0.99))


def _share(part: str, whole: str) -> str:
    return f"sum(rate({part}[{RATE}])) / sum(rate({whole}[{RATE}]))"


ROWS: Final = (
    Row(
        "Requests",
        (
            Panel(
                "Requests a second", "reqps", ((_rate("dragoman_requests_total", "endpoint"), "{{endpoint}}"),), True
            ),
            Panel("By caller", "reqps", ((_rate("dragoman_requests_total", "caller"), "{{caller}}"),), True),
            Panel("By status", "reqps", ((_rate("dragoman_requests_total", "status"), "{{status}}"),), True),
            Panel("Failures by kind", "reqps", ((_rate("dragoman_failures_total", "kind"), "{{kind}}"),), True),
            Panel(
                "Refused by rules",
                "reqps",
                ((_rate("dragoman_rule_refusals_total", "rule, effect", ""), "{{rule}} {{effect}}"),),
                help="Also what shadow rules would have refused.",
            ),
            Panel(
                "Everything over HTTP",
                "reqps",
                ((_rate("dragoman_http_requests_total", "status_class", ""), "{{status_class}}"),),
                True,
                "Also what was refused before it reached an endpoint.",
            ),
            Panel(
                "Open",
                "short",
                (
                    ("dragoman_connections", "connections"),
                    ("dragoman_open_requests", "requests"),
                    ("dragoman_open_streams", "streams"),
                    ("dragoman_background_responses", "in the background"),
                ),
            ),
        ),
    ),
    Row(
        "Time",
        (
            Panel("Duration of requests", "s", _quantiles("dragoman_request_duration_seconds")),
            Panel("Time to first token", "s", _quantiles("dragoman_time_to_first_token_seconds")),
            Panel("Time between tokens", "s", _quantiles("dragoman_time_between_tokens_seconds")),
            Panel("Wait for a key", "s", _quantiles("dragoman_queue_wait_seconds"), help="Of requests that had to."),
            Panel("Upstream: time to its head", "s", _quantiles("dragoman_upstream_response_seconds")),
            Panel("Upstream: duration of calls", "s", _quantiles("dragoman_attempt_duration_seconds")),
        ),
    ),
    Row(
        "Tokens and money",
        (
            Panel("Tokens a second", "short", ((_rate("dragoman_tokens_total", "type"), "{{type}}"),), True),
            Panel("Tokens by caller", "short", ((_rate("dragoman_tokens_total", "caller"), "{{caller}}"),), True),
            Panel(
                "Cost an hour by caller",
                "currencyUSD",
                ((f"3600 * {_rate('dragoman_cost_dollars_total', 'caller')}", "{{caller}}"),),
                True,
            ),
            Panel(
                "Cost an hour by model",
                "currencyUSD",
                ((f"3600 * {_rate('dragoman_cost_dollars_total', 'model')}", "{{model}}"),),
                True,
            ),
            Panel(
                "Prompt tokens from the cache",
                "percentunit",
                (
                    (
                        _share(
                            f'dragoman_tokens_total{{{_CHOSEN},type="cache_read"}}',
                            f'dragoman_tokens_total{{{_CHOSEN},type!="output"}}',
                        ),
                        "share",
                    ),
                ),
            ),
            Panel(
                "Output tokens that are thinking",
                "percentunit",
                (
                    (
                        _share(
                            f"dragoman_thinking_tokens_total{{{_CHOSEN}}}",
                            f'dragoman_tokens_total{{{_CHOSEN},type="output"}}',
                        ),
                        "share",
                    ),
                ),
            ),
        ),
    ),
    Row(
        "Keys and limits",
        (
            Panel("States of keys", "short", (("sum by (key, state) (dragoman_key_state)", "{{key}} {{state}}"),)),
            Panel(
                "Requests by key", "short", (("dragoman_key_leases", "{{key}}"), ("dragoman_key_room", "{{key}} room"))
            ),
            Panel(
                "Calls by outcome",
                "reqps",
                ((_rate("dragoman_attempts_total", "key, outcome"), "{{key}} {{outcome}}"),),
            ),
            Panel(
                "What is left of limits",
                "percentunit",
                (
                    (
                        "dragoman_rate_limit_remaining / dragoman_rate_limit",
                        "{{organization}} {{model_class}} {{limit}}",
                    ),
                ),
            ),
            Panel(
                "Until limits are full, and told to wait",
                "s",
                (
                    ("dragoman_rate_limit_reset_seconds", "{{organization}} {{model_class}} {{limit}}"),
                    ("dragoman_rate_limit_cooling_seconds", "{{organization}} {{model_class}} cooling"),
                ),
            ),
            Panel(
                "Queue",
                "short",
                (("sum by (model_class) (dragoman_queue_length)", "{{model_class}}"), ("dragoman_queue_size", "size")),
            ),
            Panel(
                "Breakers",
                "short",
                (("dragoman_breaker_state", "{{host}} {{model_class}}"),),
                help="0 closed, 1 suspect, 2 half open, 3 open.",
            ),
            Panel(
                "Answers by another model",
                "reqps",
                ((_rate("dragoman_fallbacks_total", "model, fallback"), "{{model}} to {{fallback}}"),),
            ),
        ),
    ),
    Row(
        "Process",
        (
            Panel("Event loop lag", "s", _quantiles("dragoman_event_loop_lag_seconds", "")),
            Panel("CPU", "short", ((f"rate(dragoman_cpu_seconds_total[{RATE}])", "cores"),)),
            Panel(
                "Memory",
                "bytes",
                (
                    ("dragoman_resident_memory_bytes", "resident"),
                    ("dragoman_store_bytes", "store {{store}}"),
                    ("dragoman_request_log_bytes", "request log"),
                ),
            ),
            Panel(
                "Workers, and requests in the log",
                "short",
                (("dragoman_workers", "workers"), ("dragoman_request_log_entries", "requests in the log")),
            ),
            Panel("Since the latest worker started", "s", (("time() - dragoman_start_time_seconds", "seconds"),)),
            Panel("Files", "short", (("dragoman_open_files", "open"), ("dragoman_max_files", "limit"))),
            Panel(
                "Refused by the server",
                "reqps",
                (
                    (_rate("dragoman_refused_connections_total", "status", ""), "{{status}}"),
                    (_rate("dragoman_http_errors_total", "kind", 'kind=~"wrong_key|too_many_wrong_keys"'), "{{kind}}"),
                ),
            ),
            Panel(
                "Kept turns",
                "reqps",
                (
                    (_rate("dragoman_kept_turns_total", "event", ""), "{{event}}"),
                    (_rate("dragoman_kept_turns_left_out_total", "reason", ""), "left out: {{reason}}"),
                    (_rate("dragoman_store_failures_total", "store, what", ""), "{{store}} {{what}}"),
                ),
            ),
            Panel(
                "Ledger",
                "short",
                (
                    ("dragoman_ledger_waiting", "waiting"),
                    ("dragoman_ledger_failing", "workers that cannot write"),
                    ("increase(dragoman_ledger_lost_total[1h])", "lost in an hour"),
                ),
            ),
            Panel("Entries of stores in memory", "short", (("dragoman_store_entries", "{{store}}"),)),
        ),
    ),
)
