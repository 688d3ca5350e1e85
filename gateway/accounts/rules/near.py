"""How near a request's rules are, in the headers that clients know."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.accounts.rules.meters import State
from gateway.accounts.rules.rule import What
from translators.moments import iso_text
from translators.rate_limits import go_duration

# The headers of both APIs speak of requests and of tokens; Anthropic's tell tokens apart.
KINDS: Final = {What.REQUESTS: "requests", What.INPUT_TOKENS: "tokens", What.OUTPUT_TOKENS: "tokens"}
_NATIVE_KINDS: Final = {
    What.REQUESTS: "requests",
    What.INPUT_TOKENS: "input-tokens",
    What.OUTPUT_TOKENS: "output-tokens",
}
_NATIVE: Final = "anthropic-ratelimit-"


class Near(NamedTuple):
    """The states of rules on requests and tokens at a moment."""

    at: float
    states: Sequence[tuple[What, State]]

    def headers(self, told: dict[str, str]) -> dict[str, str]:
        """`x-ratelimit-*` of the rule with the least left of each kind, unless what upstream has told is less."""
        for kind, state in _tightest(self.states, KINDS).items():
            if _is_tighter(state, told.get(f"x-ratelimit-remaining-{kind}")):
                told[f"x-ratelimit-limit-{kind}"] = str(state.limit)
                told[f"x-ratelimit-remaining-{kind}"] = str(state.remaining)
                told.pop(f"x-ratelimit-reset-{kind}", None)
                if math.isfinite(state.resets_in):
                    told[f"x-ratelimit-reset-{kind}"] = go_duration(state.resets_in)
        return told

    def native_headers(self, told: dict[str, str]) -> dict[str, str]:
        """The same in Anthropic's form."""
        for kind, state in _tightest(self.states, _NATIVE_KINDS).items():
            name = f"{_NATIVE}{kind}"
            if _is_tighter(state, told.get(f"{name}-remaining")):
                told[f"{name}-limit"], told[f"{name}-remaining"] = str(state.limit), str(state.remaining)
                told.pop(f"{name}-reset", None)
                if math.isfinite(state.resets_in):
                    told[f"{name}-reset"] = iso_text(self.at + state.resets_in)
        return told


def _tightest(states: Sequence[tuple[What, State]], kinds: dict[What, str]) -> dict[str, State]:
    found: dict[str, State] = {}
    for what, state in states:
        kind = kinds[what]
        tightest = found.get(kind)
        if tightest is None or state.remaining < tightest.remaining:
            found[kind] = state
    return found


def _is_tighter(state: State, theirs: str | None) -> bool:
    return theirs is None or not theirs.isdecimal() or state.remaining <= int(theirs)
