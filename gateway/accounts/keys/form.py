"""The form of a caller's key: `dgm-`, an id that may be shown, a secret, and a checksum that finds typos."""

import re
import secrets
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "dgm-"
# Crockford's base 32: lower case, without i, l, o and u, which are misread.
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 32
CHECKSUM_LENGTH: Final = 6
# What scanners for leaked secrets look for; docs/keys.md names it.
PATTERN: Final = r"dgm-[0-9a-hjkmnp-tv-z]{50}"

_BODY_LENGTH: Final = ID_LENGTH + SECRET_LENGTH
_FORM: Final = re.compile(PATTERN)
_WITH_ANY_PREFIX: Final = re.compile(r".{3,6}[0-9a-hjkmnp-tv-z]{49,50}", re.DOTALL)
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
# The code of BIP 173 (bech32) and the constant of BIP 350: in up to 89 characters it finds every error in up to four.
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CONSTANT: Final = 0x2BC830A3


def new_id() -> str:
    """A key's id, which is part of the key and no secret: 60 random bits."""
    return _random(ID_LENGTH)


def new_key(key_id: str) -> str:
    """A key with this id and a new secret of 160 random bits."""
    body = key_id + _random(SECRET_LENGTH)
    return f"{PREFIX}{body}{_checksum(body)}"


def prefix_of(key_id: str) -> str:
    """The part of a key that may be shown."""
    return f"{PREFIX}{key_id}"


def looks_stored(token: str) -> bool:
    """Whether a token means to be a key of this form."""
    return token.startswith(PREFIX)


def resembles(token: str) -> bool:
    """Whether a token was a key of this form before somebody mistyped it."""
    return token[: len(PREFIX)].lower() == PREFIX or _WITH_ANY_PREFIX.fullmatch(token) is not None


def has_typo(token: str) -> bool:
    """Whether a token that `resembles` a key cannot be one that was ever made: its form or its checksum is wrong."""
    if _FORM.fullmatch(token) is None:
        return True
    body = token[len(PREFIX) :]
    return _checksum(body[:_BODY_LENGTH]) != body[_BODY_LENGTH:]


def _checksum(body: str) -> str:
    rest = _remainder([*(_VALUES[character] for character in body), *(0,) * CHECKSUM_LENGTH]) ^ _CONSTANT
    return "".join(ALPHABET[rest >> 5 * place & 31] for place in reversed(range(CHECKSUM_LENGTH)))


def _remainder(values: Iterable[int]) -> int:
    rest = 1
    for value in values:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate(_GENERATOR):
            if top >> place & 1:
                rest ^= term
    return rest


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
