"""Any history of requests, answers, failures, probes, changes and time against what must always hold."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from gateway.keypool import (
    ABANDONED,
    SUCCESS,
    Account,
    Key,
    KeyPool,
    Lease,
    LeaseQueue,
    LeaseRequest,
    Outcome,
    PoolSettings,
)
from gateway.keypool.backoff import LONGEST_TOLD_SECONDS
from gateway.keypool.domains import KeyState, Workspace
from gateway.keypool.host import Host
from gateway.keypool.obstacles import obstacle
from gateway.keypool.rate_limits import RateLimits
from gateway.keypool.sticky_waits import MOST_PATIENCE_SECONDS
from tests.support.pools import MODEL, OTHER, SIBLING, STRATEGIES, failed, head
from translators.errors import RULES, Blame, ErrorKind
from translators.usage import Usage

MODELS = (MODEL, OTHER, SIBLING)
MILLISECOND = 0.001
# Sums of floats: a moment that was foretold may be off by that much.
ROUNDING = 1e-6
NEVER = math.inf
# Queues before places are not looked at more often.
MOMENT = 0.05
# The mark of a name's other secret.
SECOND = b"2"


@dataclass(eq=False, slots=True)
class Out:
    """A lease that is out, as the test sees it."""

    lease: Lease
    state: KeyState
    is_answered: bool = False


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits."""

    number: int
    request: LeaseRequest
    exclude: frozenset[str]
    # Until when it waits for its account only.
    pinned_until: float = -NEVER
    has_place: bool = False

    @property
    def alike(self) -> tuple[object, ...]:
        """Who has the same of all this is served in the order of coming."""
        return self.request.limit_class, self.request.caller, self.request.model, self.exclude


def true_owner(key: Key) -> tuple[str, str]:
    """The organization and workspace that a secret really belongs to."""
    if key.mark.endswith(SECOND):
        return "o3", "w3"
    return ("o1", "w1") if key.name in "ab" else ("o2", f"w-{key.name}")


def key_of(
    name: str, weight: int, ceiling: int | None, secret: bytes, priority: int, host: str, is_told: bool, is_placed: bool
) -> Key:
    mark = name.encode() + secret
    key = Key(name, mark=mark)
    organization, workspace = true_owner(key)
    return Key(
        name,
        weight,
        host,
        f"our {organization}" if is_told else None,
        f"our {workspace}" if is_placed else None,
        ceiling,
        priority,
        mark,
    )


keys_of_any_kind = st.builds(
    key_of,
    st.sampled_from("abcde"),
    st.integers(1, 3),
    st.none() | st.integers(1, 4),
    st.sampled_from([b"", b"", SECOND]),
    st.integers(0, 2),
    st.sampled_from("xy"),
    st.booleans(),
    st.booleans(),
)
lists_of_keys = st.lists(keys_of_any_kind, max_size=5, unique_by=lambda key: key.name)
accounts = st.builds(
    Account, st.sampled_from(["", "", "o1", "o2", "o3", "o4"]), st.sampled_from([b"", b"a", b"b", b"c", b"d", b"a2"])
)
lease_requests = st.builds(
    lambda model, tokens, prefix, caller, streams, account: LeaseRequest(
        model, tokens, prefix, caller, streams=streams, account=account
    ),
    st.sampled_from(MODELS),
    st.sampled_from([0, 10, 1_000, 30_000, 10_000_000]),
    st.sampled_from([None, b"p", b"q", b"r"]),
    st.sampled_from(["", "x", "y"]),
    st.booleans(),
    st.none() | accounts,
)
figures = st.none() | st.tuples(st.sampled_from([5, 50, 40_000]), st.floats(0, 1)).map(
    lambda found: (found[0], int(found[0] * found[1]))
)
usages = st.none() | st.builds(
    Usage, st.integers(0, 9_000), st.integers(0, 9_000), st.integers(0, 9_000), st.integers(0, 9_000)
)
some_names = st.frozensets(st.sampled_from("abcde"), max_size=3)
moments = st.sampled_from([0.0, 0.001, 0.5, 1.0, 5.0, 61.0, 301.0, 86_400.0, 3e7]) | st.floats(0, 100)
bad_outcomes = st.sampled_from([ErrorKind.UNREACHABLE, ErrorKind.OVERLOADED]).map(failed)
PASSING_KINDS = [kind for kind, rule in RULES.items() if rule.blame is not Blame.KEY_LIMIT]
LIMITS = [kind for kind, rule in RULES.items() if rule.blame is Blame.KEY_LIMIT]


class PoolMachine(RuleBasedStateMachine):
    """A pool and its queue beside a model that knows less, and is surer of it."""

    outs = Bundle("outs")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.out: list[Out] = []
        self.queue: list[Waiter] = []
        self.joined = 0
        self.touched: dict[int, RateLimits | Workspace | Host] = {}
        # Of each key as it is configured now (by its state): what it was told.
        self.rejected: set[KeyState] = set()
        self.doubted: set[KeyState] = set()
        self.shut: dict[tuple[KeyState, str], float] = {}
        # The same for what is shut since its organization or workspace rests, which a new configuration ends.
        self.resting: dict[tuple[KeyState, str], float] = {}

    @initialize(
        keys=lists_of_keys,
        strategy=st.sampled_from(STRATEGIES),
        share=st.sampled_from([1.0, 0.5]),
        size=st.integers(0, 4),
    )
    def begin(self, keys: list[Key], strategy: str, share: float, size: int) -> None:
        self.share = share
        self.pool = KeyPool(keys, PoolSettings(strategy, share))  # type: ignore[arg-type]
        self.lease_queue: LeaseQueue[Waiter] = LeaseQueue(self.pool, size)

    # Leases

    @rule(target=outs, lease_request=lease_requests, exclude=some_names, avoid=some_names)
    def acquire(self, lease_request: LeaseRequest, exclude: frozenset[str], avoid: frozenset[str]) -> Out | None:
        ready = self._ready(lease_request, exclude)
        self._check_stay(lease_request, exclude, avoid, ready)
        suspects = {
            state
            for state in ready
            if state.host.is_suspect(lease_request.limit_class, self.now) or state.avoided_until > self.now
        }
        well = {state for state in ready if state not in suspects and state.key.name not in avoid}
        own = self._own(lease_request).intersection(ready)
        lease = self.pool.acquire(self.now, lease_request, exclude=exclude, avoid=avoid)
        assert (lease is None) == (not ready)
        if lease is None:
            self._check_foretold(lease_request, exclude)
            return None
        assert lease.key.name not in exclude
        if own and (own & well or not well):
            assert lease.state in own
        elif own:
            assert lease.state in own | well
        among = [state for state in ready if not own or (state in own) == (lease.state in own)]
        if lease.key.name in avoid:
            assert all(state.key.name in avoid for state in among)
        elif lease.state in suspects:
            assert all(state in suspects or state.key.name in avoid for state in among)
        return self._took(lease)

    def _own(self, lease_request: LeaseRequest) -> set[KeyState]:
        """The keys of a request's account, looked at one by one."""
        if lease_request.account is None:
            return set()
        organization, mark = lease_request.account
        named = {state for state in self.pool.states if organization and state.organization.name == organization}
        marked = {state.organization for state in self.pool.states if mark and state.key.mark == mark}
        removed = self.pool._registry._by_mark.get(mark)
        if removed is not None and removed.is_gone:
            # It still tells whose keys are beside it.
            marked = {removed.organization}
        return named or {state for state in self.pool.states if state.organization in marked}

    def _check_stay(
        self, lease_request: LeaseRequest, exclude: frozenset[str], avoid: frozenset[str], ready: list[KeyState]
    ) -> None:
        """Who waits for its account does so where nobody of it is ready and somebody may be, and for a bounded time."""
        own = self._own(lease_request)
        sticky_wait = self.pool.sticky_wait(self.now, lease_request, exclude=exclude, avoid=avoid)
        if own and len(own) < len(self.pool) and own.intersection(ready):
            assert sticky_wait is not None
            assert sticky_wait.ready_at == self.now
        if sticky_wait is None or sticky_wait.organization is None:
            return
        assert set(sticky_wait.organization.states.values()) == own
        assert sticky_wait.until == self.now + MOST_PATIENCE_SECONDS
        assert (sticky_wait.ready_at == self.now) == bool(own.intersection(ready))
        assert self.now <= sticky_wait.ready_at <= sticky_wait.until or sticky_wait.ready_at == NEVER
        assert {state for state in own if state.key.name not in exclude and state not in self.rejected}

    def _ready(self, lease_request: LeaseRequest, exclude: frozenset[str]) -> list[KeyState]:
        """All keys that could serve, looked at one by one."""
        caches = self.pool._warmth.caches(lease_request.prefix, self.now)

        def limits(state: KeyState) -> RateLimits:
            return state.organization.rate_limits(lease_request.limit_class, lease_request.model)

        return [
            state
            for state in self.pool.states
            if state.key.name not in exclude and obstacle(state, limits(state), lease_request, caches, self.now) is None
        ]

    def _took(self, lease: Lease) -> Out:
        state = lease.state
        model = lease.request.model
        before = sum(out.state is state for out in self.out)
        ceiling = lease.key.max_concurrency
        assert state in self.pool.states
        assert state not in self.rejected
        assert ceiling is None or before + 1 <= max(1, ceiling * self.share)
        assert before + 1 <= max(1, state.window)
        assert self.shut.get((state, model), 0.0) <= self.now
        assert self.resting.get((state, model), 0.0) <= self.now
        out = Out(lease, state)
        self.out.append(out)
        self._touch(lease)
        return out

    def _touch(self, lease: Lease) -> None:
        for thing in (lease.rate_limits, lease.workspace, lease.workspace.current(), lease.state.host):
            self.touched[id(thing)] = thing

    def _check_foretold(self, lease_request: LeaseRequest, exclude: frozenset[str], deep: int = 0) -> None:
        """Nobody is ready before the moment that was told, and somebody is at that moment, or soon another is told."""
        kind, seconds = self.pool.why_none(self.now, lease_request, exclude)
        moment = self.pool.ready_at(self.now, lease_request, exclude)
        assert seconds > 0
        assert moment > self.now
        if kind in (ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.UNREACHABLE):
            assert seconds == NEVER or seconds >= moment - self.now - ROUNDING
        if moment == NEVER:
            self.now += 3e7
            assert not self._ready(lease_request, exclude)
            return
        if moment - MILLISECOND > self.now:
            self.now = moment - MILLISECOND
            assert not self._ready(lease_request, exclude)
        self.now = moment + ROUNDING
        lease = self.pool.acquire(self.now, lease_request, exclude=exclude)
        if lease is None:
            # Behind one obstacle there was another; they are not many.
            assert deep < 5
            self._check_foretold(lease_request, exclude, deep + 1)
            return
        self._release(self._took(lease), ABANDONED)

    @rule(out=outs, names_owner=st.booleans(), requests=figures, prompt=figures, answer=figures, both=figures)
    def answer(
        self,
        out: Out | None,
        names_owner: bool,
        requests: tuple[int, int] | None,
        prompt: tuple[int, int] | None,
        answer: tuple[int, int] | None,
        both: tuple[int, int] | None,
    ) -> None:
        if out is None or out not in self.out or out.is_answered:
            return
        owner = true_owner(out.lease.key) if names_owner else (None, None)
        headers = head(*owner, requests=requests, input_tokens=prompt, output_tokens=answer, tokens=both)
        self._answered(out, headers, 200)

    def _answered(self, out: Out, headers: dict[str, str], status: int) -> None:
        out.is_answered = True
        self.pool.answered(out.lease, headers, self.now, status=status)
        self._touch(out.lease)
        self.touched[id(out.state.workspace)] = out.state.workspace

    @rule(out=consumes(outs), usage=usages)
    def succeed(self, out: Out | None, usage: Usage | None) -> None:
        if out is not None and out in self.out:
            self.shut.pop((out.state, out.lease.request.model), None) if self._only_refused(out) else None
            self._release(out, Outcome.success(usage))

    def _only_refused(self, out: Out) -> bool:
        """Whether what is shut is shut since the model was refused, which an answer takes back."""
        backoff = out.state.model_backoffs.get(out.lease.request.model)
        place = out.state, out.lease.request.model
        return backoff is not None and abs(backoff.until - self.shut.get(place, 0.0)) < ROUNDING

    @rule(out=consumes(outs), usage=usages)
    def abandon(self, out: Out | None, usage: Usage | None) -> None:
        if out is not None and out in self.out:
            self._release(out, ABANDONED if usage is None else Outcome(usage=usage))

    @rule(out=consumes(outs), kind=st.sampled_from(LIMITS), seconds=st.none() | moments, names_owner=st.booleans())
    def limit(self, out: Out | None, kind: ErrorKind, seconds: float | None, names_owner: bool) -> None:
        if out is None or out not in self.out:
            return
        if not out.is_answered:
            # A secret that has changed hands has to say so, else it is the old owner that cools.
            owner = true_owner(out.lease.key) if names_owner or out.lease.key.mark.endswith(SECOND) else (None, None)
            self._answered(out, head(*owner), 429)
        self._release(out, failed(kind, seconds))
        for model in MODELS:
            if LeaseRequest(model).limit_class == out.lease.request.limit_class and model == out.lease.request.model:
                self._shut(out.state, model, 5.0 if seconds is None else min(seconds, LONGEST_TOLD_SECONDS))

    @rule(out=consumes(outs), kind=st.sampled_from(PASSING_KINDS), seconds=st.none() | moments, heard=st.booleans())
    def fail(self, out: Out | None, kind: ErrorKind, seconds: float | None, heard: bool) -> None:
        if out is None or out not in self.out:
            return
        if heard and not out.is_answered:
            self._answered(out, head(*true_owner(out.lease.key)), 500)
        was_rejected = out.state in self.rejected
        has_served = out.state.has_served(self.now, out.lease.request.model)
        self._release(out, failed(kind, seconds))
        blame = RULES[kind].blame
        if blame is Blame.KEY and not was_rejected and out.state in self.pool.states:
            self.rejected.add(out.state)
        elif blame is Blame.KEY_IN_DOUBT:
            self.doubted.add(out.state)
        elif blame is Blame.KEY_AND_MODEL and not has_served:
            self._shut(out.state, out.lease.request.model, 1.0)
        elif blame in (Blame.ORGANIZATION, Blame.WORKSPACE) and not out.lease.key.mark.endswith(SECOND):
            for model in MODELS:
                until = self.now + max(1.0, min(seconds or 0.0, LONGEST_TOLD_SECONDS))
                self.resting[out.state, model] = max(self.resting.get((out.state, model), 0.0), until)

    def _shut(self, state: KeyState, model: str, seconds: float) -> None:
        self.shut[state, model] = max(self.shut.get((state, model), 0.0), self.now + seconds)

    def _release(self, out: Out, outcome: Outcome) -> None:
        self.out.remove(out)
        self.pool.release(out.lease, outcome, self.now)
        self._touch(out.lease)

    # Keys, probes, time

    @rule(keys=lists_of_keys, strategy=st.sampled_from(STRATEGIES), is_changed=st.booleans())
    def reconfigure(self, keys: list[Key], strategy: str, is_changed: bool) -> None:
        self._update(keys, PoolSettings(strategy, self.share) if is_changed else None)  # type: ignore[arg-type]
        assert [state.key for state in self.pool.states] == keys

    @rule(key=keys_of_any_kind)
    def put_key(self, key: Key) -> None:
        self._update([*(state.key for state in self.pool.states if state.key.name != key.name), key])

    @rule(place=st.integers(0, 4), weight=st.integers(1, 5), ceiling=st.none() | st.integers(1, 5))
    def change_key(self, place: int, weight: int, ceiling: int | None) -> None:
        keys = [state.key for state in self.pool.states]
        if place < len(keys):
            keys[place] = replace(keys[place], weight=weight, max_concurrency=ceiling)
            self._update(keys)

    @rule(place=st.integers(0, 4))
    def drop_key(self, place: int) -> None:
        keys = [state.key for state in self.pool.states]
        self._update(keys[:place] + keys[place + 1 :])

    def _update(self, keys: list[Key], pool_settings: PoolSettings | None = None) -> None:
        self.pool.update(keys, pool_settings)
        self.resting.clear()

    @rule(
        lease_request=lease_requests,
        count=st.integers(2, 6),
        outcome=st.sampled_from([SUCCESS, ABANDONED]) | bad_outcomes,
    )
    def burst(self, lease_request: LeaseRequest, count: int, outcome: Outcome) -> None:
        """Several at once that all end alike."""
        found = [self.pool.acquire(self.now, lease_request) for _ in range(count)]
        outs = [self._took(lease) for lease in found if lease is not None]
        for out in outs:
            if outcome.is_success:
                self._answered(out, head(*true_owner(out.lease.key)), 200)
                self.shut.pop((out.state, lease_request.model), None) if self._only_refused(out) else None
            self._release(out, outcome)

    @rule(is_well=st.booleans())
    def probe(self, is_well: bool) -> None:
        due = self.pool.due_probes(self.now)
        assert self.pool.due_probes(self.now) == []
        for state in [*self.pool.states]:
            if state.key.name in due:
                assert state in self.rejected | self.doubted
                self.doubted.discard(state) if is_well else None
                self.pool.probed(state.key.name, is_well=is_well, now=self.now)
                if is_well:
                    self.rejected.discard(state)
                elif state not in self.rejected and not state.has_served(self.now):
                    self.rejected.add(state)

    @rule(seconds=moments)
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    # The queue

    @rule(lease_request=lease_requests, exclude=some_names, stays=st.booleans())
    def join(self, lease_request: LeaseRequest, exclude: frozenset[str], stays: bool) -> None:
        sticky_wait = self.pool.sticky_wait(self.now, lease_request, exclude=exclude) if stays else None
        waiter = Waiter(self.joined, lease_request, exclude)
        if sticky_wait is not None:
            waiter.has_place = True
            waiter.pinned_until = sticky_wait.until if sticky_wait.organization is not None else -NEVER
        self.joined += 1
        has_room = len(self.queue) < self.lease_queue.size
        assert self.lease_queue.join(waiter, lease_request, exclude=exclude, sticky_wait=sticky_wait) == has_room
        if has_room:
            self.queue.append(waiter)

    @rule(place=st.integers(0, 3))
    def leave(self, place: int) -> None:
        if place < len(self.queue):
            self.lease_queue.leave(self.queue.pop(place))

    @rule(target=outs)
    def serve(self) -> Out | None:
        return next(iter(self._serve()), None)

    @rule(target=outs)
    def wait_as_told(self) -> Out | None:
        self._serve()
        moment = self.lease_queue.wake_at()
        if moment == NEVER:
            return None
        assert moment > self.now
        self.now = moment + ROUNDING
        return next(iter(self._serve()), None)

    def _serve(self) -> list[Out]:
        found = []
        for waiter, lease in self.lease_queue.serve(self.now):
            alike = [other for other in self.queue if other.alike == waiter.alike and not other.has_place]
            assert waiter.has_place or alike[0] is waiter
            self.queue.remove(waiter)
            found.append(self._took(lease))
        pinned = [waiter for waiter in self.queue if waiter.pinned_until > -NEVER]
        # Whoever has waited for its account for long enough goes anywhere, and whoever has not is looked at by then.
        late = [waiter for waiter in pinned if waiter.pinned_until <= self.now]
        assert all(self.lease_queue.waiters[waiter].place == "" for waiter in late)
        staying = [waiter.pinned_until for waiter in pinned if self.lease_queue.waiters[waiter].place]
        assert self.lease_queue.wake_at() <= min(staying, default=NEVER)
        return found

    # What always holds

    @invariant()
    def no_lease_is_lost(self) -> None:
        if not hasattr(self, "pool"):
            return
        assert self.pool.in_flight == len(self.out)
        by_state = Counter(out.state for out in self.out)
        configured = {state.key.name for state in self.pool.states}
        assert {state.key.name for state in by_state if state.is_gone} - configured == self.pool.leaving
        assert all(state.in_flight == by_state[state] for state in self.pool.states)
        workspaces = [thing for thing in self.touched.values() if isinstance(thing, Workspace)]
        assert sum(workspace.in_flight for workspace in workspaces if workspace.merged_into is None) == len(self.out)
        for host in self.pool.hosts.values():
            mine = [out for out in self.out if out.state.host is host]
            assert host.awaited == sum(out.lease.request.streams and not out.is_answered for out in mine)

    @invariant()
    def what_is_reserved_is_what_is_under_way(self) -> None:
        for thing in self.touched.values():
            if isinstance(thing, RateLimits):
                mine = [out for out in self.out if out.lease.rate_limits is thing]
                unheard = [out for out in mine if not out.is_answered]
                assert thing.in_flight == len(unheard)
                assert thing._pending_input == sum(out.lease.input_tokens for out in unheard)
                assert thing._pending_output == sum(out.lease.output_tokens for out in mine)

    @invariant()
    def every_key_has_its_place(self) -> None:
        if not hasattr(self, "pool"):
            return
        states = set(self.pool.states)
        for prefix in (None, b"p"):
            lease_request = LeaseRequest(MODEL, prefix=prefix)
            assert (
                set(self.pool._strategy.candidates(lease_request, self.pool._warmth.caches(prefix, self.now))) == states
            )
        for organization in self.pool.organizations:
            mine = {state for state in states if state.organization is organization}
            assert set(organization.states.values()) == mine
            assert organization.workspaces == {state.workspace for state in mine}
            for prefix in (None, b"p"):
                caches = self.pool._warmth.caches(prefix, self.now)
                found = list(
                    self.pool._strategy.candidates_of(organization, LeaseRequest(MODEL, prefix=prefix), caches)
                )
                assert set(found) == mine
        assert {organization.name: len(organization.states) for organization in self.pool.organizations} == Counter(
            state.organization.name for state in states
        )
        for state in states:
            siblings = {other for other in states if other.workspace is state.workspace}
            assert set(state.workspace.states.values()) == siblings
            assert state.workspace.weight == sum(other.key.weight for other in siblings)

    @invariant()
    def what_a_key_has_signed_is_valid_with_it(self) -> None:
        for out in self.out:
            account = self.pool.account_of(out.lease)
            assert account.key == out.lease.key.mark
            assert self.pool.is_of(out.lease, account)
            # What was configured differently since may be another account's by now.
            beside = [other for other in self.out if other.state.organization is out.state.organization]
            assert out.state.is_gone or all(
                self.pool.is_of(out.lease, self.pool.account_of(other.lease))
                for other in beside
                if not other.state.is_gone
            )

    @invariant()
    def an_account_knows_who_waits_for_it(self) -> None:
        if not hasattr(self, "pool"):
            return
        lanes = [lane for lanes in self.lease_queue._lanes.values() for lane in lanes.values()]
        awaited = {id(lane.organization): lane.organization for lane in lanes if lane.organization is not None}
        standing = sum(len(tickets) for lane in lanes if lane.organization for tickets in lane.callers.values())
        assert sum(sum(organization.awaited.values()) for organization in awaited.values()) == standing
        assert all(not each.awaited for each in self.pool.organizations if id(each) not in awaited)

    @invariant()
    def the_line_is_bounded_and_complete(self) -> None:
        if hasattr(self, "pool"):
            assert len(self.lease_queue) == len(self.queue) <= self.lease_queue.size

    def teardown(self) -> None:
        """When capacity returns everybody is served, and when all is over nothing is left."""
        if not hasattr(self, "pool"):
            return
        self._update([*(state.key for state in self.pool.states), Key("spare", host="spare")])
        # By now nobody waits in one place only.
        self.now += MOST_PATIENCE_SECONDS
        for _ in range(len(self.queue) + 1):
            self.now += MOMENT
            self._serve()
            for out in [*self.out]:
                self._release(out, SUCCESS)
        assert self.queue == []
        self.no_lease_is_lost()
        self.what_is_reserved_is_what_is_under_way()
        assert self.pool.leaving == set()
        for thing in self.touched.values():
            if isinstance(thing, Workspace) and thing.merged_into is None:
                assert thing.in_flight == 0


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, report_multiple_bugs=False)
