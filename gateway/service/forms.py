"""The forms in which a request can be sent, that is its Messages bodies: one per candidate model and kind of host."""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from gateway.keypool import Lease
from gateway.service.ports import Endpoint, Outgoing
from gateway.service.record import Progress
from gateway.service.services import Candidate, Services
from translators.errors import ErrorKind, Failure
from translators.hosts import HostProfile

R = TypeVar("R", bound=Outgoing)

# The maximum number of corrections by lessons for one request.
MAX_LESSONS: Final = 3


class Forms(Generic[R]):
    """The forms of one request; each candidate after the first is used if the one before is overloaded."""

    __slots__ = (
        "_lessons",
        "_others",
        "_prepared_for",
        "_progress",
        "_services",
        "candidate",
        "is_fallback",
        "written",
    )

    def __init__(self, services: Services, candidates: Sequence[Candidate[R]], progress: Progress) -> None:
        self._services = services
        self._progress = progress
        # The current model. Deleted at the commit point: a request may have many megabytes, and its stream may run for
        # minutes.
        self.candidate = candidates[0]
        # The models that may stand in, and whether one of them does.
        self._others = candidates[1:]
        self.is_fallback = False
        self._lessons = 0
        # The latest form: what the current attempt has sent, or before that what it would send.
        self.written: R | None = None
        # The kind of host for which that form was prepared, as long as no lesson can have changed it.
        self._prepared_for: HostProfile | None = None

    @property
    def sent(self) -> R:
        """What the current attempt has sent."""
        assert self.written is not None, "nothing is sent again after the commit point"
        return self.written

    @property
    def has_fallback(self) -> bool:
        """Whether another model may answer."""
        return bool(self._others)

    def fall_back(self) -> str:
        """Switch to the next model; returns its name."""
        self.candidate, *self._others = self._others
        self.is_fallback = True
        self.written = self._prepared_for = None
        return self.candidate.model

    def let_go(self) -> None:
        """Release the request: nothing will be sent again."""
        del self.candidate
        self._others = ()
        self.written = self._prepared_for = None

    def expect_changes(self) -> None:
        """Time will pass before the request is sent, so check the prepared form again."""
        self._prepared_for = None

    def prepare(self) -> R | None:
        """Write the request for the first host, so that translation errors surface before anything else is done."""
        endpoint = next(iter(self._services.endpoints.values()), None)
        if endpoint is not None:
            # Almost always this will be the account that signed the history.
            self.written = self._written(endpoint, is_home=True)
            self._prepared_for = endpoint.profile
        return self.written

    async def prepare_in_slices(self) -> None:
        """Write a large request in turns of the event loop, so that `prepare` finds it ready."""
        endpoint = next(iter(self._services.endpoints.values()), None)
        if endpoint is not None and (write_in_slices := self.candidate.write_in_slices) is not None:
            await write_in_slices(endpoint.profile, True)

    @property
    def is_large(self) -> bool:
        """Whether `write_in_slices` has to be called before `write_for`."""
        return self.candidate.write_in_slices is not None

    async def write_in_slices(self, lease: Lease, endpoint: Endpoint) -> None:
        """Write the request for a lease's key in turns of the event loop, so that `write_for` finds it ready."""
        self.expect_changes()
        if (write_in_slices := self.candidate.write_in_slices) is not None:
            await write_in_slices(endpoint.profile, self._is_home(lease))

    def write_for(self, lease: Lease, endpoint: Endpoint) -> R:
        """The form for a lease's key."""
        is_home = self._is_home(lease)
        if self.written is None or self._prepared_for is not endpoint.profile or not is_home:
            self.written = self._written(endpoint, is_home=is_home)
        return self.written

    def _written(self, endpoint: Endpoint, *, is_home: bool) -> R:
        request = self.candidate.write(endpoint.profile, is_home)
        self._progress.adjusted = request.adjusted
        return request

    def _is_home(self, lease: Lease) -> bool:
        """Whether the lease's key belongs to the account that signed parts of the request."""
        account = self.candidate.account
        return account is None or self._services.pool.is_of(lease, account)

    async def learn_from(self, lease: Lease, failure: Failure) -> bool:
        """Learn from a 400 about something that the gateway chose; returns whether there is another form to try."""
        if failure.kind is not ErrorKind.INVALID_REQUEST or self._lessons >= MAX_LESSONS or self._progress.is_committed:
            return False
        self._lessons += 1
        endpoint, candidate = self._services.endpoints[lease.key.name], self.candidate
        if self.written is not None:
            candidate.learn(endpoint.profile, failure.message, self.written)
        # Another request may have learned the same a moment before: compare with what would be sent now.
        await self.write_in_slices(lease, endpoint)
        return candidate.write(endpoint.profile, self._is_home(lease)) is not self.written

    async def explained(self, failure: Failure) -> Failure:
        """The failure in the caller's terms; unchanged after the commit point."""
        if self.written is None or (explain := self.candidate.explain) is None:
            return failure
        return await explain(failure, self.written)
