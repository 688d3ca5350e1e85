"""The rate limits of one organization and class of models: buckets filled in from upstream's answers.

Between two answers a bucket is assumed to refill steadily. Requests in flight that upstream's figures do not include
yet are reserved, and settled when the answer tells more: so a nearly empty bucket makes requests wait a little instead
of being refused. Reservations that no answer confirms are given back. Output is counted as upstream counts it, while
it is produced: the refill during a long answer offsets its use. Each of several processes uses its share of the limits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from gateway.keypool.bucket import MARGIN, PERIOD_SECONDS, Bucket
from translators.moments import http_moment, iso_moment
from translators.usage import Usage

# Upstream reports times in whole seconds, both of the answer and of the reset.
_RESOLUTION_SECONDS: Final = 1.0
# A capacity does not change between answers, so it is computed at most once in this time.
_MEASURE_SECONDS: Final = 1.0
# The assumed output of an answer before any was seen, and how fast the estimate follows observed output.
_FIRST_OUTPUT_TOKENS: Final = 400.0
_FIRST_ANSWER_SECONDS: Final = 10.0
_LEARNING: Final = 0.05
_MAX_DIGITS: Final = 15
_LONGEST_MOMENTS: Final = 200
_MIN_RATIO, _MAX_RATIO = 0.25, 4.0


# The headers of one bucket: limit, remaining, reset.
_Names: TypeAlias = tuple[str, str, str]


def _names(kind: str) -> _Names:
    start = f"anthropic-ratelimit-{kind}"
    return f"{start}-limit", f"{start}-remaining", f"{start}-reset"


_REQUESTS: Final = _names("requests")
_INPUT: Final = _names("input-tokens")
_OUTPUT: Final = _names("output-tokens")
_TOKENS: Final = _names("tokens")


class Reservation:
    """A request's reservation: input until the head of its answer arrives, output until the answer ends."""

    __slots__ = ("acquired_at", "answered_at", "input_tokens", "output_mark", "output_tokens")

    def __init__(self, acquired_at: float) -> None:
        self.acquired_at = acquired_at
        self.answered_at = acquired_at
        self.input_tokens = 0
        self.output_tokens = 0
        # The output bucket's overflow at the time of the reservation.
        self.output_mark = 0.0


@dataclass(slots=True, eq=False)
class RateLimits:
    """The buckets of one organization and class of models, as far as upstream has reported them."""

    share: float
    requests: Bucket | None = None
    input: Bucket | None = None
    output: Bucket | None = None
    # Input and output together, if upstream does not report them separately.
    tokens: Bucket | None = None
    # The limit per minute of the bucket that best represents the total size.
    limit: float | None = None
    # Whether one of the buckets was low at the last check.
    is_low: bool = False
    # Do not ask upstream before this time.
    cooling_until: float = 0.0
    # The model whose answer last reported the figures.
    told_for: str | None = None
    _pending_requests: int = 0
    _pending_input: int = 0
    _pending_output: int = 0
    _typical_output: float = _FIRST_OUTPUT_TOKENS
    _typical_seconds: float = _FIRST_ANSWER_SECONDS
    # The output of an answer within one period: all of it, unless the answer takes longer than a minute.
    _output_a_period: float = _FIRST_OUTPUT_TOKENS
    _input_ratio: float = 1.0
    # When upstream last reported the remaining output, and the overflow at that time.
    _output_told_at: float = -math.inf
    _lost_when_told: float = 0.0

    @property
    def in_flight(self) -> int:
        """The requests whose answer has not begun."""
        return self._pending_requests

    @property
    def is_blank(self) -> bool:
        """Whether upstream has reported nothing."""
        return not (self.cooling_until or any(self.buckets.values()))

    @property
    def buckets(self) -> dict[str, Bucket | None]:
        """The buckets by what they count."""
        return {
            "requests": self.requests,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "tokens": self.tokens if self.input is None else None,
        }

    def ready_at(self, input_tokens: float, now: float) -> float:
        """When a request of about this many uncached tokens can be sent; `now` if at once."""
        wait, is_low = 0.0, False
        if (requests := self.requests) is not None:
            wait = requests.seconds_until(1.0, now)
            is_low = requests.is_low
        if (bucket := self.input) is not None:
            wait = max(wait, bucket.seconds_until(input_tokens * self._input_ratio, now))
            is_low = is_low or bucket.is_low
            if (output := self.output) is not None:
                wait = max(wait, output.seconds_until(self._output_a_period, now))
                is_low = is_low or output.is_low
        elif (tokens := self.tokens) is not None:
            wait = max(wait, tokens.seconds_until(input_tokens * self._input_ratio + self._output_a_period, now))
            is_low = is_low or tokens.is_low
        self.is_low = is_low
        ready_at = now + wait
        return ready_at if ready_at > self.cooling_until else self.cooling_until

    def cool(self, until: float) -> None:
        """Do not ask upstream before `until`."""
        self.cooling_until = max(self.cooling_until, until)
        for bucket in (self.requests, self.input, self.output, self.tokens):
            if bucket is not None:
                # Upstream allows a request from then on: our own margin must not add to the wait.
                bucket.hold_at(until, bucket.capacity * MARGIN + (bucket is self.requests))

    # The life of a reservation: reserved, then answered or never sent, then settled

    def reserve(self, reservation: Reservation, input_tokens: float) -> None:
        """Reserve what a request will need; the reservation holds the tokens to give back."""
        tokens = reservation.input_tokens = int(input_tokens * self._input_ratio)
        answer = reservation.output_tokens = int(self._output_a_period)
        self._pending_requests += 1
        self._pending_input += tokens
        self._pending_output += answer
        if self.requests is not None:
            self.requests.level -= 1
        if self.input is not None:
            self.input.level -= tokens
        if (bucket := self.tokens) is not None:
            bucket.level -= tokens + answer
            reservation.output_mark = bucket.lost
        if (bucket := self.output) is not None:
            bucket.level -= answer
            reservation.output_mark = bucket.lost

    def answered(self, input_tokens: int, headers: Mapping[str, str], now: float, *, is_counted: bool = True) -> None:
        """An answer has begun: upstream's figures now include its request, but not its output.

        An error without figures (not `is_counted`), as proxies send, was not counted by upstream.
        """
        self._pending_requests -= 1
        self._pending_input -= input_tokens
        get = headers.get
        told = output = None
        if (limit := get(_REQUESTS[0])) is not None:
            told = self._tell(_REQUESTS, limit, self.requests, headers, self._pending_requests, now)
            self.requests = told or self.requests
        if not is_counted and told is None and self.requests is not None:
            self.requests.level += 1
        told = None
        if (limit := get(_INPUT[0])) is not None:
            told = self._tell(_INPUT, limit, self.input, headers, self._pending_input, now)
        if told is not None:
            self.input = told
            if (limit := get(_OUTPUT[0])) is not None:
                output = self._tell(_OUTPUT, limit, self.output, headers, self._pending_output, now)
                self.output = output or self.output
        elif (limit := get(_TOKENS[0])) is not None:
            pending = self._pending_input + self._pending_output
            told = output = self._tell(_TOKENS, limit, self.tokens, headers, pending, now)
            self.tokens = told or self.tokens
        if output is not None:
            self._output_told_at, self._lost_when_told = now, output.lost
        if told is None and not is_counted:
            self._give_back_input(input_tokens)
        if (telling := self.input or self.tokens or self.requests) is not None:
            self.limit = telling.limit

    def never_sent(self, input_tokens: int) -> None:
        """There was no answer: assume that upstream counted nothing."""
        self._pending_requests -= 1
        self._pending_input -= input_tokens
        if self.requests is not None:
            self.requests.level += 1
        self._give_back_input(input_tokens)

    def _give_back_input(self, tokens: int) -> None:
        for bucket in (self.input, self.tokens):
            if bucket is not None:
                bucket.level += tokens

    def give_back(self, reserved_output: int) -> None:
        """Release a reservation for which no relevant answer will come."""
        self._pending_output -= reserved_output
        for bucket in (self.output, self.tokens):
            if bucket is not None:
                bucket.level += reserved_output

    def settle(self, reservation: Reservation, usage: Usage | None, now: float) -> None:
        """An attempt is over: replace the reservation by what the answer actually used."""
        self._pending_output -= reservation.output_tokens
        used = usage.output_tokens if usage is not None else 0
        left = reservation.output_tokens - used
        is_plain = left >= 0 and self._output_told_at <= reservation.answered_at
        for bucket in (self.output, self.tokens):
            if bucket is not None and is_plain:
                bucket.level += left
            elif bucket is not None:
                self._draw(bucket, used, reservation, now)

    def _draw(self, bucket: Bucket, tokens: float, reservation: Reservation, now: float) -> None:
        """Replace an answer's reservation by its actual output, as if that had been drawn steadily.

        Figures reported since its head arrived already include the output until then. If the rest exceeds the
        reservation, it is offset by the refill that overflowed meanwhile.
        """
        mark = reservation.output_mark
        if self._output_told_at > reservation.answered_at:
            tokens *= (now - self._output_told_at) / (now - reservation.acquired_at)
            mark = max(mark, self._lost_when_told)
        excess = tokens - reservation.output_tokens
        if excess > 0.0:
            bucket.seconds_until(0.0, now)
            made_up = min(excess, max(0.0, bucket.lost - mark))
            # No other answer may use the same overflow.
            bucket.lost -= made_up
            excess -= made_up
        bucket.level -= excess

    # Learning from answers

    def learn(self, estimated_input: int, usage: Usage, seconds: float) -> None:
        """Update the estimates from a complete answer: what it used, and how long it took."""
        # Conditions instead of min and max, which would be half of this function's cost.
        typical = self._typical_seconds
        typical += ((seconds if seconds > 0.0 else 0.0) - typical) * _LEARNING
        output = self._typical_output
        output += (usage.output_tokens - output) * _LEARNING
        self._typical_seconds, self._typical_output = typical, output
        self._output_a_period = output if typical <= PERIOD_SECONDS else output * PERIOD_SECONDS / typical
        if estimated_input and (prompt_tokens := usage.prompt_tokens):
            ratio = prompt_tokens / estimated_input
            if not _MIN_RATIO < ratio < _MAX_RATIO:
                ratio = min(max(ratio, _MIN_RATIO), _MAX_RATIO)
            self._input_ratio += (ratio - self._input_ratio) * _LEARNING

    def differs_for(self, model: str, headers: Mapping[str, str]) -> bool:
        """Whether these figures come from another bucket than those reported for another model."""
        before, self.told_for = self.told_for, model
        if before is None or before == model:
            return False
        buckets = ((_REQUESTS, self.requests), (_INPUT, self.input))
        told = [(headers.get(names[0], ""), bucket) for names, bucket in buckets if bucket is not None]
        return any(_is_count(text) and int(text) * self.share != bucket.limit for text, bucket in told)

    def _tell(
        self,
        names: _Names,
        limit_text: str,
        bucket: Bucket | None,
        headers: Mapping[str, str],
        pending: int,
        now: float,
    ) -> Bucket | None:
        """A bucket from an answer's headers, minus what is pending; None if they make no sense."""
        _, remaining_name, reset_name = names
        remaining_text = headers.get(remaining_name, "")
        if not _is_count(remaining_text):
            return None
        remaining, share = int(remaining_text), self.share
        level = remaining * share - pending
        if bucket is not None and bucket.told == limit_text and now - bucket.measured_at < _MEASURE_SECONDS:
            bucket.level, bucket.updated_at = level, now
            return bucket
        if not _is_count(limit_text) or not (limit := int(limit_text)):
            return None
        capacity = float(limit)
        # The reset is when the bucket will be full again, which reveals its capacity.
        seconds = _seconds_between(headers.get("date"), headers.get(reset_name))
        # A reset before the answer, as after a slow answer, reveals nothing.
        if seconds is not None and seconds > -_RESOLUTION_SECONDS:
            capacity = min(limit, remaining + (seconds + _RESOLUTION_SECONDS) * limit / PERIOD_SECONDS)
        bucket = bucket or Bucket()
        bucket.told = limit_text
        bucket.tell(limit * share, capacity * share, level, now)
        return bucket


def _is_count(text: str) -> bool:
    # Numbers with more digits are not plausible, and may not be computable.
    return text.isdecimal() and len(text) <= _MAX_DIGITS


def _seconds_between(sent_at: str | None, reset: str | None) -> float | None:
    """Seconds by upstream's own clock; None if it does not say."""
    # A longer text is not a time, and would be cached.
    if sent_at is None or reset is None or len(sent_at) + len(reset) > _LONGEST_MOMENTS:
        return None
    return _seconds(sent_at, reset)


# Consecutive answers often have the same values.
@lru_cache(maxsize=256)
def _seconds(sent_at: str, reset: str) -> float | None:
    try:
        return (iso_moment(reset) - http_moment(sent_at)).total_seconds()
    except ValueError:
        return None
