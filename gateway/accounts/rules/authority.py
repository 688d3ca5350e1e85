"""Who decides what is left of a rule's amount: this process, or one that several workers ask."""

from collections.abc import Sequence
from typing import Protocol

from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.rule import Measure


class Spending(Protocol):
    """What the ledger says was spent."""

    async def spent(self, measure: Measure, since: float) -> int:
        """What `measure` counts of the requests that began since then: nano-dollars, tokens or requests.

        Raises `OSError` if the ledger cannot be read.
        """
        ...


class Authority(Protocol):
    """Gives out meters, and answers for those that do not know what is left.

    A request takes from its meters without waiting, and in most cases that is all. Only for meters that said `ASK` is
    the authority asked, once for all of them.
    """

    def meter(self, measure: Measure, now: float) -> Meter:
        """The meter of a measure, the same one every time until it is forgotten; `amount` may change meanwhile."""
        ...

    def forget(self, meter: Meter) -> None:
        """Nobody here uses an idle meter any more: give back its portion, and free it."""
        ...

    async def take(self, asks: Sequence[tuple[Meter, int]], now: float) -> int | None:
        """Hold a cost on each of these meters, all or none; the place of the first that is over, None if all are held.

        What was held here is settled by the meters' `settle`, like what they gave by themselves. Raises `OSError` if
        nobody knows what is left.
        """
        ...

    def close(self) -> None:
        """Give everything back, and ask no more."""
        ...
