"""Signatures of thinking blocks: made here, and verified when the client sends them back."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

_PREFIX: Final = b"\x12\xa4\x01dragoman-demo"
_SIZE: Final = 16
_DIGESTS: Final = 3
# Not a secret: forging thoughts of a simulated model harms nobody.
_KEY: Final = b"The dragoman's seal"


@dataclass(frozen=True, slots=True)
class Seal:
    """The content of a signature: the model that made the thought, and digests of the rest."""

    model: str
    shown: bytes
    account: bytes
    before: bytes

    def shows(self, text: str) -> bool:
        """Whether this is the original text; the text of a thought that was not shown is ignored."""
        return self.shown in (_digest(text), _digest(""))

    def is_of(self, account: str) -> bool:
        """Whether the block was made for this account."""
        return self.account == _digest(account)


def sealed(kind: str, *, model: str, shown: str, account: str, before: bytes) -> str:
    """The signature, or the data, of a block of this kind; `before` is the digest of everything before it."""
    facts = b"".join([_digest(shown), _digest(account), before, model.encode()])
    return base64.b64encode(_PREFIX + _mac(kind, facts) + facts).decode()


def opened(kind: str, text: str) -> Seal | None:
    """Verify a signature or data; None if it was not made here, or not for a block of this kind."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    mac, facts = raw[len(_PREFIX) :][:_SIZE], raw[len(_PREFIX) + _SIZE :]
    if not raw.startswith(_PREFIX) or not compare_digest(mac, _mac(kind, facts)):
        return None
    shown, account, before = (facts[place * _SIZE :][:_SIZE] for place in range(_DIGESTS))
    return Seal(facts[_DIGESTS * _SIZE :].decode(), shown, account, before)


def _mac(kind: str, facts: bytes) -> bytes:
    return blake2b(kind.encode() + facts, digest_size=_SIZE, key=_KEY).digest()


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_SIZE).digest()
