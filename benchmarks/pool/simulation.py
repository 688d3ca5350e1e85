"""The simulation: turns come, are leased a key, are answered or not. Time jumps from event to event."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain
from random import Random
from typing import Any, Final

from benchmarks.pool.balancers import Balancer, Request
from benchmarks.pool.marks import Marker
from benchmarks.pool.tally import Tally
from benchmarks.pool.workloads import Turn
from benchmarks.pool.world import Fault, Reply, World
from gateway.service.retry import RetryPolicy, blames_key, delay_before_retry
from translators.errors import ErrorKind, Failure
from translators.upstream_errors import answered_failure

# Longer than nearly all conversations take.
_PAST_SECONDS: Final = 900.0
_PROBE_SECONDS: Final = 1.0
_SHORTEST_SLEEP_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the gateway waits: for a key, for an answer's head; and how often it tries."""

    queue_seconds: float = 30.0
    first_byte_seconds: float = 30.0
    policy: RetryPolicy = field(default_factory=RetryPolicy)


class Simulation:
    """One balancer in one world."""

    def __init__(
        self,
        world: World,
        balancer: Balancer,
        tally: Tally,
        patience: Patience,
        seed: int = 0,
        workers: int = 1,
        marker: Marker | None = None,
    ) -> None:
        self.now = 0.0
        self.tally = tally
        self._world = world
        self._balancer = balancer
        self._patience = patience
        # The same traffic for each balancer, however often it fails.
        self._arrivals = Random(f"{seed} arrivals")
        self._random = Random(seed)
        self._workers = workers
        self._marker = marker
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0
        self._waiting = 0
        self._wakes_at = math.inf
        self._home: dict[int, str] = {}
        self.troubled: list[tuple[float, Fault]] = []
        self.let_in: list[tuple[float, str]] = []

    def run(self, conversations: Iterator[list[Turn]], per_minute: float, until: float) -> Tally:
        """Begin so many conversations a minute, at random, and see what becomes of them until a moment."""
        self._resume(conversations, 60 / per_minute)
        self._begin_next(conversations, 60 / per_minute)
        self._probe()
        while self._events and self._events[0][0] <= until:
            self.now, _, action, arguments = heappop(self._events)
            action(*arguments)
        return self.tally

    def _at(self, moment: float, action: Callable[..., None], *arguments: Any) -> None:
        self._scheduled += 1
        heappush(self._events, (moment, self._scheduled, action, arguments))

    def _resume(self, conversations: Iterator[list[Turn]], mean_seconds: float) -> None:
        """Those that have begun before go on, so that traffic is as it will be from the start."""
        moment = -_PAST_SECONDS
        while (moment := moment + self._arrivals.expovariate(1 / mean_seconds)) < 0:
            turns = iter(next(conversations))
            at = moment
            for turn in turns:
                if at >= 0:
                    self._at(at, self._come, chain((turn,), turns))
                    break
                at += turn.call.head_seconds + turn.call.stream_seconds + turn.think_seconds

    def _begin_next(self, conversations: Iterator[list[Turn]], mean_seconds: float) -> None:
        self._at(self.now + self._arrivals.expovariate(1 / mean_seconds), self._begin_next, conversations, mean_seconds)
        self._come(iter(next(conversations)))

    def _probe(self) -> None:
        """Look at the keys that were refused, as a gateway does once in a while."""
        for name in self._balancer.due_probes(self.now):
            self._balancer.probed(name, self._world.is_well(name.split()[-1], self.now), self.now)
        self._serve()
        self._at(self.now + _PROBE_SECONDS, self._probe)

    def _come(self, turns: Iterator[Turn]) -> None:
        """The next turn of a conversation, if there is one."""
        turn = next(turns, None)
        if turn is None:
            return
        if self.tally.counts(self.now):
            self.tally.asked(turn.caller)
        if self._marker is not None:
            turn = self._marker.marked(turn, self.now)
        self._try(Request(turn, turns, self.now, self._random.randrange(self._workers)))

    def _try(self, request: Request) -> None:
        lease = self._balancer.acquire(request, self.now)
        if lease is not None:
            self._start(request, lease)
        elif self._balancer.join(request, self.now):
            request.waits = True
            self._waiting += 1
            self._at(self.now + self._patience.queue_seconds, self._give_up, request)
            self._serve()
        else:
            self._refuse(request, request.failure or self._balancer.why_none(request, self.now))

    def _give_up(self, request: Request) -> None:
        if request.waits:
            self._balancer.leave(request)
            self._has_left_line(request)
            self._refuse(request, request.failure or self._balancer.why_none(request, self.now))

    def _serve(self) -> None:
        """Whatever happens may make a key ready for those who wait."""
        if not self._waiting:
            return
        for request, lease in self._balancer.serve(self.now):
            self._has_left_line(request)
            self._start(request, lease)
        wakes_at = self._balancer.wake_at(self.now) if self._waiting else None
        if wakes_at is not None and not self.now < self._wakes_at <= wakes_at:
            # Asking again at the very same moment would stop the clock.
            self._wakes_at = max(wakes_at, self.now + _SHORTEST_SLEEP_SECONDS)
            self._at(self._wakes_at, self._serve)

    def _has_left_line(self, request: Request) -> None:
        request.waits = False
        self._waiting -= 1

    def _start(self, request: Request, lease: Any) -> None:
        reply = self._world.ask(self._balancer.key_name(lease), request.turn.call, self.now)
        if self.tally.counts(self.now):
            self.tally.attempts += 1
            self.tally.limited_upstream += reply.status == 429
        if reply.fault is not None:
            self.troubled.append((self.now, reply.fault))
        if reply.status == 200:
            self._let_in(request, lease)
            self._at(self.now + reply.seconds, self._stream, request, lease, reply)
        elif reply.status is not None:
            self._at(self.now + reply.seconds, self._read_error, request, lease, reply)
        else:
            is_silent = reply.seconds > self._patience.first_byte_seconds
            kind = ErrorKind.UPSTREAM_TIMEOUT if is_silent else ErrorKind.UNREACHABLE
            after = min(reply.seconds, self._patience.first_byte_seconds)
            self._at(self.now + after, self._fail, request, lease, Failure(kind, "No answer."))

    def _let_in(self, request: Request, lease: Any) -> None:
        """A turn has found its workspace: is it the one that has its cache?"""
        turn = request.turn
        name = self._balancer.key_name(lease)
        self.let_in.append((self.now, name))
        workspace = self._world.keys[name].workspace
        if self.tally.counts(self.now):
            self.tally.waits.append(self.now - request.came_at)
            if (home := self._home.get(turn.conversation)) is not None:
                self.tally.later_turns += 1
                self.tally.later_turns_at_home += home == workspace
        self._home[turn.conversation] = workspace

    def _stream(self, request: Request, lease: Any, reply: Reply) -> None:
        call = request.turn.call
        self._balancer.answered(lease, reply.status or 0, reply.headers, self.now)
        self._world.begin_answer(self._balancer.key_name(lease), call, self.now)
        self._at(self.now + call.stream_seconds, self._end, request, lease, reply)
        self._serve()

    def _end(self, request: Request, lease: Any, reply: Reply) -> None:
        name = self._balancer.key_name(lease)
        self._world.end_answer(name, request.turn.call, self.now)
        self._balancer.succeeded(lease, reply.usage, self.now)
        if self.tally.counts(self.now):
            self.tally.answered(request.turn.call.model, reply.usage)
        self._at(self.now + request.turn.think_seconds, self._come, request.turns)
        self._serve()

    def _read_error(self, request: Request, lease: Any, reply: Reply) -> None:
        self._balancer.answered(lease, reply.status or 0, reply.headers, self.now)
        self._fail(request, lease, answered_failure(reply.status or 0, reply.body, reply.headers))

    def _fail(self, request: Request, lease: Any, failure: Failure) -> None:
        self._balancer.failed(lease, failure, self.now)
        name = self._balancer.key_name(lease)
        request.tries += self._balancer.is_try(failure)
        request.failure = failure
        delay = delay_before_retry(
            failure,
            attempt=request.tries,
            elapsed_seconds=self.now - request.came_at,
            policy=self._patience.policy,
            jitter=self._random.random(),
        )
        if blames_key(failure):
            request.excluded |= {name}
        request.avoided |= {name}
        if delay is None or not self._balancer.allows_retry(failure, self.now):
            self._refuse(request, failure)
        else:
            self._at(self.now + delay, self._try, request)
        self._serve()

    def _refuse(self, request: Request, failure: Failure) -> None:
        """The caller is told, and thinks about it before going on."""
        if self.tally.counts(self.now):
            if failure.rule.status == 429:
                self.tally.limited(request.turn.caller)
            else:
                self.tally.failed_callers += 1
        self._at(self.now + request.turn.think_seconds, self._come, request.turns)
