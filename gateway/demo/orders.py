"""Orders: words in double brackets, anywhere in the last message, that change the answer.

An order applies to the whole run of tool calls that follows it, until the user sends another text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ORDERS = {
    "[[error N]]": "an error with status N (400 to 599) and the right type; 429 comes with `retry-after: 1`",
    "[[error N mid-stream]]": "a stream with status 200 that breaks off with an `error` event after half of its text",
    "[[cut]]": "the connection is dropped in the middle of the answer",
    "[[refuse]]": "a few words, then `stop_reason: refusal` with `stop_details`",
    "[[empty]]": "`end_turn` without a single content block",
    "[[think]]": "a thinking block, whatever the model and the request say",
    "[[redact]]": "the same, and its end in a `redacted_thinking` block",
    "[[tools N]]": "calls of tools in N answers (1 to 999), one after the other, before it answers in words",
    "[[interleave]]": "two calls with text before each of them and thinking behind the first text",
    "[[long N]]": "a text of N tokens",
    "[[slow]]": "half a second between two deltas",
}
"""Every order and what it does, for the documentation."""

_WORD = re.compile(
    r"\[\[\s*"
    r"(error (?P<status>[45]\d\d)(?P<mid> mid-stream)?|long (?P<long>\d{1,6})|tools (?P<tools>\d{1,3})"
    r"|cut|refuse|empty|think|redact|interleave|slow)"
    r"\s*\]\]"
)


@dataclass(slots=True)
class Orders:
    error_status: int | None = None
    mid_stream: bool = False
    cut: bool = False
    refuse: bool = False
    empty: bool = False
    think: bool = False
    redact: bool = False
    interleave: bool = False
    slow: bool = False
    long_tokens: int | None = None
    tool_rounds: int = 0


def read_orders(text: str) -> Orders:
    """The orders in a text; if two contradict each other, the later one counts."""
    orders = Orders()
    for match in _WORD.finditer(text):
        if match["status"]:
            orders.error_status, orders.mid_stream = int(match["status"]), bool(match["mid"])
        elif match["long"]:
            orders.long_tokens = int(match["long"])
        elif match["tools"]:
            orders.tool_rounds = int(match["tools"])
        else:
            setattr(orders, match[1], True)
    return orders


def without_orders(text: str) -> str:
    """The text without its orders."""
    return re.sub(r" {2,}", " ", _WORD.sub("", text)).strip()
