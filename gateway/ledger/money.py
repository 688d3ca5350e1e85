"""Nano-dollars in words."""

from decimal import Decimal
from typing import Final

_NANO_DIGITS: Final = 9


def dollars(nano: int) -> str:
    """An amount in dollars, exactly, with at least two digits behind the point."""
    text = f"{Decimal(nano).scaleb(-_NANO_DIGITS):.{_NANO_DIGITS}f}"
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"
