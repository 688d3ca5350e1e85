"""What an organisation may still use of a class of models: buckets that upstream's answers tell of.

Between two answers a bucket is taken to refill steadily. What is in flight and not in upstream's figures yet is
reserved, and settled when the answer tells more; so a bucket that is nearly empty makes requests wait a little, instead
of being hit. What no answer confirms is given back. Output is counted as upstream does, as it comes: a long answer is
made up for by what has refilled meanwhile. With several processes each has its share of what upstream says.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from translators.moments import http_moment, iso_moment
from translators.usage import Usage

if TYPE_CHECKING:
    from gateway.keypool.demand import Lease

# Limits are per minute (section 1.5 of the Messages reference).
_PERIOD_SECONDS: Final = 60.0
# A part that is never planned with: figures are rounded, and estimates are estimates.
_MARGIN: Final = 0.02
# Below this part of a limit a bucket is low, and requests that have a choice go elsewhere.
_LOW: Final = 0.1
# Moments come in whole seconds, of the answer as of the reset.
_RESOLUTION_SECONDS: Final = 1.0
# What is owed beyond the refill of so long is forgiven. Upstream's own buckets are full again within a minute; a debt
# of hours comes of estimates, or of figures that upstream was made to tell, and would keep everybody else waiting.
MOST_OWED_SECONDS: Final = 300.0
# What full is does not change from one answer to the next.
_MEASURE_SECONDS: Final = 1.0
# What an answer is taken to need before any was seen, and how fast this follows what is seen.
_FIRST_OUTPUT_TOKENS: Final = 400.0
_FIRST_ANSWER_SECONDS: Final = 10.0
_LEARNING: Final = 0.05
_MAX_DIGITS: Final = 15
_LONGEST_MOMENTS: Final = 200
_MIN_RATIO, _MAX_RATIO = 0.25, 4.0


class Bucket:
    """One limit, refilled steadily; all in this process's share. The level may fall below zero, by some minutes' worth.

    `limit` is what a minute allows, `capacity` what is there at most: upstream may hold less than a minute's worth.
    """

    __slots__ = ("capacity", "is_low", "level", "limit", "lost", "measured_at", "per_second", "told", "updated_at")

    def __init__(self) -> None:
        self.limit = 0.0
        self.capacity = 0.0
        self.level = 0.0
        self.per_second = 0.0
        self.updated_at = 0.0
        self.measured_at = -math.inf
        # The limit in upstream's own digits.
        self.told = ""
        # What would have refilled but found it full, in all.
        self.lost = 0.0
        # Whether it was nearly empty when it was last looked at.
        self.is_low = False

    def tell(self, limit: float, capacity: float, level: float, now: float) -> None:
        """Take over what upstream says."""
        self.limit = limit
        self.capacity = capacity
        self.measured_at = now
        self.per_second = limit / _PERIOD_SECONDS
        self.tell_level(level, now)

    def tell_level(self, level: float, now: float) -> None:
        """Take over what is left."""
        self.level = level
        self.updated_at = now

    def hold_at(self, moment: float, level: float) -> None:
        """Take it to hold so much at a moment to come, if it would be less."""
        self.level += max(0.0, level - self.level - (moment - self.updated_at) * self.per_second)

    def seconds_until(self, cost: float, now: float) -> float:
        """How long until it holds this much and a margin; what is more than the whole bucket waits until it is full."""
        capacity = self.capacity
        level = self.level + (now - self.updated_at) * self.per_second
        self.updated_at = now
        if level > capacity:
            self.lost += level - capacity
            level = capacity
        self.level = level
        self.is_low = level < capacity * _LOW
        missing = cost + capacity * _MARGIN - level
        if missing <= 0:
            return 0.0
        if level < (most_owed := -MOST_OWED_SECONDS * self.per_second):
            missing += level - most_owed
            self.level = level = most_owed
        return max(0.0, min(missing, capacity - level)) / self.per_second


class Allowance:
    """The buckets of one organisation and class of models, as far as upstream has told of them."""

    __slots__ = (
        "_cooling_until",
        "_input_ratio",
        "_lost_when_told",
        "_output_told_at",
        "_pending_input",
        "_pending_output",
        "_pending_requests",
        "_share",
        "_told_for",
        "_typical_output",
        "_typical_seconds",
        "input",
        "is_low",
        "output",
        "requests",
        "tokens",
    )

    def __init__(self, share: float) -> None:
        self._share = share
        self.requests: Bucket | None = None
        self.input: Bucket | None = None
        self.output: Bucket | None = None
        # Input and output together, where upstream does not tell them apart.
        self.tokens: Bucket | None = None
        # Whether one of the buckets was nearly empty when it was last looked at.
        self.is_low = False
        self._cooling_until = 0.0
        self._pending_requests = 0
        self._pending_input = 0
        self._pending_output = 0
        self._typical_output = _FIRST_OUTPUT_TOKENS
        self._typical_seconds = _FIRST_ANSWER_SECONDS
        self._input_ratio = 1.0
        # When upstream has told last how much output is left, and how much refill was lost by then.
        self._output_told_at = -math.inf
        self._lost_when_told = 0.0
        # The model that upstream's figures came with last.
        self._told_for: str | None = None

    @property
    def cooling_until(self) -> float:
        """The moment before which upstream does not want to be asked."""
        return self._cooling_until

    @property
    def in_flight(self) -> int:
        """Requests whose answer has not begun."""
        return self._pending_requests

    @property
    def is_blank(self) -> bool:
        """Whether upstream has not told anything of it."""
        return not (self._cooling_until or any(bucket is not None for bucket in self.buckets.values()))

    def ready_at(self, input_tokens: float, now: float) -> float:
        """When a request of about so many uncached tokens can be sent; `now` if it can be at once."""
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
        return max(self._cooling_until, now + wait)

    @property
    def buckets(self) -> dict[str, Bucket | None]:
        """The buckets by what they count."""
        return {
            "requests": self.requests,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "tokens": self.tokens if self.input is None else None,
        }

    def reserve(self, input_tokens: float) -> tuple[int, int]:
        """Set aside what a request will need; gives the tokens of input and output, to be given back as they are."""
        tokens = int(input_tokens * self._input_ratio)
        answer = int(self._output_a_period)
        self._pending_requests += 1
        self._pending_input += tokens
        self._pending_output += answer
        if self.requests is not None:
            self.requests.level -= 1
        if self.input is not None:
            self.input.level -= tokens
        if self.output is not None:
            self.output.level -= answer
        if self.tokens is not None:
            self.tokens.level -= tokens + answer
        return tokens, answer

    def answered(self, input_tokens: int, headers: Mapping[str, str], now: float, *, is_counted: bool = True) -> None:
        """An answer has begun: upstream's figures hold its request now, but not what it is about to answer.

        An error that tells no figures (not `is_counted`), as an edge sends it, was counted nowhere.
        """
        self._pending_requests -= 1
        self._pending_input -= input_tokens
        if (
            not (self._tell("requests", headers, self._pending_requests, now) or is_counted)
            and self.requests is not None
        ):
            self.requests.level += 1
        if self._tell("input-tokens", headers, self._pending_input, now):
            if self._tell("output-tokens", headers, self._pending_output, now):
                self._output_told_at = now
                self._lost_when_told = self.output.lost if self.output is not None else 0.0
        elif self._tell("tokens", headers, self._pending_input + self._pending_output, now):
            self._output_told_at = now
            self._lost_when_told = self.tokens.lost if self.tokens is not None else 0.0
        elif not is_counted:
            self._give_back_input(input_tokens)

    def never_sent(self, input_tokens: int) -> None:
        """There was no answer: nothing was counted, as far as we can know."""
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
        """There is no answer that counts here: what was set aside for it is free."""
        self._pending_output -= reserved_output
        for bucket in (self.output, self.tokens):
            if bucket is not None:
                bucket.level += reserved_output

    def settle(self, lease: "Lease", usage: Usage | None, now: float) -> None:
        """An attempt is over: what its answer really needed takes the place of what was set aside for it."""
        self._pending_output -= lease.output_tokens
        used = usage.output_tokens if usage is not None else 0
        left = lease.output_tokens - used
        is_plain = left >= 0 and self._output_told_at <= lease.answered_at
        for bucket in (self.output, self.tokens):
            if bucket is None:
                continue
            if is_plain:
                bucket.level += left
            else:
                self._draw(bucket, used, lease, now)

    def _draw(self, bucket: Bucket, tokens: float, lease: "Lease", now: float) -> None:
        """Put what an answer has used in the place of what was reserved for it, as if it had been drawn steadily.

        What other answers have told since its own head came holds its part until then. If the rest is more than was
        reserved, the refill that was lost meanwhile makes up for that.
        """
        mark = lease.output_mark
        if self._output_told_at > lease.answered_at:
            tokens *= (now - self._output_told_at) / (now - lease.acquired_at)
            mark = max(mark, self._lost_when_told)
        excess = tokens - lease.output_tokens
        if excess > 0.0:
            bucket.seconds_until(0.0, now)
            made_up = min(excess, max(0.0, bucket.lost - mark))
            # No other answer is to count on it.
            bucket.lost -= made_up
            excess -= made_up
        bucket.level -= excess

    @property
    def _output_a_period(self) -> float:
        """What an answer takes of a minute's worth: the whole of it, unless it goes on for longer."""
        if self._typical_seconds <= _PERIOD_SECONDS:
            return self._typical_output
        return self._typical_output * _PERIOD_SECONDS / self._typical_seconds

    def learn(self, estimated_input: int, usage: Usage, seconds: float) -> None:
        """Take in what a finished answer has used, and how long it took, for the estimates to come."""
        self._typical_seconds += ((seconds if seconds > 0.0 else 0.0) - self._typical_seconds) * _LEARNING
        self._typical_output += (usage.output_tokens - self._typical_output) * _LEARNING
        if estimated_input and (prompt_tokens := usage.prompt_tokens):
            ratio = min(max(prompt_tokens / estimated_input, _MIN_RATIO), _MAX_RATIO)
            self._input_ratio += (ratio - self._input_ratio) * _LEARNING

    def cool(self, until: float) -> None:
        """Upstream does not want to be asked before this moment."""
        self._cooling_until = max(self._cooling_until, until)
        for bucket in (self.requests, self.input, self.output, self.tokens):
            if bucket is not None:
                # From then on one may be sent, upstream says: no margin of ours is to add to that.
                bucket.hold_at(until, bucket.capacity * _MARGIN + (bucket is self.requests))

    def differs_for(self, model: str, headers: Mapping[str, str]) -> bool:
        """Whether these are the limits of another bucket than those that were told for another model."""
        before, self._told_for = self._told_for, model
        if before is None or before == model:
            return False
        buckets = (("requests", self.requests), ("input-tokens", self.input))
        told = [(headers.get(_NAMES[kind][0], ""), bucket) for kind, bucket in buckets if bucket is not None]
        return any(_is_count(text) and int(text) * self._share != bucket.limit for text, bucket in told)

    def _tell(self, kind: str, headers: Mapping[str, str], pending: int, now: float) -> bool:
        """Take over one bucket from an answer's headers; whether it was told of."""
        limit_name, remaining_name, reset_name, attribute = _NAMES[kind]
        if (limit_text := headers.get(limit_name)) is None:
            return False
        remaining_text = headers.get(remaining_name, "")
        if not _is_count(remaining_text):
            return False
        remaining, share = int(remaining_text), self._share
        bucket: Bucket | None = getattr(self, attribute)
        if bucket is not None and bucket.told == limit_text and now - bucket.measured_at < _MEASURE_SECONDS:
            bucket.tell_level(remaining * share - pending, now)
            return True
        if not _is_count(limit_text) or not (limit := int(limit_text)):
            return False
        if bucket is None:
            bucket = Bucket()
            setattr(self, attribute, bucket)
        bucket.told = limit_text
        capacity = float(limit)
        # The reset is when it will be full again, which tells what full is.
        seconds = _seconds_between(headers.get("date"), headers.get(reset_name))
        # One that was before the answer, as of one that took long, tells nothing.
        if seconds is not None and seconds > -_RESOLUTION_SECONDS:
            capacity = min(limit, remaining + (seconds + _RESOLUTION_SECONDS) * limit / _PERIOD_SECONDS)
        bucket.tell(limit * share, capacity * share, remaining * share - pending, now)
        return True


def _is_count(text: str) -> bool:
    # More digits than that are no figure, and not every one could be reckoned with.
    return text.isdecimal() and len(text) <= _MAX_DIGITS


_NAMES: Final = {
    kind: (*(f"anthropic-ratelimit-{kind}-{what}" for what in ("limit", "remaining", "reset")), attribute)
    for kind, attribute in {
        "requests": "requests",
        "input-tokens": "input",
        "output-tokens": "output",
        "tokens": "tokens",
    }.items()
}


def _seconds_between(sent_at: str | None, reset: str | None) -> float | None:
    """Seconds by upstream's own clock; None where it does not say."""
    # What is longer is no moment, and would be remembered.
    if sent_at is None or reset is None or len(sent_at) + len(reset) > _LONGEST_MOMENTS:
        return None
    return _seconds(sent_at, reset)


# Both are the same for many answers in a row.
@lru_cache(maxsize=256)
def _seconds(sent_at: str, reset: str) -> float | None:
    try:
        return (iso_moment(reset) - http_moment(sent_at)).total_seconds()
    except ValueError:
        return None
