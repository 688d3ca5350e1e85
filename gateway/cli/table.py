"""Rows of texts as a table for a terminal."""

from collections.abc import Sequence
from typing import Final

_GAP: Final = "  "


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows, the first of which are the headings, with each column as wide as it has to be."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    )


def shortened(text: str, width: int) -> str:
    """The text with its middle left out, where it is longer than that: ids differ at both ends."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def printable(text: str) -> str:
    """What comes from elsewhere must not command the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
