"""What a worker and its parent say to each other about meters.

Numbers are differences since the last message, so a talk that loses nothing loses no amounts. A worker has at most one
`Batch` on its way, and sends no other report meanwhile.
"""

from typing import Final

from msgspec import Struct

from gateway.accounts.rules.rule import Measure

# Topics that the parent answers.
BEGIN: Final = "quota-begin"
TAKE: Final = "quota-take"
REPORT: Final = "quota-report"
# The topic that a worker answers.
RECALL: Final = "quota-recall"

# Results of an ask; others are the place of the meter that has not enough left.
TAKEN: Final = -1
UNKNOWN: Final = -2
"""The parent has no such meter: the worker has to ask it to begin."""


class Report(Struct, frozen=True, array_like=True):
    """What a worker did with its portion of a meter, in the window that began at `starts_at`.

    `spent` was held and is settled, `returned` was spare and is given back, `refund` was held by requests that cost
    less, `overdraft` was spent without having been held. `spare` is what the worker still has for requests to come;
    None says nothing about it.
    """

    measure: Measure
    starts_at: float = 0.0
    spent: int = 0
    returned: int = 0
    refund: int = 0
    overdraft: int = 0
    spare: int | None = None


class Batch(Struct, frozen=True, array_like=True):
    """Requests that need more than their worker has. Each ask names places in `reports`, and the cost to be held there.

    The meters that are asked for have given all their spare back.
    """

    now: float
    reports: list[Report]
    asks: list[list[tuple[int, int]]]


class Grant(Struct, frozen=True, array_like=True):
    """What a worker gets of a meter beyond the costs that it asked for, and how the meter stands.

    `left` is what nobody holds for a running request. While the meter `is_short`, there is nothing extra, and what is
    settled is to be reported at once.
    """

    extra: int
    starts_at: float
    ends_at: float
    spent: int
    left: int
    is_short: bool


class Answer(Struct, frozen=True, array_like=True):
    """The result of each ask, and a grant for each report; None for a meter that is not known."""

    results: list[int]
    grants: list[Grant | None]
