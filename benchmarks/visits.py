"""What it costs to identify a caller, to admit its request by rules, and to settle it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from hashlib import sha256

from gateway.accounts.auth import Authenticator, Caller
from gateway.accounts.rules.admission import Rules
from gateway.accounts.rules.book import Book, Setting
from gateway.accounts.rules.local import LocalAuthority
from gateway.accounts.rules.rule import Rule, What, Window
from gateway.accounts.rules.tariff import Priced
from gateway.accounts.rules.wish import Wish
from gateway.accounts.visits import Accounts
from gateway.secret import Secret
from gateway.service.record import Record
from tests.support.attempts import attempt_entry
from translators.message_usage import MessageUsage
from translators.models import model_table
from translators.prices import list_prices
from translators.usage import Usage

_MODEL = "claude-sonnet-5-5"
_KEY = "dgm-a-key-as-long-as-a-stored-one-usually-is-0123456789"
_CALLER = Caller("team-a", group="research")
_MUCH = 10**15
_ROUND = 500
# One rule of each kind that many operators have, for the caller, its group and everyone.
_RULES: tuple[tuple[What, Window, bool, str], ...] = (
    (What.REQUESTS, "minute", False, "all"),
    (What.REQUESTS, "minute", False, "key"),
    (What.INPUT_TOKENS, "minute", False, "key"),
    (What.OUTPUT_TOKENS, "minute", False, "key"),
    (What.IN_FLIGHT, "total", True, "key"),
    (What.IN_FLIGHT, "total", True, "all"),
    (What.REQUESTS, "day", True, "key"),
    (What.MONEY, "day", True, "key"),
    (What.MONEY, "month", True, "key"),
    (What.MONEY, "month", True, "group"),
    (What.MONEY, "month", True, "all"),
    (What.MONEY, "day", True, "end_user"),
)


def visits(microseconds: Callable[[Callable[[], object]], float]) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure."""
    for count, held in ((0, "expected"), (len(_RULES), "expected"), (len(_RULES), "strict")):
        visit = _visiting(count, is_strict=held == "strict")
        by = f"{count} rules, {held}" if count else "no rules"
        yield f"caller identified, admitted by {by}, settled", f"{microseconds(visit) / _ROUND:.2f} µs"
    rules = _rules(len(_RULES), is_strict=False)
    hold = rules.admit_now(rules.book.plan(_CALLER, _MODEL), Wish(_MODEL, _MODEL, 1000, 4000, False, "user-1"))
    assert hold is not None
    yield (
        f"how near {len(_RULES)} rules are, as headers",
        f"{microseconds(lambda: rules.near(hold).headers({})):.2f} µs",
    )


def _visiting(count: int, *, is_strict: bool) -> Callable[[], None]:
    authenticator = Authenticator([(_CALLER, Secret(_KEY))], has_keys=True)
    rules = _rules(count, is_strict=is_strict)
    accounts = Accounts(authenticator, rules)
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {_KEY}".encode())]
    scope = {"type": "http", "path": "/v1/chat/completions", "headers": headers}
    record = _record()

    async def all_of_them() -> None:
        for _ in range(_ROUND):
            visit = accounts.visit(scope)
            await visit.admit(Wish(_MODEL, _MODEL, 1000, 4000, False, "user-1"))
            visit.settle(record)

    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(all_of_them())


def _rules(count: int, *, is_strict: bool) -> Rules:
    book = Book(LocalAuthority(None, time.time), clock=time.time, hash_user=lambda name: sha256(name.encode()).digest())
    rules = [
        Rule(id=f"rule-{number}", what=what, amount=_MUCH, window=window, is_aligned=aligned, scope=scope)  # type: ignore[arg-type]
        for number, (what, window, aligned, scope) in enumerate(_RULES[:count])
    ]
    table, prices = model_table(), list_prices()

    def priced(model: str) -> Priced:
        listed = prices.listed(model)
        return Priced(table.row(model), listed.prices, listed.fast_prices)

    book.update(Setting(rules=rules, hold="strict" if is_strict else "expected"), priced)
    return Rules(book)


def _record() -> Record:
    usage = Usage(900, 0, 100, 200)
    entry = attempt_entry(MessageUsage(_MODEL, 900, 100, 0, 0, 200), model=_MODEL)
    return Record(1, "main", _MODEL, None, None, None, {}, "end_turn", usage, [entry], [], [], 0.0, 0.5)
