"""The rules of this process and their meters: which of them concern a request, prepared once for caller and model."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.accounts.rules.authority import Authority
from gateway.accounts.rules.habits import Habits
from gateway.accounts.rules.lines import Line
from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.plan import Entry, Metered, Payer, Plan
from gateway.accounts.rules.refusals import too_many_users
from gateway.accounts.rules.rule import EVERYONE, Hold, Rule, Subject, matches, measure_of
from gateway.accounts.rules.tariff import STRICT_INPUT, Priced, Tariff, Terms, place_of
from translators.errors import FailedError

# Above this number, no meter is made for a further end user; one caller's may have half of them.
MOST_METERS: Final = 100_000
MOST_PLANS: Final = 4_096
MOST_HABITS: Final = 10_000
# How many of the least recently used meters a further one looks at, from half of that number on.
_LOOKS: Final = 8
# End users whose meters are at hand, for each plan.
_LATEST_USERS: Final = 256
# A meter: the rule, and whom it counts for.
_Key = tuple[str, str | None, str | None, bytes | None]


class Setting(Struct, frozen=True):
    """What rules need to know of a configuration: `stand_ins` may answer in place of a model."""

    rules: Sequence[Rule] = ()
    hold: Hold = "expected"
    queue_size: int = 1_000
    queue_seconds: float = 30.0
    terms: Terms = Terms()
    stand_ins: Mapping[str, Sequence[str]] = {}


class Book:
    """Finds the plan of a request; `hash_user` gives what stands for an end user. `update` has to come first."""

    def __init__(
        self,
        authority: Authority,
        *,
        clock: Callable[[], float],
        hash_user: Callable[[str], bytes],
    ) -> None:
        self.authority = authority
        self.clock = clock
        self.setting = Setting()
        self.has_strict_rules = False
        self._priced: Callable[[str], Priced] | None = None
        self._hash_user = hash_user
        self._plans: dict[tuple[str, str], Plan] = {}
        self._habits: OrderedDict[tuple[str, str], Habits] = OrderedDict()
        self._meters: OrderedDict[_Key, Meter] = OrderedDict()
        self._users: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._meters)

    @property
    def meters(self) -> list[Meter]:
        """All meters that are in use."""
        return list(self._meters.values())

    def update(self, setting: Setting, priced: Callable[[str], Priced]) -> None:
        """Count by these rules from now on; the meters of a rule that stays go on, those of others are let go.

        `priced` tells what a model can do and costs.
        """
        self.setting = setting
        self.has_strict_rules = any(place_of(rule, setting.hold) >= STRICT_INPUT for rule in setting.rules)
        self._priced = priced
        self._plans.clear()
        now, rules = self.clock(), {rule.id: rule for rule in setting.rules}
        for key, meter in list(self._meters.items()):
            rule = rules.get(key[0])
            measure = None if rule is None else measure_of(rule, meter.measure.subject)
            if rule is None or measure is None or measure.identity != meter.measure.identity:
                self._let_go(key, meter)
            elif (rule.over == "queue") == isinstance(meter, Line):
                self.authority.meter(measure, now)
            else:
                # Whoever waits goes on to wait for the line that it has joined.
                del self._meters[key]
                self._count_user(key, -1)

    def plan(self, caller: Payer, model: str) -> Plan:
        """The rules for a caller and a model; there may be none in it."""
        plan = self._plans.get((caller.key_id or caller.name, model))
        return plan if plan is not None and plan.caller is caller else self._made(caller, model)

    def _made(self, caller: Payer, model: str) -> Plan:
        whose = caller.key_id or caller.name
        plan = self._new_plan(caller, whose, model)
        if len(self._plans) >= MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[whose, model] = plan
        return plan

    def metered(self, plan: Plan, end_user: str | None) -> Metered:
        """All meters of a request; raises `FailedError` if its end user cannot be counted."""
        if not plan.of_users or not end_user:
            return plan.metered
        found = plan.users.get(end_user)
        if found is None:
            whose = plan.caller.key_id or plan.caller.name
            subject = Subject(whose, None, self._hash_user(end_user))
            meters = [Entry(self._user_meter(rule, subject, whose), place, rule) for rule, place in plan.of_users]
            found = Metered((*plan.metered.entries, *meters))
            if len(plan.users) >= _LATEST_USERS:
                plan.users.clear()
            plan.users[end_user] = found
        return found

    def rules_about(self, caller: Payer) -> list[tuple[Rule, Meter]]:
        """All rules that concern a caller, whatever the model, with their meters; none of end users."""
        concerned = [rule for rule in self.setting.rules if self._concerns(rule, caller) and rule.scope != "end_user"]
        return [(rule, self._meter(rule, _subject(rule, caller))) for rule in concerned]

    def _concerns(self, rule: Rule, caller: Payer) -> bool:
        return rule.is_about(caller.key_id, caller.name, caller.group)

    def _new_plan(self, caller: Payer, whose: str, model: str) -> Plan:
        setting = self.setting
        stand_ins = setting.stand_ins.get(model, ())
        entries, of_users, aside = list[Entry](), list[tuple[Rule, int]](), list[Entry]()
        for rule in setting.rules:
            if not self._concerns(rule, caller):
                continue
            place = place_of(rule, setting.hold)
            is_own = matches(rule.model, model)
            if not is_own and not any(matches(rule.model, name) for name in stand_ins):
                continue
            if rule.scope == "end_user":
                if is_own:
                    of_users.append((rule, place))
                continue
            entry = Entry(self._meter(rule, _subject(rule, caller)), place, rule)
            (entries if is_own or place >= STRICT_INPUT else aside).append(entry)
        priced = self._priced
        assert priced is not None, "rules come by an update"
        tariff = Tariff(priced(model), [priced(name) for name in stand_ins], setting.terms)
        return Plan(caller, model, entries, of_users, aside, tariff, self._habits_of(whose, model))

    def _habits_of(self, whose: str, model: str) -> Habits:
        key = (whose, model)
        habits = self._habits.get(key)
        if habits is None:
            habits = self._habits[key] = Habits()
            if len(self._habits) > MOST_HABITS:
                self._habits.popitem(last=False)
        self._habits.move_to_end(key)
        return habits

    def _meter(self, rule: Rule, subject: Subject) -> Meter:
        key = (rule.id, subject.caller, subject.group, subject.end_user)
        return self._meters.get(key) or self._new_meter(key, rule, subject)

    def _user_meter(self, rule: Rule, subject: Subject, whose: str) -> Meter:
        key = (rule.id, subject.caller, None, subject.end_user)
        meter = self._meters.get(key)
        if meter is not None:
            self._meters.move_to_end(key)
            return meter
        if max(2 * self._users.get(whose, 0), len(self._meters)) >= MOST_METERS // 2:
            self._forget_idle()
        if max(2 * self._users.get(whose, 0), len(self._meters)) >= MOST_METERS:
            raise FailedError(too_many_users(rule))
        return self._new_meter(key, rule, subject)

    def _new_meter(self, key: _Key, rule: Rule, subject: Subject) -> Meter:
        made = self.authority.meter(measure_of(rule, subject), self.clock())
        meter = self._meters[key] = Line(made) if rule.over == "queue" else made
        self._count_user(key, 1)
        return meter

    def _forget_idle(self) -> None:
        """Look at the least recently used meters, and forget those that are idle."""
        now = self.clock()
        for key in [key for key, _ in zip(self._meters, range(_LOOKS), strict=False)]:
            meter = self._meters[key]
            if meter.is_idle(now):
                self._let_go(key, meter)
                # Plans refer to meters.
                self._plans.clear()
            else:
                self._meters.move_to_end(key)

    def _let_go(self, key: _Key, meter: Meter) -> None:
        del self._meters[key]
        self._count_user(key, -1)
        self.authority.forget(meter.meter if isinstance(meter, Line) else meter)

    def _count_user(self, key: _Key, change: int) -> None:
        _, whose, _, named = key
        if named is not None and whose is not None:
            self._users[whose] = count = self._users.get(whose, 0) + change
            if not count:
                del self._users[whose]


def _subject(rule: Rule, caller: Payer) -> Subject:
    """Whom a rule counts for when this caller calls."""
    if rule.scope == "group":
        return Subject(None, caller.group)
    if rule.scope == "key":
        return Subject(caller.key_id or caller.name)
    return EVERYONE
