"""A rule as the operator writes it, in a form that can be counted with: amounts are whole numbers."""

from enum import IntEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Scope: TypeAlias = Literal["all", "group", "key", "end_user"]
Window: TypeAlias = Literal["minute", "hour", "day", "month", "total"]
Hold: TypeAlias = Literal["expected", "strict"]

# What `over` begins with where another model answers.
MODEL_PREFIX: Final = "model:"
NANO_DOLLARS: Final = 1_000_000_000


class What(IntEnum):
    """What a rule counts; the values are places in `Costs`."""

    REQUESTS = 0
    INPUT_TOKENS = 1
    OUTPUT_TOKENS = 2
    IN_FLIGHT = 3
    MONEY = 4


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At most `amount` of `what` in each `window`, for each subject of its scope, of the models that fit `model`.

    `of` narrows the scope: a group or key by its name or id; for `end_user` the key whose end users are meant. `amount`
    is in nano-dollars for money. `over` is `refuse`, `queue` or `model:NAME`; a shadow rule only reports. `hold` None
    is the operator's default. A window that is not aligned to UTC is a token bucket, which refills steadily.
    """

    id: str
    scope: Scope = "all"
    of: str = "*"
    model: str = "*"
    what: What
    amount: int
    window: Window = "total"
    is_aligned: bool = True
    over: str = "refuse"
    is_shadow: bool = False
    hold: Hold | None = None

    @property
    def other_model(self) -> str | None:
        """The model that answers instead when the rule is over."""
        return self.over.removeprefix(MODEL_PREFIX) if self.over.startswith(MODEL_PREFIX) else None

    def is_about(self, key: str | None, name: str, group: str | None) -> bool:
        """Whether the rule concerns a caller: a stored key's id (None for others), its name, its group."""
        if self.scope == "all":
            return True
        if self.scope == "group":
            return group is not None and matches(self.of, group)
        return matches(self.of, name) or (key is not None and matches(self.of, key))


@lru_cache(4096)
def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern: `*` stands for any text, everything else for itself."""
    if pattern == "*" or pattern == name:
        return True
    return "*" in pattern and fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))


class Subject(Struct, frozen=True, array_like=True):
    """Whom a meter counts for: all of it None is everyone; `end_user` is the keyed hash, of one caller's end users.

    `caller` is what the ledger's column of that name holds: a stored key's id, or the name of a configured client.
    """

    caller: str | None = None
    group: str | None = None
    end_user: bytes | None = None


EVERYONE: Final = Subject()


class Measure(Struct, frozen=True, array_like=True):
    """What a meter counts: one rule's amount for one subject. It says all that is needed to count elsewhere.

    The same meter goes on when only `amount` has changed: `identity` leaves it out.
    """

    rule: str
    what: What
    amount: int
    window: Window
    is_aligned: bool
    model: str = "*"
    subject: Subject = EVERYONE

    @property
    def identity(self) -> "Measure":
        """The same for all amounts."""
        return Measure(self.rule, self.what, 0, self.window, self.is_aligned, self.model, self.subject)

    @property
    def is_calendar(self) -> bool:
        """Whether a meter of it begins with what the ledger says was spent."""
        return self.is_aligned and self.what is not What.IN_FLIGHT


def measure_of(rule: Rule, subject: Subject) -> Measure:
    """What a rule counts for one subject."""
    return Measure(rule.id, rule.what, rule.amount, rule.window, rule.is_aligned, rule.model, subject)
