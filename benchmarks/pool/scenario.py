"""A scenario: which organizations and keys there are, who asks for how much, and what goes wrong."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from benchmarks.pool.buckets import BURST_SECONDS, Limits
from benchmarks.pool.marks import Marker
from benchmarks.pool.simulation import Patience, Simulation
from benchmarks.pool.strategies import balancer
from benchmarks.pool.tally import Tally
from benchmarks.pool.workloads import Workload, most_per_minute
from benchmarks.pool.world import TIERS, ApiKey, Fault, Organization, Trouble, World
from translators.messages.marking import Caching

_FAULT_AFTER_SECONDS: Final = 60.0
FAULT_SECONDS: Final = 60.0
# What each fault befalls: the first key, host or organization.
_TARGETS: Final = {
    Fault.REVOKED: "key-0",
    Fault.RESET: "host-0",
    Fault.OVERLOADED: "host-0",
    Fault.HANG: "host-0",
    Fault.RAMP: "organization-0",
    Fault.SPEND: "organization-0",
}


@dataclass(frozen=True)
class Scenario:
    """What is simulated; `organizations` are tiers with their numbers of keys.

    Warming up uses up what the full buckets hold at the beginning, and fills the caches. `caching` says how the
    gateway marks prompts; None leaves the workload's own marks.
    """

    organizations: tuple[tuple[str, int], ...] = (("start", 3), ("start", 2), ("start", 1))
    workload: str = "chat"
    load: float = 0.95
    minutes: float = 10.0
    seed: int = 1
    faults: tuple[Fault, ...] = ()
    all_down: bool = False
    workers: int = 1
    warm_up_minutes: float = 5.0
    burst_seconds: float = BURST_SECONDS
    patience: Patience = field(default_factory=Patience)
    # The share of conversations that hold what only the account that answered can read.
    signed: float = 0.0
    caching: Caching | None = None

    @cached_property
    def keys(self) -> list[ApiKey]:
        """All keys: each organization has one workspace and one host."""
        owners = [number for number, (_, keys) in enumerate(self.organizations) for _ in range(keys)]
        return [
            ApiKey(f"key-{place}", f"organization-{owner}", f"workspace-{owner}", f"host-{owner}")
            for place, owner in enumerate(owners)
        ]

    @cached_property
    def limits(self) -> Limits:
        """All organizations' limits together."""
        tiers = [TIERS[tier] for tier, _ in self.organizations]
        return Limits(
            sum(tier.requests for tier in tiers),
            sum(tier.input_tokens for tier in tiers),
            sum(tier.output_tokens for tier in tiers),
        )

    @cached_property
    def traffic(self) -> tuple[Workload, float, float]:
        """The workload, the most requests a minute that the limits allow, and requests a conversation."""
        workload = Workload(self.workload, self.seed)
        needs, turns = workload.needs()
        return workload, most_per_minute(self.limits, needs), turns

    @property
    def fault_begins_at(self) -> float:
        """When things go wrong."""
        return self.warm_up_minutes * 60 + _FAULT_AFTER_SECONDS

    def world(self) -> World:
        """A fresh world."""
        organizations = [
            Organization(f"organization-{number}", TIERS[tier], self.burst_seconds)
            for number, (tier, _) in enumerate(self.organizations)
        ]
        return World(organizations, self.keys, self._troubles())

    def run(self, strategy: str) -> Simulation:
        """One strategy in a world of its own."""
        workload, most, turns = self.traffic
        begins_at = self.warm_up_minutes * 60
        until = begins_at + self.minutes * 60
        world = self.world()
        chooses = balancer(strategy, world, self.patience, self.seed, self.workers, self.signed)
        tally, marker = Tally(begins_at, until), Marker(self.caching) if self.caching else None
        simulation = Simulation(world, chooses, tally, self.patience, self.seed, self.workers, marker)
        simulation.run(workload.conversations(), self.load * most / turns, until)
        return simulation

    def _troubles(self) -> list[Trouble]:
        begins_at, ends_at = self.fault_begins_at, self.fault_begins_at + FAULT_SECONDS
        troubles = [Trouble(fault, _TARGETS[fault], begins_at, ends_at) for fault in self.faults]
        if self.all_down:
            hosts = sorted({key.host for key in self.keys})
            troubles += [Trouble(Fault.RESET, host, begins_at, ends_at) for host in hosts]
        return troubles
