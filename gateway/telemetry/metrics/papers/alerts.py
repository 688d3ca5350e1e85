"""The alerts, as a table: when somebody should look, and what it means."""

from typing import Final, NamedTuple

_REQUESTS: Final = "dragoman_requests_total"


class Alert(NamedTuple):
    """`for_minutes` is how long the expression has to hold. `severity` is page (now) or ticket (today)."""

    name: str
    expression: str
    for_minutes: int
    severity: str
    summary: str
    description: str


ALERTS: Final = (
    Alert(
        "DragomanAbsent",
        "absent(dragoman_build_info)",
        5,
        "page",
        "No gateway is there to be asked",
        "Prometheus has had no answer from /metrics for five minutes: the gateway is down, or the key is wrong.",
    ),
    Alert(
        "DragomanFails",
        f'sum(rate({_REQUESTS}{{status=~"5.."}}[5m])) / sum(rate({_REQUESTS}[5m])) > 0.05',
        5,
        "page",
        "More than 5 % of requests fail",
        "dragoman_failures_total has the kinds; `dragoman requests --status failed` shows single requests.",
    ),
    Alert(
        "DragomanNoKeyReady",
        'sum(dragoman_key_state) > 0 unless sum(dragoman_key_state{state=~"ready|on_trial|full"}) > 0',
        2,
        "page",
        "No key can be used",
        "All keys are limited, rejected, or their host is down. `dragoman pool` shows for how long.",
    ),
    Alert(
        "DragomanKeyRejected",
        'sum by (key) (dragoman_key_state{state="rejected"}) > 0',
        1,
        "ticket",
        "Upstream rejects the key {{ $labels.key }}",
        "It was revoked or mistyped. Give it another secret, or run `dragoman doctor`; the other keys serve meanwhile.",
    ),
    Alert(
        "DragomanOutOfFunds",
        'sum by (key) (dragoman_key_state{state="out_of_funds"}) > 0',
        1,
        "page",
        "The organization of the key {{ $labels.key }} is out of funds",
        "It has no credit left, or has reached its spend limit, which only its owner can change.",
    ),
    Alert(
        "DragomanRateLimited",
        'sum(rate(dragoman_failures_total{kind="rate_limited"}[5m])) > 0',
        10,
        "ticket",
        "Callers get 429 since all keys are at their limits",
        "Raise the limits, add keys of another organization, or limit callers by rules.",
    ),
    Alert(
        "DragomanQueueGrows",
        "sum(dragoman_queue_length) / max(dragoman_queue_size) > 0.5",
        5,
        "ticket",
        "More than half of the queue for keys is taken",
        "Requests arrive faster than the limits of the keys allow; beyond pool.queue_size they are answered with 429.",
    ),
    Alert(
        "DragomanUpstreamDown",
        "dragoman_breaker_state >= 2",
        2,
        "page",
        "{{ $labels.host }} does not answer ({{ $labels.model_class }})",
        "Only trial requests are sent there. The log says why; /admin/pool has the errors.",
    ),
    Alert(
        "DragomanUpstreamSlow",
        "histogram_quantile(0.95, sum by (le, host) (rate(dragoman_upstream_response_seconds_bucket[10m]))) > 30",
        10,
        "ticket",
        "{{ $labels.host }} takes more than 30 s to begin an answer",
        "One request of twenty waits that long. Compare with Anthropic's status page.",
    ),
    Alert(
        "DragomanStreamsBreak",
        'sum(rate(dragoman_attempts_total{outcome=~"cut_off|protocol_error"}[10m])) '
        "/ sum(rate(dragoman_attempts_total[10m])) > 0.02",
        10,
        "ticket",
        "More than 2 % of upstream's answers break off",
        "The network, or a proxy on the way, closes connections before the end of answers.",
    ),
    Alert(
        "DragomanStoreFails",
        'sum by (store) (increase(dragoman_store_failures_total{what="not_written"}[15m])) > 0',
        1,
        "ticket",
        "The store of {{ $labels.store }} cannot be written",
        "Is the disk full, or the server away? Until then turns and responses are in the memory of single processes.",
    ),
    Alert(
        "DragomanLedgerFails",
        "dragoman_ledger_failing > 0 or increase(dragoman_ledger_lost_total[15m]) > 0",
        1,
        "page",
        "The ledger cannot be written",
        "Is the disk full? What is not written waits in memory within bounds; what is lost there is not billed.",
    ),
    Alert(
        "DragomanEventLoopLags",
        "histogram_quantile(0.99, sum by (le) (rate(dragoman_event_loop_lag_seconds_bucket[5m]))) > 0.25",
        10,
        "ticket",
        "The event loop is late by more than 250 ms",
        "A core is not enough for this load: set server.workers, or give the process more CPU.",
    ),
    Alert(
        "DragomanFilesRunOut",
        "dragoman_open_files / dragoman_max_files > 0.8",
        5,
        "ticket",
        "More than 80 % of the file descriptors are open",
        "Beyond the limit no client can connect. Raise `ulimit -n`, or set server.max_connections.",
    ),
    Alert(
        "DragomanKeysAreGuessed",
        'sum(rate(dragoman_http_errors_total{kind=~"wrong_key|too_many_wrong_keys"}[5m])) > 1',
        10,
        "ticket",
        "Somebody tries keys",
        "More than one wrong key a second for ten minutes; the log names the addresses.",
    ),
    Alert(
        "DragomanCostJumps",
        "sum(increase(dragoman_cost_dollars_total[1h])) "
        "> 3 * sum(increase(dragoman_cost_dollars_total[1d] offset 1h)) / 24 "
        "and sum(increase(dragoman_cost_dollars_total[1h])) > 10",
        15,
        "ticket",
        "The last hour cost more than three times the usual",
        "dragoman_cost_dollars_total has callers and models. A rule can bound what a caller spends.",
    ),
)
