"""The values exchanged with the pool: keys, requests for a lease, and outcomes."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Final, NamedTuple

from gateway.keypool.breaker import Breaker
from translators.errors import Blame, ErrorKind, Failure
from translators.models import limit_class
from translators.usage import Usage


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the pool, identified by its name; keys with the same `host` share its network failures.

    `organization` and `workspace` are the operator's; upstream's answers take precedence. `mark` identifies the secret:
    what was learned with one secret does not apply to another one under the same name.
    """

    name: str
    weight: int = 1
    host: str = ""
    organization: str | None = None
    workspace: str | None = None
    max_concurrency: int | None = None
    priority: int = 0
    mark: bytes = field(default=b"", repr=False)


class Account(NamedTuple):
    """The owner of a key: the organization's id ("" if not known yet), and the mark of a key of it (b"" for none)."""

    organization: str
    key: bytes


@dataclass(slots=True, eq=False)
class LeaseRequest:
    """What a request needs: a model, about `input_tokens` tokens of limits, and preferably a warm cache.

    `prefix` is the same for all requests that begin alike (model, tools, system prompt, first turn), None if it is not
    known. `streams` says that the head of the answer arrives at once, however long the answer takes. `account` is the
    one that has signed parts of the request: another one cannot use these. `blamed` is shared by all attempts of a
    request: the breakers with which its failures were counted.
    """

    model: str
    input_tokens: int = 0
    prefix: bytes | None = None
    caller: str = ""
    _: KW_ONLY
    streams: bool = False
    account: Account | None = None
    blamed: list[Breaker] | None = None
    limit_class: str = field(init=False)

    def __post_init__(self) -> None:
        self.limit_class = limit_class(self.model)

    @property
    def waits_for_others(self) -> bool:
        """Whether its own failures have opened a breaker, so that other requests have to try first."""
        blamed = self.blamed
        return bool(blamed) and any(breaker.opened_by is blamed for breaker in blamed or ())

    def has_blamed(self, breaker: Breaker) -> bool:
        """Whether an earlier attempt of the same request was counted as a failure there."""
        return bool(self.blamed) and breaker in (self.blamed or ())


class Outcome(NamedTuple):
    """The outcome of an attempt: who is to blame and for how long, or what it has used.

    An attempt that its caller abandoned is neither a success nor anybody's fault.
    """

    blame: Blame = Blame.NOBODY
    retry_after_seconds: float | None = None
    is_success: bool = False
    kind: ErrorKind | None = None
    usage: Usage | None = None

    @classmethod
    def of(cls, failure: Failure, usage: Usage | None = None) -> "Outcome":
        return cls(failure.rule.blame, failure.retry_after_seconds, kind=failure.kind, usage=usage)

    @classmethod
    def success(cls, usage: Usage | None = None) -> "Outcome":
        """A complete answer."""
        return cls(is_success=True, usage=usage)


SUCCESS: Final = Outcome(is_success=True)
ABANDONED: Final = Outcome()
