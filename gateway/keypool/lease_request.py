"""What a request asks of the pool, what it is given, and what became of it."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Final, NamedTuple

from gateway.keypool.breaker import Breaker
from translators.errors import Blame, ErrorKind, Failure
from translators.models import limit_class
from translators.usage import Usage


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the pool, known by its name; `host` tells which keys share a network fate.

    `organization` and `workspace` are what the operator knows; upstream's answers know better. `mark` tells one secret
    of the same name from the next: what was said of one holds for no other.
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
    """Whose key it is: the organization's id ("": not told yet), and the mark of a key of it (b"" for none)."""

    organization: str
    key: bytes


@dataclass(slots=True, eq=False)
class LeaseRequest:
    """What a request needs: a model, room for about so many tokens of prompt, and if possible a cache that has it.

    `prefix` is the same for all requests that begin alike (model, tools, system prompt, first turn), None where that
    is not known. `streams` says that its answer begins at once, however long it takes. `account` is the one that has
    signed what the request holds: with another it is worth less. `blamed` is shared by all that one request asks for:
    the breakers that its failures have counted with.
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
        """Whether its own failures have opened a breaker: others are to show when that is well again."""
        blamed = self.blamed
        return bool(blamed) and any(breaker.opened_by is blamed for breaker in blamed or ())

    def has_blamed(self, breaker: Breaker) -> bool:
        """Whether an earlier attempt of the same request has counted as a failure there."""
        return bool(self.blamed) and breaker in (self.blamed or ())


class Outcome(NamedTuple):
    """What an attempt teaches: who is to blame and for how long, or what it has used.

    An attempt that its caller abandoned teaches nothing: it is no success, and nobody is to blame.
    """

    blame: Blame = Blame.NOBODY
    retry_after_seconds: float | None = None
    is_success: bool = False
    kind: ErrorKind | None = None
    usage: Usage | None = None

    @classmethod
    def of(cls, failure: Failure, usage: Usage | None = None) -> "Outcome":
        """The lesson of a failure."""
        return cls(failure.rule.blame, failure.retry_after_seconds, kind=failure.kind, usage=usage)

    @classmethod
    def success(cls, usage: Usage | None = None) -> "Outcome":
        """An answer to its end."""
        return cls(is_success=True, usage=usage)


SUCCESS: Final = Outcome(is_success=True)
ABANDONED: Final = Outcome()
