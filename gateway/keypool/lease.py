"""The right to use a key for one attempt."""

from gateway.keypool.allowance import Allowance, Reservation
from gateway.keypool.demand import Demand
from gateway.keypool.domains import KeyState, Workspace


class Lease(Reservation):
    """The right to use a key for one attempt, with what is reserved for it; it has to be released, once."""

    __slots__ = ("allowance", "demand", "is_answered", "is_trial", "key", "state", "workspace")

    def __init__(self, state: KeyState, allowance: Allowance, demand: Demand, now: float) -> None:
        # Written out: a call of the base's would be a part of what a lease costs.
        self.acquired_at = self.answered_at = now
        self.output_mark = 0.0
        self.key = state.key
        self.state = state
        self.workspace: Workspace = state.workspace
        self.allowance = allowance
        self.demand = demand
        self.is_answered = False
        self.is_trial = False
