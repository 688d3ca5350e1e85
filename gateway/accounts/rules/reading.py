"""Reads a rule's definition, and says what is wrong with it."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.rule import MODEL_PREFIX, NANO_DOLLARS, Rule, What

_WHATS: Final[Mapping[str, What]] = {what.name.lower(): what for what in What}
# Below this a bucket is usual, from it on the calendar.
_SHORT: Final = frozenset({"minute", "hour"})
_LONGEST_NAME: Final = 256


class RuleError(ValueError):
    """What is wrong with a definition, and in which of its fields."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


def rule_of(definition: Definition) -> Rule:
    """The rule that a definition means; raises `RuleError`."""
    what = _WHATS[definition.what]
    is_aligned = _alignment(definition, what)
    if definition.scope == "all" and definition.of != "*":
        raise RuleError("of", "a rule for all has nobody in particular; use scope group, key or end_user")
    if definition.hold is not None and (not is_aligned or what in (What.REQUESTS, What.IN_FLIGHT)):
        raise RuleError("hold", "only money, and tokens by the calendar (aligned), have something to hold")
    return Rule(
        id=_printable("id", definition.id),
        scope=definition.scope,
        of=definition.of.strip(),
        model=definition.model.strip(),
        what=what,
        amount=_amount(definition, what),
        window=definition.window,
        is_aligned=is_aligned,
        over=_over(definition.over.strip()),
        is_shadow=definition.shadow,
        hold=definition.hold,
    )


def read_definition(text: bytes | str) -> Definition:
    """A definition in JSON; raises `RuleError`."""
    try:
        return msgspec.json.decode(text, type=Definition)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RuleError("", str(error)[:_LONGEST_NAME]) from None


def _alignment(definition: Definition, what: What) -> bool:
    aligned, window = definition.aligned, definition.window
    if what is What.IN_FLIGHT:
        if window != "total" or aligned is not None:
            raise RuleError("window", "what is in flight is counted now: leave out window and aligned")
        return True
    if what is What.MONEY and aligned is False:
        raise RuleError("aligned", "money is counted by the calendar (UTC): leave it out, or say true")
    if window == "total" and aligned is False:
        raise RuleError("aligned", "a total has no window that could roll: name a window, or say true")
    if aligned is not None:
        return aligned
    return what is What.MONEY or window not in _SHORT


def _amount(definition: Definition, what: What) -> int:
    amount = definition.amount
    if not math.isfinite(amount):
        raise RuleError("amount", "expected a number")
    # The shortest decimal that is this float: what was written.
    exact = Decimal(repr(amount)) * (NANO_DOLLARS if what is What.MONEY else 1)
    if exact != int(exact):
        least = "a billionth of a dollar" if what is What.MONEY else "1"
        raise RuleError("amount", f"it has to be a multiple of {least}")
    return int(exact)


def _over(over: str) -> str:
    if over in ("refuse", "queue"):
        return over
    name = over.removeprefix(MODEL_PREFIX)
    if name == over or not name.strip() or "*" in name:
        raise RuleError("over", "expected refuse, queue, or model: with the name of one model")
    return MODEL_PREFIX + _printable("over", name.strip())


def _printable(field: str, name: str) -> str:
    if not name.strip() or not name.isascii() or not name.isprintable():
        raise RuleError(field, "expected a name of printable ASCII characters")
    return name.strip()
