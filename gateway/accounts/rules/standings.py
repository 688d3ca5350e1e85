"""How near rules are to their amounts, for people who look: the nearest ones of this process, and of all workers."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from gateway.accounts.rules.meters import Meter

# More would not be read, and end users can be many.
MOST: Final = 200


class RuleStanding(Struct, frozen=True):
    """One rule for one subject: "" is everyone. Money is in nano-dollars; no `resets_in` is never."""

    rule: str
    what: str
    window: str
    subject: str
    limit: int
    used: int
    resets_in: float | None = None

    @property
    def share(self) -> float:
        """What part of the amount is used."""
        return self.used / self.limit if self.limit else 1.0


def standings(meters: Iterable[Meter], now: float) -> list[RuleStanding]:
    """The rules that are nearest to their amounts first."""
    return _nearest(_standing(meter, now) for meter in meters)


def merged_standings(parts: Sequence[Sequence[RuleStanding]]) -> list[RuleStanding]:
    """Of each rule and subject the highest use that a worker knows: all of them count together."""
    found: dict[tuple[str, str], RuleStanding] = {}
    for each in (standing for part in parts for standing in part):
        known = found.get((each.rule, each.subject))
        if known is None or each.used > known.used:
            found[each.rule, each.subject] = each
    return _nearest(found.values())


def _nearest(found: Iterable[RuleStanding]) -> list[RuleStanding]:
    return sorted(found, key=lambda each: (-each.share, each.rule, each.subject))[:MOST]


def _standing(meter: Meter, now: float) -> RuleStanding:
    measure, state = meter.measure, meter.state(now)
    subject = measure.subject
    user = None if subject.end_user is None else f"end user {subject.end_user.hex()}"
    names = (subject.caller, subject.group and f"group {subject.group}", user)
    return RuleStanding(
        rule=measure.rule,
        what=measure.what.name.lower(),
        window=measure.window,
        subject=", ".join(name for name in names if name),
        limit=state.limit,
        used=state.limit - state.remaining,
        resets_in=round(state.resets_in, 1) if math.isfinite(state.resets_in) else None,
    )
