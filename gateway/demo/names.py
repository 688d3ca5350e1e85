"""Ids and names: which are valid, and generating new ones."""

from __future__ import annotations

import re
from uuid import uuid4

IDENTIFIER = re.compile(r"^[a-zA-Z0-9_-]+$")
# The API's error message says 128 characters; its documentation, which is stricter, says 64.
TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")

_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """A new id in Anthropic's format, `msg_01XFDUDYJgAACzvnptvVoYEL`."""
    number = uuid4().int
    letters = []
    for _ in range(22):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return f"{prefix}_01{''.join(letters)}"
