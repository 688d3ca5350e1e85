"""A lease: the right to use a key for one attempt."""

from gateway.keypool.domains import KeyState, Workspace
from gateway.keypool.lease_request import LeaseRequest
from gateway.keypool.rate_limits import RateLimits, Reservation


class Lease(Reservation):
    """The right to use a key for one attempt, with its reservation; it must be released exactly once."""

    __slots__ = ("is_answered", "is_trial", "key", "rate_limits", "request", "state", "workspace")

    def __init__(self, state: KeyState, rate_limits: RateLimits, request: LeaseRequest, now: float) -> None:
        # Inlined: calling the base's __init__ would be a noticeable part of a lease's cost.
        self.acquired_at = self.answered_at = now
        self.output_mark = 0.0
        self.key = state.key
        self.state = state
        self.workspace: Workspace = state.workspace
        self.rate_limits = rate_limits
        self.request = request
        self.is_answered = False
        self.is_trial = False
