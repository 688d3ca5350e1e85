"""Which key a request gets, and where it had better wait."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.keypool.allowance import Allowance
from gateway.keypool.demand import Account, Demand
from gateway.keypool.domains import KeyState, Organisation
from gateway.keypool.host import Host
from gateway.keypool.members import Members
from gateway.keypool.obstacles import Obstacle, most_hopeful, obstacle, obstacles
from gateway.keypool.stays import Stay, stay_for_account, stay_for_cache
from gateway.keypool.strategies import COLD_SLACK, Strategy
from gateway.keypool.warmth import Cache, Warmth
from translators.errors import ErrorKind

# How many more workspaces and hosts are looked at once there is a key that would do.
_LOOKS: Final = 8
# What may speak against a key; each outweighs all that come after it.
_AVOIDED, _SUSPECT, _CROWDED, _HEADROOM = 8, 4, 2, 1

NOBODY: Final[frozenset[str]] = frozenset()


class _Search(NamedTuple):
    """What a key is looked for, once the first one in order will not do."""

    now: float
    demand: Demand
    caches: Sequence[Cache]
    exclude: frozenset[str]
    avoid: frozenset[str]


class KeyChooser:
    """Finds keys for requests among those that there are, by what is known of them."""

    def __init__(self, strategy: Strategy, share: float) -> None:
        self._strategy = strategy
        self._warmth = Warmth()
        self._members = Members(strategy, share)
        # How many leases are out.
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._members.states)

    @property
    def leaving(self) -> set[str]:
        """The keys that are no longer configured but still in use."""
        return {state.key.name for state in self._members.leaving} - self._members.states.keys()

    @property
    def states(self) -> Iterable[KeyState]:
        return self._members.states.values()

    def state_of(self, name: str) -> KeyState | None:
        return self._members.states.get(name)

    @property
    def organisations(self) -> Iterable[Organisation]:
        return self._members.organisations.values()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by their addresses."""
        return self._members.hosts

    # Choosing

    def _choose(
        self,
        now: float,
        demand: Demand,
        caches: Sequence[Cache],
        exclude: frozenset[str],
        avoid: frozenset[str],
        *,
        waits: bool,
    ) -> KeyState | None:
        """A ready key: of the demand's account if possible, else nearly always the first one in order."""
        if demand.account is not None and (organisation := self._account_apart(demand.account)) is not None:
            state = self._in_account(organisation, _Search(now, demand, caches, exclude, avoid))
            if state is not None:
                return state
            if waits and self._pays_to_wait(now, demand, exclude, avoid):
                return None
        state = self._strategy.first(demand, caches)
        if state is not None and not (exclude and state.key.name in exclude):
            allowance = state.organisation.allowance(demand.limit_class, demand.model)
            is_ready = obstacle(state, allowance, demand, caches, now) is None
            if is_ready and not self._doubt(state, allowance, demand, caches, now, avoid):
                return state
        if waits and self._pays_to_wait(now, demand, exclude, avoid):
            return None
        search = _Search(now, demand, caches, exclude, avoid)
        state = self._look_around(self._strategy.candidates(demand, caches), search)
        if state is not None and self._strategy.counts_turns:
            self._strategy.pass_over(state)
        return state

    def _in_account(self, organisation: Organisation, search: _Search) -> KeyState | None:
        """The key of a demand's account to use; None where there is none, or where it is of less use than others."""
        own = self._strategy.candidates_of(organisation, search.demand, search.caches)
        # Little headroom is no reason to look on: all its keys have the same.
        state = self._look_around(own, search, bearable=_HEADROOM)
        if state is None or not _is_in_trouble(state, search):
            return state
        other = self._look_around(self._strategy.candidates(search.demand, search.caches), search)
        if other is None or other.key.name in search.avoid or other.avoided_until > search.now:
            return state
        return state if other.host.is_suspect(search.demand.limit_class, search.now) else None

    def _look_around(self, candidates: Iterable[KeyState], search: _Search, *, bearable: int = 0) -> KeyState | None:
        """The ready key of which the least speaks against it; of equals, and of those that will do, the first one."""
        now, demand, caches, exclude, avoid = search
        chosen: KeyState | None = None
        least_doubt = math.inf
        # Keys of one workspace and host are alike in nearly all that speaks against them.
        doubtful: set[tuple[int, int]] = set()
        for state in candidates:
            alike = id(state.workspace), id(state.host)
            if state.key.name in exclude or (alike in doubtful and state.key.name not in avoid):
                continue
            allowance = state.organisation.allowance(demand.limit_class, demand.model)
            if obstacle(state, allowance, demand, caches, now) is not None:
                continue
            doubt = self._doubt(state, allowance, demand, caches, now, avoid)
            if doubt < least_doubt:
                chosen, least_doubt = state, doubt
            if state.key.name not in avoid:
                doubtful.add(alike)
            if doubt <= bearable or len(doubtful) > _LOOKS:
                break
        return chosen

    def _doubt(
        self,
        state: KeyState,
        allowance: Allowance,
        demand: Demand,
        caches: Sequence[Cache],
        now: float,
        avoid: frozenset[str],
    ) -> int:
        """How much speaks for looking at the next one as well; 0 is nothing."""
        doubt = 0
        if avoid and state.key.name in avoid:
            doubt += _AVOIDED
        host = state.host
        if state.avoided_until > now or (
            (host.awaited or host.breaker.suspect_until or host.classes) and host.is_suspect(demand.limit_class, now)
        ):
            doubt += _SUSPECT
        strategy, workspace = self._strategy, state.workspace
        if workspace.in_flight >= COLD_SLACK and strategy.is_crowded(workspace, caches, self.in_flight):
            doubt += _CROWDED
        if demand.limit_class in state.organisation.awaited or (
            allowance.is_low and strategy.heeds_headroom and not any(cache.workspace is workspace for cache in caches)
        ):
            # Others need what little there is more than a request that has a choice.
            doubt += _HEADROOM
        return doubt

    # Waiting

    def stay(
        self, now: float, demand: Demand, *, exclude: frozenset[str] = NOBODY, avoid: frozenset[str] = NOBODY
    ) -> Stay | None:
        """Where a request had better wait than go elsewhere; None where that does not pay.

        For its account also one that has failed already, for a cache not.
        """
        caches = self._warmth.caches(demand.prefix, now)
        if demand.account is not None and (organisation := self._account_apart(demand.account)) is not None:
            stay = stay_for_account(organisation, demand, caches, now, exclude)
            if stay is not None:
                return stay
        if not caches or exclude or avoid or not self._strategy.heeds_caches:
            return None
        return stay_for_cache(
            demand, caches, lambda workspace: self._strategy.is_crowded(workspace, caches, self.in_flight), now
        )

    def _pays_to_wait(self, now: float, demand: Demand, exclude: frozenset[str], avoid: frozenset[str]) -> bool:
        stay = self.stay(now, demand, exclude=exclude, avoid=avoid)
        return stay is not None and stay.ready_at > now

    def _account_apart(self, account: Account) -> Organisation | None:
        """Whose keys can read what an account has signed; None where that is nobody here, or everybody."""
        organisation = self._members.organisation_of(account)
        return organisation if organisation is not None and len(organisation.states) < len(self) else None

    def why_none(self, now: float, demand: Demand, exclude: frozenset[str] = NOBODY) -> tuple[ErrorKind, float]:
        """Why no key is ready, the most hopeful reason there is, and in how many seconds one is.

        Infinity: when something happens, as when another request ends.
        """
        return most_hopeful(self._obstacles(now, demand, exclude), now)

    def ready_at(self, now: float, demand: Demand, exclude: frozenset[str] = NOBODY) -> float:
        """The first moment at which a key is ready even if nothing happens until then; infinity if there is none."""
        return min((until for _, until in self._obstacles(now, demand, exclude)), default=math.inf)

    def _obstacles(self, now: float, demand: Demand, exclude: frozenset[str]) -> Iterable[Obstacle]:
        return obstacles(self._members.states.values(), demand, self._warmth.caches(demand.prefix, now), now, exclude)

    def refuses(self, now: float, model: str) -> bool:
        """Whether a key has refused a model lately, so that its requests wait for others only."""
        return any(
            (rest := state.model_rests.get(model)) is not None and rest.until > now
            for state in self._members.states.values()
            if state.model_rests
        )


def _is_in_trouble(state: KeyState, search: _Search) -> bool:
    """Whether a request had better go to another account's key on a host that is well, if there is one.

    Once its host has failed this very request, or where no stream begins, which may take long to notice.
    """
    if state.host.is_silent(search.now):
        return True
    return state.key.name in search.avoid and state.host.is_suspect(search.demand.limit_class, search.now)
