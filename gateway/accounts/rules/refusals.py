"""What a caller is told whose request a rule does not let through."""

import math
from typing import Final

from gateway.accounts.rules.meters import State
from gateway.accounts.rules.rule import NANO_DOLLARS, Rule, What
from translators.errors import ErrorKind, Failure
from translators.moments import iso_text
from translators.rate_limits import go_duration

_UNITS: Final = {
    What.REQUESTS: "requests",
    What.INPUT_TOKENS: "input tokens",
    What.OUTPUT_TOKENS: "output tokens",
    What.IN_FLIGHT: "requests at once",
}
_CENT: Final = NANO_DOLLARS // 100
# When a request that is in flight ends is not known.
_SOON_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 366 * 86400.0


def refusal(rule: Rule, state: State, wait: float, now: float, cost: int) -> Failure:
    """The failure for a request that a rule does not let through; `wait` is the time until it would."""
    if rule.what is What.MONEY:
        return Failure(ErrorKind.OVER_BUDGET, _over_budget(rule, state, now, cost), detail=f"rule {rule.id}")
    unit = _UNITS[rule.what]
    if rule.what is What.IN_FLIGHT:
        message = f"Rate limit reached by the rule '{rule.id}': at most {rule.amount} {unit}."
        return Failure(ErrorKind.OVER_RATE, message, retry_after_seconds=_SOON_SECONDS, detail=f"rule {rule.id}")
    each = "in all" if rule.window == "total" else f"per {rule.window}"
    if not math.isfinite(wait):
        message = f"The rule '{rule.id}' allows {rule.amount} {unit} {each}: {state.spent} are used, {cost} wanted."
        return Failure(ErrorKind.OVER_QUOTA, message, detail=f"rule {rule.id}")
    message = (
        f"Rate limit reached by the rule '{rule.id}' on {unit} {each}: limit {state.limit}, "
        f"used {state.spent + state.held}, requested {cost}. Please try again in {go_duration(wait)}."
    )
    return Failure(ErrorKind.OVER_RATE, message, retry_after_seconds=min(wait, _LONGEST_WAIT), detail=f"rule {rule.id}")


def too_many_users(rule: Rule) -> Failure:
    """The failure for an end user who cannot be counted, because a caller names too many at once."""
    message = f"Too many different end users at once for the rule '{rule.id}'. Please try again in 60s."
    return Failure(ErrorKind.OVER_RATE, message, retry_after_seconds=60.0, detail=f"rule {rule.id}")


def cannot_know(rule: Rule) -> Failure:
    """The failure while it cannot be known what was spent."""
    message = f"What was spent of the budget '{rule.id}' cannot be read at the moment."
    return Failure(ErrorKind.STORE_UNAVAILABLE, message, detail=f"rule {rule.id}")


def described(rule: Rule, state: State, now: float) -> dict[str, object]:
    """A rule and how near it is, in JSON; money is in US dollars."""
    unit = NANO_DOLLARS if rule.what is What.MONEY else 1
    amounts = {"limit": state.limit, "spent": state.spent, "held": state.held, "remaining": state.remaining}
    return {
        "id": rule.id,
        "what": rule.what.name.lower(),
        "window": rule.window if rule.what is not What.IN_FLIGHT else None,
        "scope": rule.scope,
        "model": rule.model,
        **{name: amount / unit if unit > 1 else amount for name, amount in amounts.items()},
        "resets_at": iso_text(now + state.resets_in) if 0 < state.resets_in < math.inf else None,
    }


def _dollars(nano: int) -> str:
    """An amount of money: cents, and more digits only where there is less than a cent."""
    if nano % _CENT == 0 or nano >= NANO_DOLLARS:
        return f"${nano // NANO_DOLLARS}.{nano % NANO_DOLLARS // _CENT:02}"
    return f"${nano // NANO_DOLLARS}.{nano % NANO_DOLLARS:09}".rstrip("0")


def _over_budget(rule: Rule, state: State, now: float, cost: int) -> str:
    each = "in all" if rule.window == "total" else f"per {rule.window}"
    reset = f" It resets at {iso_text(now + state.resets_in)}." if math.isfinite(state.resets_in) else ""
    return (
        f"You exceeded the budget '{rule.id}' of {_dollars(state.limit)} {each}: {_dollars(state.spent)} spent, "
        f"{_dollars(state.held)} held by running requests, and this one may take {_dollars(cost)}.{reset}"
    )
