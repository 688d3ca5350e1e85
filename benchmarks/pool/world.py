"""Anthropic as a pool of keys meets it: organizations with limits, workspaces with caches, keys, hosts with faults."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final

from benchmarks.pool.buckets import BURST_SECONDS, Bucket, Limits, Meter, http_date
from benchmarks.pool.caches import NOTHING, Marks, Part, PromptCache, Usage, marked_tokens

# What simulated time 0 is called in headers.
EPOCH: Final = datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC).timestamp()
# Haiku has limits of its own, and so has every other family.
FAMILIES: Final = ("fable", "opus", "sonnet", "haiku")
# Anthropic's tiers (section 12 of the reference), as most families have them.
TIERS: Final = {
    "start": Limits(1_000, 2_000_000, 400_000),
    "build": Limits(5_000, 5_000_000, 1_000_000),
    "scale": Limits(10_000, 10_000_000, 2_000_000),
}
# How little of its request limit an organization gets while it is told that it ramps up too fast.
RAMP_SHARE: Final = 0.25
_RAMP_BURST_SECONDS: Final = 5.0
_SECONDS_TO_REFUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the Messages API: its prompt's beginnings, the shortest first, and how the answer will come."""

    model: str
    parts: tuple[Part, ...]
    tokens: int
    output_tokens: int
    head_seconds: float
    tokens_per_second: float
    cache_minimum: int = 1024
    marks: Marks = None

    @property
    def stream_seconds(self) -> float:
        """From the answer's head to its end."""
        return self.output_tokens / self.tokens_per_second


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A credential: whose it is, and where it is sent."""

    name: str
    organization: str
    workspace: str
    host: str


class Fault(Enum):
    """What can go wrong for a while, or for good."""

    REVOKED = auto()
    RESET = auto()
    OVERLOADED = auto()
    HANG = auto()
    RAMP = auto()
    SPEND = auto()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of a key, a host or an organization, by its name, between two moments."""

    fault: Fault
    target: str
    begins_at: float = 0.0
    ends_at: float = math.inf

    def concerns(self, key: ApiKey, now: float) -> bool:
        """Whether a call with this key runs into it."""
        return self.begins_at <= now < self.ends_at and self.target in (key.name, key.host, key.organization)


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes of a call, and after how many seconds: a status, or None for a connection that breaks.

    `headers` and `usage` are as of the moment when the call was let in or refused: that is where they are counted.
    A reply that never comes takes for ever.
    """

    status: int | None
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = NOTHING
    error_type: str = ""
    error_code: str | None = None
    message: str = ""
    fault: Fault | None = None

    @property
    def body(self) -> bytes:
        """The error in Anthropic's shape."""
        details = {"error_code": self.error_code} if self.error_code else None
        error = {"type": self.error_type, "message": self.message, "details": details}
        return json.dumps({"type": "error", "error": error}).encode()


_SPENT: Final = "You have reached your API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
# What the faults answer: status, type, code, words.
_ANSWERS: Final[dict[Fault, tuple[int, str, str | None, str]]] = {
    Fault.REVOKED: (401, "authentication_error", None, "invalid x-api-key"),
    Fault.OVERLOADED: (529, "overloaded_error", None, "Overloaded"),
    Fault.RAMP: (429, "rate_limit_error", "ramp_limit_exceeded", "Your traffic has increased too fast."),
    Fault.SPEND: (429, "rate_limit_error", "enforced_spend_limit_reached", _SPENT),
}


class Organization:
    """Limits by family of models, in one place for all its keys."""

    def __init__(self, name: str, limits: Limits, burst_seconds: float = BURST_SECONDS, fill: float = 1.0) -> None:
        self.name = name
        self.limits = limits
        self._meters = {family: Meter(limits, burst_seconds, fill) for family in FAMILIES}
        self._ramp = Bucket.holding(limits.requests * RAMP_SHARE, _RAMP_BURST_SECONDS)

    def meter(self, model: str) -> Meter:
        """The buckets that a model is counted in."""
        return self._meters[family_of(model)]

    def seconds_until_ramped(self, now: float) -> float:
        """Count a request against the narrower limit of a ramp, and how long one that is over it has to wait."""
        seconds = self._ramp.seconds_until(1, now)
        if not seconds:
            self._ramp.take(1, now)
        return seconds


def family_of(model: str) -> str:
    """The class of models that shares a limit."""
    return next((family for family in FAMILIES if family in model), FAMILIES[0])


class World:
    """Answers calls by key. Time is an argument; what has been asked for is counted where it is asked."""

    def __init__(
        self,
        organizations: Iterable[Organization],
        keys: Iterable[ApiKey],
        troubles: Iterable[Trouble] = (),
        *,
        epoch: float = EPOCH,
    ) -> None:
        self.organizations = {organization.name: organization for organization in organizations}
        self.keys = {key.name: key for key in keys}
        self.troubles = list(troubles)
        self.caches = {key.workspace: PromptCache() for key in self.keys.values()}
        self._epoch = epoch

    def ask(self, key_name: str, call: Call, now: float) -> Reply:
        """Let a call in or refuse it."""
        key = self.keys[key_name]
        for trouble in self.troubles:
            if trouble.concerns(key, now) and (reply := self._troubled(trouble.fault, key, call, now)) is not None:
                return reply
        meter = self.organizations[key.organization].meter(call.model)
        usage = self._usage(key, call, now)
        if seconds := meter.seconds_until_room(usage.uncached_tokens, now):
            return self._refused(key, call, seconds, now)
        meter.charge(usage.uncached_tokens, now)
        return Reply(200, call.head_seconds, self._headers(key, call, now), usage)

    def is_well(self, key_name: str, now: float) -> bool:
        """Whether a look at the list of models would show a key that works."""
        key = self.keys[key_name]
        return not any(trouble.fault is Fault.REVOKED and trouble.concerns(key, now) for trouble in self.troubles)

    def begin_answer(self, key_name: str, call: Call, now: float) -> None:
        """The head of an answer goes out: its prompt is cached from now on, its tokens run."""
        key = self.keys[key_name]
        if call.tokens >= call.cache_minimum:
            self.caches[key.workspace].keep(call.parts, now, call.marks)
        self._drain(key, call, call.tokens_per_second, now)

    def end_answer(self, key_name: str, call: Call, now: float) -> None:
        """An answer is complete, or its client has left."""
        self._drain(self.keys[key_name], call, -call.tokens_per_second, now)

    def _drain(self, key: ApiKey, call: Call, per_second: float, now: float) -> None:
        self.organizations[key.organization].meter(call.model).output_tokens.drain(per_second, now)

    def _usage(self, key: ApiKey, call: Call, now: float) -> Usage:
        if call.tokens < call.cache_minimum:
            return Usage(input_tokens=call.tokens, output_tokens=call.output_tokens)
        read = self.caches[key.workspace].cached_tokens(call.parts, now, call.marks)
        cacheable = marked_tokens(call.parts, call.marks)
        return Usage(call.tokens - cacheable, cacheable - read, read, call.output_tokens)

    def _troubled(self, fault: Fault, key: ApiKey, call: Call, now: float) -> Reply | None:
        """What a fault answers; None where it lets the call pass."""
        if fault is Fault.RESET:
            return Reply(None, _SECONDS_TO_REFUSE, fault=fault)
        if fault is Fault.HANG:
            return Reply(None, math.inf, fault=fault)
        headers: Mapping[str, str] = {"date": http_date(int(self._epoch + now))}
        if fault is Fault.RAMP:
            seconds = self.organizations[key.organization].seconds_until_ramped(now)
            if not seconds:
                return None
            headers = {**self._headers(key, call, now), "retry-after": str(math.ceil(seconds))}
        elif fault is not Fault.REVOKED:
            headers = self._headers(key, call, now)
        status, error_type, error_code, message = _ANSWERS[fault]
        return Reply(status, _SECONDS_TO_REFUSE, headers, NOTHING, error_type, error_code, message, fault)

    def _refused(self, key: ApiKey, call: Call, seconds: float, now: float) -> Reply:
        # A call that is larger than the bucket would wait for ever; upstream names a minute.
        wait = math.ceil(min(seconds, 60.0))
        headers = {**self._headers(key, call, now), "retry-after": str(wait)}
        message = "This request would exceed your organization's rate limit."
        return Reply(429, _SECONDS_TO_REFUSE, headers, NOTHING, "rate_limit_error", None, message)

    def _headers(self, key: ApiKey, call: Call, now: float) -> dict[str, str]:
        """Whose key it is, and what is left; a key that is refused does not learn even that."""
        wall_clock = self._epoch + now
        return {
            "date": http_date(int(wall_clock)),
            "anthropic-organization-id": key.organization,
            "anthropic-workspace-id": key.workspace,
            **self.organizations[key.organization].meter(call.model).headers(now, wall_clock),
        }
