"""The book of rules: whom a rule concerns, what is prepared and kept, and how much memory callers can make it take."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.accounts.rules import book as book_module
from gateway.accounts.rules.admission import RefusedError, Rules
from gateway.accounts.rules.book import Book, Setting
from gateway.accounts.rules.local import LocalAuthority
from gateway.accounts.rules.meters import WRITTEN_SECONDS
from gateway.accounts.rules.plan import Bill, Hold
from gateway.accounts.rules.rule import Measure, Rule, What
from gateway.accounts.rules.tariff import Priced
from gateway.accounts.rules.wish import Wish
from translators.errors import ErrorKind, FailedError
from translators.models import model_table
from translators.prices import list_prices

NOON = 1_796_040_000.0
MODEL = "claude-sonnet-5-5"


@dataclass(frozen=True, slots=True)
class Who:
    name: str
    key_id: str | None = None
    group: str | None = None


def priced(model: str) -> Priced:
    listed = list_prices().listed(model)
    return Priced(model_table().row(model), listed.prices, listed.fast_prices)


class Ledger:
    """What was spent before; counts how often it was asked."""

    def __init__(self, amount: int = 0, error: OSError | None = None) -> None:
        self.amount = amount
        self.error = error
        self.asked: list[tuple[Measure, float]] = []

    async def spent(self, measure: Measure, since: float) -> int:
        self.asked.append((measure, since))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.amount


class World:
    """Rules at noon; the test moves the time."""

    def __init__(self, *rules: Rule, ledger: Ledger | None = None, serves_blindly: bool = True, **setting: Any) -> None:
        self.now = NOON
        self.authority = LocalAuthority(ledger, lambda: self.now, serves_blindly=serves_blindly)
        self.book = Book(self.authority, clock=lambda: self.now, hash_user=lambda name: name.encode())
        self.rules = Rules(self.book)
        self.update(*rules, **setting)

    def update(self, *rules: Rule, **setting: Any) -> None:
        self.book.update(Setting(rules=rules, **setting), priced)

    async def take(self, who: Who, **wish: Any) -> Hold:
        given = {"model": MODEL, "asked_model": MODEL, "max_tokens": 100, **wish}
        wanted = Wish(**given)
        plan = self.book.plan(who, MODEL)
        return self.rules.admit_now(plan, wanted) or (await self.rules.admit(plan, wanted, nullcontext))[1]

    async def serve(self, who: Who, nano_dollars: int = 0, **wish: Any) -> None:
        if not self.book.plan(who, MODEL).is_empty:
            hold = await self.take(who, **wish)
            hold.settle_bills([Bill(hold.plan.model, 1, 10, 10, nano_dollars)])


def requests(amount: int, **more: Any) -> Rule:
    return Rule(id=more.pop("id", "r"), what=What.REQUESTS, amount=amount, window="day", **more)


A, B, C = Who("a", group="red"), Who("b", group="red"), Who("key-c", "c")


async def test_each_key_and_each_group_has_an_amount_of_its_own() -> None:
    world = World(requests(3, scope="group", id="g"), requests(2, scope="key", of="a", id="k"))
    served: list[str] = []
    for who in (A, A, A, B, B, C, C):
        try:
            await world.serve(who)
        except RefusedError as error:
            served.append(error.failure.detail)
        else:
            served.append(who.name)

    assert served == ["a", "a", "rule k", "b", "rule g", "key-c", "key-c"]


async def test_each_end_user_of_a_key_has_an_amount_of_its_own() -> None:
    world = World(requests(1, scope="end_user", of="c"))
    await world.serve(C, end_user="x")
    await world.serve(C, end_user="y")
    await world.serve(A, end_user="x")
    await world.serve(C)
    await world.serve(C)

    with pytest.raises(RefusedError):
        await world.serve(C, end_user="x")


def test_a_rule_of_other_models_is_no_concern() -> None:
    world = World(requests(1, model="claude-opus-*"))

    assert world.book.plan(A, MODEL).is_empty
    assert not world.book.plan(A, "claude-opus-5").is_empty


async def test_a_refusal_takes_nothing_from_other_rules() -> None:
    world = World(requests(5, id="first"), requests(0, id="none"), requests(5, id="last"))
    for _ in range(10):
        with pytest.raises(RefusedError):
            await world.take(A)
    states = {rule.id: meter.state(NOON) for rule, meter in world.book.rules_about(A)}

    assert (states["first"].held, states["last"].held) == (0, 0)


async def test_the_ledger_is_asked_once_however_many_come_at_once() -> None:
    ledger = Ledger(4)
    world = World(requests(10), ledger=ledger)
    holds = await asyncio.gather(*(world.take(A) for _ in range(6)))

    assert len(holds) == 6
    assert [(measure.rule, since) for measure, since in ledger.asked] == [("r", NOON - NOON % 86400)]
    with pytest.raises(RefusedError, match="used 10"):
        await world.take(A)


async def test_without_its_ledger_a_budget_refuses_or_counts_from_nothing() -> None:
    broken = Ledger(9, OSError("The file is locked."))
    strict, blind = (World(requests(10), ledger=broken, serves_blindly=blindly) for blindly in (False, True))
    with pytest.raises(FailedError) as caught:
        await strict.take(A)
    await blind.take(A)
    blind.authority.close()

    assert caught.value.failure.kind is ErrorKind.STORE_UNAVAILABLE


async def test_who_is_cancelled_while_the_ledger_is_read_holds_nothing() -> None:
    world = World(Rule(id="at-once", what=What.IN_FLIGHT, amount=1), requests(5), ledger=Ledger())
    asking = asyncio.create_task(world.take(A))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    states = {rule.id: meter.state(NOON) for rule, meter in world.book.rules_about(A)}

    assert (states["at-once"].held, states["r"].held) == (0, 0)
    await world.take(A)


async def test_a_change_keeps_what_stays_and_lets_go_of_the_rest() -> None:
    world = World(requests(2), requests(9, id="gone"), requests(9, id="other", model="claude-*"))
    hold = await world.take(A)
    world.update(requests(1, over="queue"), requests(9, id="other", model="claude-sonnet-*"))
    hold.settle_bills([Bill(MODEL, 1, 0, 0, 0)])
    meters = {rule.id: meter for rule, meter in world.book.rules_about(A)}

    assert meters["r"].state(NOON).spent == 1
    assert meters["other"].state(NOON).spent == 0
    assert len(world.authority) == len(world.book) == 2


async def test_a_caller_that_was_changed_is_seen_anew() -> None:
    world = World(requests(1, scope="group"))
    await world.serve(Who("x", "k", "red"))

    await world.serve(Who("x", "k", "blue"))
    with pytest.raises(RefusedError):
        await world.serve(Who("y", "l", "blue"))


# Hostile callers


async def test_a_million_end_users_take_a_bounded_number_of_meters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "MOST_METERS", 1_000)
    world = World(Rule(id="u", scope="end_user", what=What.MONEY, amount=10**9, window="day"))
    refused = 0
    for number in range(20_000):
        # Five new end users in two seconds.
        world.now += 0.4
        try:
            await world.serve(A, 10, end_user=f"user {number}")
        except FailedError as error:
            assert error.failure.kind is ErrorKind.OVER_RATE  # noqa: PT017
            refused += 1

    assert len(world.book) <= 500
    assert len(world.authority) == len(world.book)
    assert refused == 0
    await world.serve(B, 10, end_user="user 1")


async def test_an_end_user_with_anything_held_or_just_spent_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "MOST_METERS", 8)
    ledger = Ledger()
    world = World(Rule(id="u", scope="end_user", what=What.MONEY, amount=10**9, window="day"), ledger=ledger)
    running = await world.take(A, end_user="runs")
    for number in range(3):
        await world.serve(A, 10, end_user=f"{number}")
    with pytest.raises(FailedError, match="Too many different end users"):
        await world.serve(A, 10, end_user="new")
    world.now += WRITTEN_SECONDS + 1
    ledger.amount = 10
    await world.serve(A, 10, end_user="new")
    running.settle_bills([Bill(MODEL, 1, 1, 1, 7)])
    await world.serve(A, 10, end_user="0")
    spent = {measure.subject.end_user: measure for measure, _ in ledger.asked}

    assert len(world.book) <= 4
    assert [measure.subject.end_user for measure, _ in ledger.asked].count(b"0") == 2
    assert [measure.subject.end_user for measure, _ in ledger.asked].count(b"runs") == 1
    assert spent[b"0"].subject.caller == "a"


@pytest.mark.parametrize("max_tokens", [10**9, 10**18])
async def test_absurd_limits_are_held_as_what_the_model_can_write(max_tokens: int) -> None:
    world = World(Rule(id="m", what=What.MONEY, amount=10**12, window="day", hold="strict"))
    usual, absurd = await world.take(A, max_tokens=None), await world.take(A, max_tokens=max_tokens)

    assert usual.costs == absurd.costs


async def test_many_choices_are_held_each() -> None:
    world = World(Rule(id="m", what=What.MONEY, amount=10**15, window="day", hold="strict"))
    one, many = await world.take(A), await world.take(A, choices=128)

    assert many.costs[7] >= 128 * one.costs[7] - 128
