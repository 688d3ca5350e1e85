"""The registered keys and their organizations, workspaces and hosts; updated on reload and when upstream tells more."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.keypool.domains import KeyState, Organization, Workspace
from gateway.keypool.host import MAX_NOTED_MODELS, Host, forget_oldest
from gateway.keypool.lease_request import Account, Key
from gateway.keypool.strategies import Strategy

ORGANIZATION_HEADER: Final = "anthropic-organization-id"
WORKSPACE_HEADER: Final = "anthropic-workspace-id"
_LONGEST_NAME: Final = 256


class KeyRegistry:
    """The keys with their organizations, workspaces and hosts; the strategy is notified of every change.

    `share` is this process's share of every limit and ceiling.
    """

    def __init__(self, strategy: Strategy, share: float) -> None:
        self._strategy = strategy
        self._share = share
        self._places = itertools.count()
        self.states: dict[str, KeyState] = {}
        self.organizations: dict[str, Organization] = {}
        self.hosts: dict[str, Host] = {}
        # Keys that are no longer configured but still have leases.
        self.leaving: set[KeyState] = set()
        self._workspaces: dict[str, Workspace] = {}
        self._by_mark: dict[bytes, KeyState] = {}
        # The reference limit of each class, by which limits are compared.
        self._measures: dict[str, float] = {}
        # Maps names from the configuration to upstream's.
        self._known_as: dict[tuple[str, str], str] = {}

    def rank_by(self, strategy: Strategy, share: float) -> None:
        """Switch to another strategy."""
        for state in self.states.values():
            self._strategy.remove(state)
            strategy.add(state)
        self._strategy, self._share = strategy, share

    def update(self, keys: Iterable[Key]) -> None:
        """Replace the set of keys; what is known of unchanged keys is kept."""
        wanted = {key.name: key for key in keys}
        for name, state in list(self.states.items()):
            if name not in wanted or _identity(wanted[name]) != _identity(state.key):
                self._remove(state)
        for key in wanted.values():
            known = self.states.get(key.name)
            if known is None:
                self._add(key)
            else:
                if known.key != key:
                    self._replace(known, key)
                # The operator may have fixed the problem, so check again soon.
                known.backoff.until = -math.inf
                known.organization.backoff.until = known.workspace.backoff.until = -math.inf
        # In the order of the configuration, which `weighted` and all reports use.
        self.states = {name: self.states[name] for name in wanted}
        told = (*self.leaving, *self.states.values())
        self._by_mark = {state.key.mark: state for state in told if state.key.mark}
        for organization in self.organizations.values():
            self.weigh(organization)
        used = {state.key.host for state in (*self.states.values(), *self.leaving)}
        self.hosts = {name: host for name, host in self.hosts.items() if name in used}

    def organization_of(self, account: Account) -> Organization | None:
        """The organization whose keys can verify what an account has signed; None if it has no keys here."""
        if account.organization and (found := self.organizations.get(account.organization)) is not None:
            return found
        state = self._by_mark.get(account.key)
        return None if state is None else state.organization

    def discover(self, state: KeyState, headers: Mapping[str, str]) -> None:
        """Take the key's organization and workspace from the headers of its answer."""
        organization = headers.get(ORGANIZATION_HEADER)
        if organization and organization != state.organization.name:
            if len(organization) > _LONGEST_NAME:
                organization = None
            else:
                self._found_organization(state, organization)
        workspace = headers.get(WORKSPACE_HEADER)
        if workspace and len(workspace) > _LONGEST_NAME:
            workspace = None
        if workspace is None and organization and not (state.workspace.is_known or state.key.workspace):
            # The default workspace has no name; its caches are the organization's.
            workspace = organization
        if workspace and workspace != state.workspace.name:
            self._found_workspace(state, workspace)

    def welcome_back(self, state: KeyState) -> None:
        """A key returns after a pause: set its turns to those of the others."""
        self._catch_up(state)
        state.order.move(state)

    def learn_limit(self, organization: Organization, limit_class: str, limit: float | None) -> None:
        """An answer has told an organization's total limit for a class of models."""
        if limit is not None:
            forget_oldest(organization.limits)
            organization.limits[limit_class] = limit
            self.weigh(organization)

    def weigh(self, organization: Organization) -> None:
        """Divide the capacity of an organization, relative to others, among its workspaces."""
        states = organization.states.values()
        size = self._size(organization.limits)
        capacities: dict[Workspace, float] = {}
        for state in states:
            part = state.key.weight / len(states) * size
            capacities[state.workspace] = capacities.get(state.workspace, 0.0) + part
        for workspace, capacity in capacities.items():
            workspace.capacity = capacity
            self._strategy.settle(workspace)

    # Adding, replacing, removing

    def _add(self, key: Key) -> None:
        organization = self._organization(key.organization or f"key {key.name}")
        workspace = self._workspace(key.workspace or f"key {key.name}")
        host = self.hosts.setdefault(key.host, Host())
        state = KeyState(key, next(self._places), organization, workspace, host, self._ceiling(key))
        state.set_room()
        self.states[key.name] = state
        self._enter(state)

    def _replace(self, state: KeyState, key: Key) -> None:
        """Apply a changed weight, ceiling or priority."""
        self._leave(state)
        # A turn counts for more if the weight is smaller.
        state.turns *= key.weight / state.key.weight
        state.key = key
        state.ceiling = self._ceiling(key)
        state.set_room()
        self._enter(state)

    def _remove(self, state: KeyState) -> None:
        state.is_gone = True
        if state.in_flight:
            self.leaving.add(state)
        self._leave(state)
        del self.states[state.key.name]

    def _enter(self, state: KeyState) -> None:
        self._catch_up(state)
        organization = state.organization
        organization.states[state.place] = state
        self.organizations[organization.name] = organization
        self._join(state, state.workspace)

    def _leave(self, state: KeyState) -> None:
        self._part(state)
        organization, workspace = state.organization, state.workspace
        del organization.states[state.place]
        if not organization.states:
            self.organizations.pop(organization.name, None)
        if not workspace.weight:
            self._workspaces.pop(workspace.name, None)

    def _join(self, state: KeyState, workspace: Workspace) -> None:
        state.workspace = workspace
        workspace.states[state.place] = state
        workspace.weight += state.key.weight
        self._workspaces[workspace.name] = workspace
        self._strategy.add(state)

    def _part(self, state: KeyState) -> None:
        """Remove a key from its workspace."""
        workspace = state.workspace
        del workspace.states[state.place]
        workspace.weight -= state.key.weight
        self._strategy.remove(state)

    def _catch_up(self, state: KeyState) -> None:
        """A key that is new or returns must not make up for turns that it missed."""
        others = (other.turns / other.key.weight for other in self.states.values() if other is not state)
        state.turns = max(state.turns, min(others, default=0.0) * state.key.weight)

    def _ceiling(self, key: Key) -> float:
        if key.max_concurrency is None:
            return math.inf
        # Rounded, since 98 * (1 / 49) is less than two.
        return max(1.0, round(key.max_concurrency * self._share, 6))

    def _size(self, limits: Mapping[str, float]) -> float:
        """The size of limits relative to other organizations' limits for the same class."""
        for limit_class, limit in limits.items():
            # The first limit is the reference: a reference that changed would move the homes of all prefixes.
            if len(self._measures) < MAX_NOTED_MODELS:
                self._measures.setdefault(limit_class, limit)
        ratios = [limit / self._measures[name] for name, limit in limits.items() if name in self._measures]
        return sum(ratios) / len(ratios) if ratios else 1.0

    # Discovery

    def _found_organization(self, state: KeyState, name: str) -> None:
        old = state.organization
        new = self.organizations.get(name)
        if new is None and not old.is_known:
            # All keys that the configuration places there belong to the same organization.
            del self.organizations[old.name]
            self._known_as["organization", old.name] = name
            old.name, old.is_known = name, True
            self.organizations[name] = old
            return
        if new is None:
            new = self.organizations[name] = Organization(name, self._share, is_known=True)
        movers = [state]
        if not old.is_known:
            self._known_as["organization", old.name] = name
            movers = list(old.states.values())
            new.take_over(old)
            for leaving in self.leaving:
                if leaving.organization is old:
                    leaving.organization = new
        for mover in movers:
            mover.organization = new
            new.states[mover.place] = old.states.pop(mover.place)
        if old.states:
            self.weigh(old)
        else:
            self.organizations.pop(old.name, None)
        self.weigh(new)

    def _found_workspace(self, state: KeyState, name: str) -> None:
        old = state.workspace
        new = self._workspaces.get(name)
        if new is None:
            new = self._workspaces[name] = Workspace(name, is_known=True)
        movers = [state]
        if not old.is_known:
            self._known_as["workspace", old.name] = name
            movers = list(old.states.values())
            if old.backoff.until > new.backoff.until:
                new.backoff, new.backs_off_for = old.backoff, old.backs_off_for
        for mover in movers:
            self._part(mover)
            self._join(mover, new)
        if not old.weight:
            self._workspaces.pop(old.name, None)
            new.in_flight += old.in_flight
            old.merged_into = new
        self.weigh(state.organization)

    def _organization(self, name: str) -> Organization:
        known = self._known_as.get(("organization", name))
        name = known or name
        return self.organizations.get(name) or Organization(name, self._share, is_known=known is not None)

    def _workspace(self, name: str) -> Workspace:
        known = self._known_as.get(("workspace", name))
        name = known or name
        return self._workspaces.get(name) or Workspace(name, is_known=known is not None)


def _identity(key: Key) -> tuple[object, ...]:
    return key.host, key.mark, key.organization, key.workspace
