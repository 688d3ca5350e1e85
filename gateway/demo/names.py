"""New ids."""

from __future__ import annotations

from uuid import uuid4

_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """A new id in Anthropic's format, `msg_01XFDUDYJgAACzvnptvVoYEL`."""
    number = uuid4().int
    letters = []
    for _ in range(22):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return f"{prefix}_01{''.join(letters)}"
