"""What depends on caller and model only, prepared once: which rules concern a request, and with what they count it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.accounts.rules.habits import Habits
from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.rule import Rule, matches
from gateway.accounts.rules.tariff import STRICT_INPUT, Costs, Tariff


class Payer(Protocol):
    """A caller, as far as rules ask: `key_id` is the id of a stored key."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> str | None: ...

    @property
    def group(self) -> str | None: ...


class Entry(NamedTuple):
    """A meter, which of the costs it counts, and the rule that says so."""

    meter: Meter
    place: int
    rule: Rule


class Bill(NamedTuple):
    """What one model has done for a request that has ended; if it `is_unreported`, it may have cost more than that."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    nano_dollars: int
    is_unreported: bool = False


class Metered:
    """All meters of a request. Their methods are looked up once: that takes as long as what they do."""

    __slots__ = ("entries", "settles", "takes")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self.takes = tuple((entry.meter.take, entry.place) for entry in entries)
        self.settles = tuple((entry.meter.settle, entry.place) for entry in entries)

    def take(self, costs: Costs, now: float) -> bool:
        """Take from all meters, or from none."""
        for take, place in self.takes:
            if take(costs[place], now):
                break
        else:
            return True
        for other, (settle, place) in zip(self.takes, self.settles, strict=True):
            if other[0] is take:
                break
            settle(costs[place], 0, now)
        return False


class Plan:
    """The rules for one caller and one model. `of_users` are those whose meters are found by the end user.

    `aside` are rules of models that may stand in: what these do counts, and is asked for by nobody beforehand.
    """

    __slots__ = (
        "aside",
        "caller",
        "habits",
        "is_empty",
        "is_strict",
        "metered",
        "model",
        "of_users",
        "tariff",
        "users",
    )

    def __init__(
        self,
        caller: Payer,
        model: str,
        entries: Sequence[Entry],
        of_users: Sequence[tuple[Rule, int]],
        aside: Sequence[Entry],
        tariff: Tariff,
        habits: Habits,
    ) -> None:
        self.caller = caller
        self.model = model
        self.metered = Metered(entries)
        self.of_users = tuple(of_users)
        self.aside = tuple(aside)
        self.tariff = tariff
        self.habits = habits
        # The meters of the latest end users.
        self.users: dict[str, Metered] = {}
        places = (*(entry.place for entry in entries), *(place for _, place in of_users))
        # Whether a rule holds all that a request may cost.
        self.is_strict = any(place >= STRICT_INPUT for place in places)
        self.is_empty = not (entries or of_users or aside)


class Hold:
    """What a request holds until it is settled."""

    __slots__ = ("attempt", "costs", "metered", "plan", "taken_at")

    def __init__(self, plan: Plan, metered: Metered, costs: Costs, taken_at: float) -> None:
        self.plan = plan
        self.metered = metered
        self.costs = costs
        # What one attempt of all choices may take.
        self.attempt = costs
        self.taken_at = taken_at

    def settle(self, actual: Costs) -> None:
        """Replace what is held by what the request came to, all of it with the model of the plan."""
        costs, taken_at = self.costs, self.taken_at
        for settle, place in self.metered.settles:
            settle(costs[place], actual[place], taken_at)

    def settle_bills(self, bills: Sequence[Bill], choices: int = 1) -> None:
        """The same for a request that took several attempts or models; none: nothing was sent.

        An attempt that is not reported counts by strict rules as what it could not exceed.
        """
        costs, taken_at = self.costs, self.taken_at
        for meter, place, rule in self.metered.entries:
            served = [bill for bill in bills if matches(rule.model, bill.model)]
            actual = _actual(served)[place]
            if place >= STRICT_INPUT:
                actual += sum(bill.is_unreported for bill in served) * -(-self.attempt[place] // choices)
            meter.settle(costs[place], actual, taken_at)
        for meter, place, rule in self.plan.aside:
            served = [bill for bill in bills if matches(rule.model, bill.model)]
            if served:
                meter.settle(0, _actual(served)[place], taken_at)

    def more(self, choices: int, now: float) -> bool:
        """Hold what another attempt of one choice cannot exceed, after one that may have cost that; whether it may."""
        return self._add(tuple(-(-cost // choices) for cost in self.attempt), now) is None

    def grow(self, tokens: int, choices: int, now: float) -> Entry | None:
        """Hold what a longer prompt cannot exceed; the first rule that does not allow it."""
        added = self.plan.tariff.longer(tokens, choices)
        over = self._add(added, now)
        if over is None:
            self.attempt = tuple(cost + more for cost, more in zip(self.attempt, added, strict=True))
        return over

    def _add(self, added: Costs, now: float) -> Entry | None:
        strict = [entry for entry in self.metered.entries if entry.place >= STRICT_INPUT]
        for number, entry in enumerate(strict):
            if not entry.meter.more(added[entry.place], self.taken_at, now):
                for meter, place, _ in strict[:number]:
                    meter.settle(added[place], 0, self.taken_at)
                return entry
        raised = [cost + more for cost, more in zip(self.costs, added, strict=True)]
        self.costs = (*self.costs[:STRICT_INPUT], *raised[STRICT_INPUT:])
        return None


def _actual(bills: Sequence[Bill]) -> Costs:
    requests = max((bill.requests for bill in bills), default=0)
    fresh = sum(bill.input_tokens for bill in bills)
    output = sum(bill.output_tokens for bill in bills)
    money = sum(bill.nano_dollars for bill in bills)
    return (requests, fresh, output, 0, money, fresh, output, money)
