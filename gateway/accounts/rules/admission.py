"""Admits requests by the rules: takes what they may cost, or refuses them, lets them wait, or names another model."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from msgspec.structs import replace

from gateway.accounts.rules.book import Book
from gateway.accounts.rules.lines import Line, Ticket
from gateway.accounts.rules.meters import ASK, TAKEN, Meter
from gateway.accounts.rules.near import Near
from gateway.accounts.rules.plan import Entry, Hold, Metered, Payer, Plan
from gateway.accounts.rules.refusals import cannot_know, described, refusal
from gateway.accounts.rules.rule import Rule, What
from gateway.accounts.rules.shadows import ShadowLog
from gateway.accounts.rules.tariff import STRICT_MONEY
from gateway.accounts.rules.wish import Admission, Wish
from gateway.telemetry.logs import log_event
from translators.adjustments import united
from translators.errors import FailedError, Failure

# Makes the block in which a request waits: it is left when its caller leaves.
Waiting: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]
# A request that has to be lowered below this is refused instead, unless it asked for less.
LEAST_TOKENS: Final = 16
# How often what a request asks for is lowered, and its model changed: others take from the same budget meanwhile.
_MOST_CHANGES: Final = 5


class RefusedError(FailedError):
    """A rule does not let a request through; `near` says how near it is to this one and others."""

    def __init__(self, failure: Failure, near: Near | None = None) -> None:
        super().__init__(failure)
        self.near = near


class Rules:
    """Admits requests by the rules of a book, and settles them; `waiting` requests stand in lines."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.waiting = 0
        self.shadows = ShadowLog(book.clock)
        # How often each rule has refused.
        self.refused: dict[str, int] = {}

    def admit_now(self, plan: Plan, wish: Wish) -> Hold | None:
        """What the request holds, if its rules let it through as it is; `admit` asks them again if not."""
        metered = self.book.metered(plan, wish.end_user) if plan.of_users else plan.metered
        now = self.book.clock()
        costs = plan.tariff.costs(wish, plan.habits, is_strict=plan.is_strict)
        return Hold(plan, metered, costs, now) if metered.take(costs, now) else None

    async def admit(self, plan: Plan, wish: Wish, waits: Waiting) -> tuple[Admission, Hold]:
        """What a request may do, and what it holds meanwhile; raises `FailedError` if it is refused."""
        request = _Request(self, plan, wish, waits)
        try:
            hold = await request.admit()
        finally:
            request.leave_lines()
        return request.admission, hold

    def count_refusal(self, rule: Rule) -> None:
        self.refused[rule.id] = self.refused.get(rule.id, 0) + 1

    async def standing(self, caller: Payer) -> list[dict[str, object]]:
        """The rules that concern a caller, but those of its end users, as `GET /v1/key` shows them."""
        shown: list[dict[str, object]] = []
        for rule, meter in self.book.rules_about(caller):
            if rule.is_shadow:
                continue
            bare = _bare(meter)
            try:
                # Asking for nothing begins a meter that nobody has used yet.
                is_known = await self.book.authority.take([(bare, 0)], self.book.clock()) is None
                if is_known:
                    bare.settle(0, 0, self.book.clock())
            except OSError:
                continue
            now = self.book.clock()
            shown.append(described(rule, bare.state(now), now))
        return shown

    def grow(self, hold: Hold, tokens: int, choices: int) -> None:
        """Hold what a prompt that turned out longer cannot exceed; raises `FailedError` if a strict rule is over."""
        now = self.book.clock()
        over = hold.grow(tokens, choices, now)
        if over is not None:
            self.count_refusal(over.rule)
            cost = hold.plan.tariff.longer(tokens, choices)[over.place]
            failure = refusal(over.rule, over.meter.state(now), over.meter.wait_for(cost, now), now, cost)
            raise RefusedError(failure, _near(hold.metered.entries, now))

    def near(self, hold: Hold) -> Near:
        """How near a request's rules are."""
        return _near(hold.metered.entries, self.book.clock())


def _near(entries: Sequence[Entry], now: float) -> Near:
    return Near(
        now,
        [
            (rule.what, meter.state(now))
            for meter, _, rule in entries
            if rule.what < What.IN_FLIGHT and not rule.is_shadow
        ],
    )


class _Request:
    """One request that was not admitted at once."""

    def __init__(self, rules: Rules, plan: Plan, wish: Wish, waits: Waiting) -> None:
        self._rules = rules
        self._book = rules.book
        self._waits = waits
        self._deadline = self._book.clock() + self._book.setting.queue_seconds
        self._lines: dict[Line, Ticket] = {}
        self._changes = 0
        self._notes: list[str] = []
        self._max_tokens: int | None = None
        self._plan, self._wish = plan, wish
        self._first_model = plan.model
        self._prepare()

    @property
    def admission(self) -> Admission:
        model = self._plan.model
        return Admission(
            None if model == self._first_model else model,
            self._max_tokens,
            united(self._notes) if self._notes else None,
        )

    async def admit(self) -> Hold:
        while True:
            taken_at = self._book.clock()
            taken, over = await self._take(taken_at)
            if over is None:
                return Hold(self._plan, Metered(taken), self._costs, self._book.clock())
            self._give_back(taken, taken_at)
            await self._go_on(over)

    def leave_lines(self) -> None:
        for line, ticket in self._lines.items():
            line.leave(ticket)
        self._rules.waiting -= len(self._lines)
        self._lines = {}

    def _prepare(self) -> None:
        plan = self._plan
        self._entries = self._book.metered(plan, self._wish.end_user).entries
        self._count_costs()

    def _count_costs(self) -> None:
        plan = self._plan
        self._costs = plan.tariff.costs(self._wish, plan.habits, max_tokens=self._max_tokens, is_strict=plan.is_strict)

    async def _take(self, now: float) -> tuple[list[Entry], Entry | None]:
        """What was taken, and the first meter that is over; shadow rules never are."""
        taken, asks, shadows = list[Entry](), list[Entry](), list[Entry]()
        for entry in self._entries:
            answer = self._take_one(entry, now)
            if answer == TAKEN:
                taken.append(entry)
            elif answer == ASK:
                asks.append(entry)
            elif entry.rule.is_shadow:
                shadows.append(entry)
            else:
                return taken, entry
        if asks:
            over = await self._ask(asks, taken, shadows, now)
            if over is not None:
                return taken, over
        if shadows:
            self._rules.shadows.note([entry.rule for entry in shadows], self._plan.caller)
        return taken, None

    def _take_one(self, entry: Entry, now: float) -> int:
        meter, cost = entry.meter, self._costs[entry.place]
        if self._lines and isinstance(meter, Line) and (ticket := self._lines.get(meter)) is not None:
            return meter.take_as(ticket, cost, now)
        return meter.take(cost, now)

    async def _ask(self, asks: list[Entry], taken: list[Entry], shadows: list[Entry], now: float) -> Entry | None:
        """Ask the authority for what meters here do not know."""
        try:
            real = [entry for entry in asks if not entry.rule.is_shadow]
            for group in (real, *([entry] for entry in asks if entry.rule.is_shadow)):
                asked = [(_bare(entry.meter), self._costs[entry.place]) for entry in group]
                place = await self._book.authority.take(asked, now) if asked else None
                if place is None:
                    taken += group
                elif group is real:
                    return group[place]
                else:
                    shadows += group
        except OSError as error:
            self._give_back(taken, now)
            log_event(logging.WARNING, "What was spent cannot be read, so requests are refused", why=str(error))
            raise RefusedError(cannot_know(asks[0].rule)) from error
        except BaseException:
            self._give_back(taken, now)
            raise
        return None

    def _give_back(self, taken: Sequence[Entry], now: float) -> None:
        for meter, place, _ in taken:
            meter.settle(self._costs[place], 0, now)

    async def _go_on(self, over: Entry) -> None:
        """After a rule was over: change the request, wait, or raise the caller's error."""
        rule = over.rule
        if (other := rule.other_model) is not None and self._changes < _MOST_CHANGES and other != self._plan.model:
            self._switch(other)
        elif over.place == STRICT_MONEY and self._changes < _MOST_CHANGES and self._lower(over):
            self._changes += 1
        elif not isinstance(over.meter, Line) or not await self._wait(over, over.meter):
            raise self._refusal(over)

    def _switch(self, model: str) -> None:
        """Let another model answer, under its own rules."""
        self.leave_lines()
        self._changes += 1
        self._notes.append(f"model={self._plan.model}->{model}:rule")
        self._plan = self._book.plan(self._plan.caller, model)
        self._wish = replace(self._wish, model=model)
        self._prepare()

    def _lower(self, over: Entry) -> bool:
        """Lower `max_tokens` to what the budget pays; whether that leaves enough for an answer."""
        tariff, wish = self._plan.tariff, self._wish
        asked = wish.max_tokens
        now = self._max_tokens or tariff.most_output(wish)
        most = tariff.affordable(wish, over.meter.left(self._book.clock()))
        if most >= now or most < min(LEAST_TOKENS, asked or LEAST_TOKENS):
            return False
        self._max_tokens = most
        self._notes = [note for note in self._notes if not note.startswith("max_tokens=")]
        self._notes.append(f"max_tokens={f'{asked}->' if asked else ''}{most}:budget")
        self._count_costs()
        return True

    async def _wait(self, over: Entry, line: Line) -> bool:
        """Wait in a rule's line; whether it is worth trying again."""
        rules, now = self._rules, self._book.clock()
        cost, left = self._costs[over.place], self._deadline - now
        wait = line.wait_for(cost, now)
        is_hopeless = wait > left and not line.state(now).held
        if left <= 0 or is_hopeless:
            return False
        if (ticket := self._lines.get(line)) is None:
            if rules.waiting >= self._book.setting.queue_size:
                return False
            ticket = self._lines[line] = line.join()
            rules.waiting += 1
        async with self._waits():
            await line.turn(ticket, cost, now, left)
        return True

    def _refusal(self, over: Entry) -> Exception:
        now, cost = self._book.clock(), self._costs[over.place]
        self._rules.count_refusal(over.rule)
        wait = over.meter.wait_for(cost, now)
        if not wait:
            # Others came first, or wait before it.
            wait = 1.0
        return RefusedError(refusal(over.rule, over.meter.state(now), wait, now, cost), _near(self._entries, now))


def _bare(meter: Meter) -> Meter:
    """A meter without the line before it."""
    return meter.meter if isinstance(meter, Line) else meter
