"""What is counted of each request: plain integers in rows of our own, which are found by the request's labels.

A row is made at a label set's first request; after that a request costs some look-ups and additions. The number of
rows is limited: what comes later is counted under `other`.
"""

from collections.abc import Callable, Sized
from typing import Any, Final, TypeAlias

from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry
from gateway.telemetry.metrics.histogram import Exemplar, Histogram
from gateway.telemetry.metrics.table import DURATIONS, OTHER, TOKEN_TIMES
from translators.message_usage import MessageUsage
from translators.models import ModelTable

Tally: TypeAlias = dict[str, Any]
"""Numbers by metric and then by the values of its labels, one level each; a histogram has one level more."""

MOST_CALLERS: Final = 200
MOST_KEYS: Final = 500
# Rows with a caller or a key of their own. Workers tell each other all counts every second.
MOST_ROWS: Final = 2_000
_MOST_MODELS: Final = 500
_GONE_STATUS: Final = 499
_OK: Final = "ok"
_OUTCOMES: Final = (_OK, "failed", "gone")
_TYPES: Final = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class _Timing:
    """How long the requests of one endpoint and model took, by outcome, and how their answers came."""

    __slots__ = ("between_tokens", "durations", "first_token")

    def __init__(self) -> None:
        self.durations = tuple(Histogram(DURATIONS) for _ in _OUTCOMES)
        self.first_token = Histogram(DURATIONS)
        self.between_tokens = Histogram(TOKEN_TIMES)


class _Tokens:
    """What one caller has used of one model."""

    __slots__ = ("cache_read", "cache_write_1h", "cache_write_5m", "cost", "input", "output", "thinking")

    def __init__(self) -> None:
        self.input = self.cache_read = self.cache_write_5m = self.cache_write_1h = self.output = 0
        self.thinking = self.cost = 0

    def add(self, usage: MessageUsage) -> None:
        self.input += usage.input_tokens
        self.cache_read += usage.cache_read_tokens
        self.cache_write_5m += usage.cache_write_5m_tokens
        self.cache_write_1h += usage.cache_write_1h_tokens
        self.output += usage.output_tokens
        self.thinking += usage.thinking_tokens


class _Row:
    """The requests of one endpoint, model and caller; what it shares with other rows is looked up once."""

    __slots__ = ("statuses", "timing")

    def __init__(self, timing: _Timing) -> None:
        self.statuses: dict[int, int] = {}
        self.timing = timing


class _Attempts:
    """The calls with one key for one model."""

    __slots__ = ("durations", "heads", "outcomes")

    def __init__(self, durations: Histogram, heads: Histogram) -> None:
        self.outcomes: dict[str, int] = {}
        self.durations = durations
        self.heads = heads


class RequestCounts:
    """The counts of one process since its start: an observer of requests."""

    def __init__(self, models: ModelTable) -> None:
        self._models = models
        self._labels: dict[str, str] = {}
        self._callers: set[str] = set()
        self._keys: set[str] = set()
        self._hosts: set[str] = set()
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._timings: dict[tuple[str, str], _Timing] = {}
        self._tokens: dict[tuple[str, str], _Tokens] = {}
        self._attempts: dict[tuple[str, str, str], _Attempts] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}
        self._heads: dict[tuple[str, str], Histogram] = {}
        self._waits: dict[str, Histogram] = {}
        self._failures: dict[tuple[str, str, str], int] = {}
        self._fallbacks: dict[tuple[str, str], int] = {}

    def use(self, models: ModelTable) -> None:
        """Name models by this table from now on."""
        self._models = models
        self._labels.clear()

    def note(self, ended: Ended) -> None:
        """Count a request with all its attempts."""
        record, status = ended.record, ended.status
        named = record.model or ended.model
        model = self._labels.get(named) or self._label(named)
        row = self._rows.get((ended.endpoint, model, ended.caller)) or self._row(ended.endpoint, model, ended.caller)
        row.statuses[status] = row.statuses.get(status, 0) + 1
        timing = row.timing
        if ended.error is None:
            durations = timing.durations[0]
        else:
            durations = timing.durations[2 if status == _GONE_STATUS else 1]
            self._fail(ended, model)
        bucket = durations.observe(ended.seconds)
        if ended.trace_id is not None:
            _exemplify(durations, bucket, ended)
        if (first := record.first_token_seconds) is not None:
            timing.first_token.observe(first)
            if ended.is_stream and ended.error is None and (tokens := record.answer_usage.output_tokens) > 1:
                timing.between_tokens.observe((ended.seconds - first) / (tokens - 1))
        if record.waited_seconds:
            self._histogram(self._waits, model).observe(record.waited_seconds)
        self._count_use(ended, model)

    def tally(self) -> Tally:
        """All counts, which only grow."""
        tally: Tally = {}
        for (endpoint, model, caller), row in self._rows.items():
            statuses = {str(status): count for status, count in row.statuses.items()}
            put(tally, statuses, "dragoman_requests_total", endpoint, model, caller)
        for (endpoint, model), timing in self._timings.items():
            for outcome, durations in zip(_OUTCOMES, timing.durations, strict=True):
                put(tally, durations.tally(), "dragoman_request_duration_seconds", endpoint, model, outcome)
            put(tally, timing.first_token.tally(), "dragoman_time_to_first_token_seconds", endpoint, model)
            put(tally, timing.between_tokens.tally(), "dragoman_time_between_tokens_seconds", endpoint, model)
        self._tally_use(tally)
        for labels, count in self._failures.items():
            put(tally, count, "dragoman_failures_total", *labels)
        for pair, count in self._fallbacks.items():
            put(tally, count, "dragoman_fallbacks_total", *pair)
        for model, waits in self._waits.items():
            put(tally, waits.tally(), "dragoman_queue_wait_seconds", model)
        return tally

    def exemplars(self) -> dict[str, list[tuple[list[str], dict[int, Exemplar]]]]:
        """By metric, the labels of histograms with the traces of their buckets."""
        found = [
            ([endpoint, model, outcome], durations.exemplars)
            for (endpoint, model), timing in self._timings.items()
            for outcome, durations in zip(_OUTCOMES, timing.durations, strict=True)
            if durations.exemplars
        ]
        return {"dragoman_request_duration_seconds": found} if found else {}

    def _tally_use(self, tally: Tally) -> None:
        for (model, caller), tokens in self._tokens.items():
            types = {name: getattr(tokens, name) for name in _TYPES}
            put(tally, types, "dragoman_tokens_total", model, caller)
            put(tally, tokens.thinking, "dragoman_thinking_tokens_total", model, caller)
            put(tally, tokens.cost, "dragoman_cost_dollars_total", model, caller)
        outcomes: dict[tuple[str, str, str], int] = {}
        for (key, _, model), attempts in self._attempts.items():
            for outcome, count in attempts.outcomes.items():
                outcomes[key, model, outcome] = outcomes.get((key, model, outcome), 0) + count
        for labels, count in outcomes.items():
            put(tally, count, "dragoman_attempts_total", *labels)
        for (host, model), histogram in self._durations.items():
            put(tally, histogram.tally(), "dragoman_attempt_duration_seconds", host, model)
        for (host, model), histogram in self._heads.items():
            put(tally, histogram.tally(), "dragoman_upstream_response_seconds", host, model)

    # Counting

    def _count_use(self, ended: Ended, model: str) -> None:
        """Count what the attempts took and used."""
        record = ended.record
        if record.fallback is not None:
            asked = record.entries[0].model if record.entries else ended.model
            pair = (self._label(asked), model)
            self._fallbacks[pair] = self._fallbacks.get(pair, 0) + 1
        for entry in record.entries:
            self._count_attempt(entry, ended.caller)
            for usage in entry.messages:
                named = usage.model or entry.model
                used = self._labels.get(named) or self._label(named)
                tokens = self._tokens.get((used, ended.caller)) or self._tokens_of(used, ended.caller)
                tokens.add(usage)

    def _count_attempt(self, entry: AttemptEntry, caller: str) -> None:
        model = self._labels.get(entry.model) or self._label(entry.model)
        if nano_dollars := entry.charge.nano_dollars:
            tokens = self._tokens.get((model, caller)) or self._tokens_of(model, caller)
            tokens.cost += nano_dollars
        key, host = entry.key, entry.host
        row = self._attempts.get((key, host, model)) or self._attempts_of(key, host, model)
        outcome = entry.error or _OK
        row.outcomes[outcome] = row.outcomes.get(outcome, 0) + 1
        row.durations.observe(entry.seconds)
        if entry.head_seconds is not None:
            row.heads.observe(entry.head_seconds)

    def _fail(self, ended: Ended, model: str) -> None:
        labels = (ended.endpoint, model, ended.error or "")
        self._failures[labels] = self._failures.get(labels, 0) + 1

    # Rows

    def _row(self, endpoint: str, model: str, caller: str) -> _Row:
        caller = self._caller(caller, self._rows)
        timing = self._timings.get((endpoint, model))
        if timing is None:
            timing = self._timings[endpoint, model] = _Timing()
        return self._rows.setdefault((endpoint, model, caller), _Row(timing))

    def _tokens_of(self, model: str, caller: str) -> _Tokens:
        return self._tokens.setdefault((model, self._caller(caller, self._tokens)), _Tokens())

    def _attempts_of(self, key: str, host: str, model: str) -> _Attempts:
        key = OTHER if len(self._attempts) >= MOST_ROWS else _bounded(key, self._keys, MOST_KEYS)
        host = _bounded(host, self._hosts, MOST_KEYS)
        place = host, model
        row = _Attempts(self._histogram(self._durations, place), self._histogram(self._heads, place))
        return self._attempts.setdefault((key, host, model), row)

    def _caller(self, caller: str, rows: Sized) -> str:
        return OTHER if len(rows) >= MOST_ROWS else _bounded(caller, self._callers, MOST_CALLERS)

    def _histogram(self, histograms: dict[Any, Histogram], place: Any) -> Histogram:
        found = histograms.get(place)
        if found is None:
            found = histograms[place] = Histogram(DURATIONS)
        return found

    def _label(self, model: str) -> str:
        """A model's id as the table has it; `other` for all that it does not know."""
        row = self._models.find(model)
        if row is None:
            return OTHER
        if len(self._labels) < _MOST_MODELS:
            self._labels[model] = row.id
        return row.id


class EdgeCounts:
    """Everything that came over HTTP, also what reached no endpoint; `route_of` names the route of a path."""

    def __init__(self, route_of: Callable[[str], str]) -> None:
        self._route_of = route_of
        self._answers: dict[tuple[str, int], int] = {}
        self._errors: dict[str, int] = {}
        self._refused: dict[int, int] = {}

    def answered(self, path: str, status: int, error: str | None) -> None:
        """Count a request that has ended."""
        place = (self._route_of(path), status // 100)
        self._answers[place] = self._answers.get(place, 0) + 1
        if error is not None:
            self._errors[error] = self._errors.get(error, 0) + 1

    def refused(self, status: int) -> None:
        """Count what the server has refused by itself."""
        self._refused[status] = self._refused.get(status, 0) + 1

    def tally(self) -> Tally:
        tally: Tally = {}
        for (route, hundreds), count in self._answers.items():
            put(tally, count, "dragoman_http_requests_total", route, f"{hundreds}xx")
        for kind, count in self._errors.items():
            put(tally, count, "dragoman_http_errors_total", kind)
        for status, count in self._refused.items():
            put(tally, count, "dragoman_refused_connections_total", str(int(status)))
        return tally


def put(tally: Tally, value: object, *names: str) -> None:
    """Put a number, or a level of numbers, below these names."""
    if not value:
        return
    level = tally
    for name in names[:-1]:
        level = level.setdefault(name, {})
    level[names[-1]] = value


def _bounded(name: str, known: set[str], most: int) -> str:
    """The name, or `other` if there are too many already."""
    if name not in known:
        if len(known) >= most:
            return OTHER
        known.add(name)
    return name


def _exemplify(histogram: Histogram, bucket: int, ended: Ended) -> None:
    assert ended.trace_id is not None
    if histogram.exemplars is None:
        histogram.exemplars = {}
    histogram.exemplars[bucket] = Exemplar(ended.trace_id, ended.seconds, ended.at + ended.seconds)
