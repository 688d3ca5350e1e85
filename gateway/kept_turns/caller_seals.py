"""`encrypted_content`: blocks of an answer in a text that the caller holds, and that only this caller can use again.

`sealing.py` is the other encryption here: that of values in a database.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from hmac import compare_digest
from importlib.util import find_spec
from typing import Any, Final, Protocol

from gateway.secret import Secret

# The version. It tells how the rest is written, and a text without it was not sealed by this gateway.
_ENCRYPTED: Final = "dg1."
# Without `cryptography`: authenticated, but readable. The content is the caller's own answer.
_SIGNED: Final = "dg0."
_MARK_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_PERSON: Final = b"dragoman seals 1"
# Stands for the model in a text that every model may read. No model has this name.
_ANY_MODEL: Final = "\0"
# Larger texts are not opened. The blocks of one reasoning item are far smaller: a body has 32 MiB by default.
MOST_TEXT_BYTES: Final = 24 * 2**20
MOST_BLOCKS: Final = 10_000


@dataclass(slots=True)
class SealCounts:
    """Counts since the start: `foreign` texts are not from this gateway, `unreadable` ones could not be opened."""

    sealed: int = 0
    opened: int = 0
    foreign: int = 0
    unreadable: int = 0


class _Cipher(Protocol):
    """Authenticated encryption, or authentication alone, with one key."""

    mark: str

    def close(self, plain: bytes) -> bytes: ...

    def open(self, data: bytes) -> bytes | None: ...


class CallerSeals:
    """Gives each caller its seal.

    `secrets` is called when the first seal is needed. The first secret it returns seals; all of them open.
    """

    def __init__(self, secrets: Callable[[], Sequence[Secret]]) -> None:
        self.counts = SealCounts()
        self._secrets = secrets
        self._masters: tuple[bytes, ...] = ()

    def ask_again(self) -> None:
        """Call `secrets` again for the next seal: the configuration has changed."""
        self._masters = ()

    def for_caller(self, scope: bytes, model: str) -> "CallerSeal":
        """The seal of one caller and model. No other seal opens its texts."""
        return CallerSeal(self, scope, model)

    def keys(self, scope: bytes, model: str) -> list[bytes]:
        """The keys of one caller and model, which are derived from both."""
        if not self._masters:
            self._masters = tuple(map(_master, self._secrets()))
        owner = len(scope).to_bytes(_LENGTH_BYTES, "big") + scope + model.encode("utf-8", "surrogatepass")
        return [blake2b(owner, key=master).digest() for master in self._masters]


class CallerSeal:
    """Seals and opens texts for one caller and one model.

    Every request has one and most do not use it, so its keys are derived when they are needed.
    """

    __slots__ = ("_ciphers", "_counts", "_derived", "_model", "_scope", "_seals", "_summaries")

    def __init__(self, seals: CallerSeals, scope: bytes, model: str) -> None:
        self._seals = seals
        self._scope = scope
        self._model = model
        self._counts = seals.counts
        self._derived: Sequence[bytes] = ()
        self._summaries: CallerSeal | None = None
        self._ciphers: dict[tuple[str, bytes], _Cipher] = {}

    def seal(self, blocks: Sequence[bytes]) -> str:
        """The blocks in one URL-safe text."""
        plain = b"".join([part for block in blocks for part in (len(block).to_bytes(_LENGTH_BYTES, "big"), block)])
        cipher = self._cipher(_ENCRYPTED if can_encrypt() else _SIGNED, self._keys[0])
        self._counts.sealed += 1
        return cipher.mark + urlsafe_b64encode(cipher.close(plain)).rstrip(b"=").decode("ascii")

    def open(self, text: str) -> list[bytes] | None:
        """The blocks; None if the text is of another caller, model or secret, was altered, or was never a seal."""
        mark = text[:_MARK_BYTES]
        if mark not in _CIPHERS:
            self._counts.foreign += 1
            return None
        blocks = self._opened(mark, text)
        if blocks is None:
            self._counts.unreadable += 1
        else:
            self._counts.opened += 1
        return blocks

    @property
    def summaries(self) -> "CallerSeal":
        """The seal of the same caller for what every model may read."""
        if self._summaries is None:
            self._summaries = self._seals.for_caller(self._scope, _ANY_MODEL)
        return self._summaries

    @property
    def _keys(self) -> Sequence[bytes]:
        self._derived = self._derived or self._seals.keys(self._scope, self._model)
        return self._derived

    def _opened(self, mark: str, text: str) -> list[bytes] | None:
        data = _decoded(text)
        if data is None or (mark == _ENCRYPTED and not can_encrypt()):
            return None
        for key in self._keys:
            plain = self._cipher(mark, key).open(data)
            if plain is not None:
                return _blocks_of(plain)
        return None

    def _cipher(self, mark: str, key: bytes) -> _Cipher:
        cipher = self._ciphers.get((mark, key))
        if cipher is None:
            cipher = self._ciphers[mark, key] = _CIPHERS[mark](key)
        return cipher


class _Encrypting:
    """AES-256-GCM under a random nonce. A key serves one caller and model, far below NIST's 2^32 random nonces."""

    mark = _ENCRYPTED

    def __init__(self, key: bytes) -> None:
        # Optional, and imported only if needed.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._invalid: type[Exception] = InvalidTag
        self._aes: Any = AESGCM(key[:32])

    def close(self, plain: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + bytes(self._aes.encrypt(nonce, plain, b"dg1"))

    def open(self, data: bytes) -> bytes | None:
        if len(data) < _NONCE_BYTES + _TAG_BYTES:
            return None
        try:
            return bytes(self._aes.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], b"dg1"))
        except self._invalid:
            return None


class _Signing:
    """A keyed hash (BLAKE2b) of a plain text."""

    mark = _SIGNED

    def __init__(self, key: bytes) -> None:
        self._key = key[32:]

    def close(self, plain: bytes) -> bytes:
        return self._tag(plain) + plain

    def open(self, data: bytes) -> bytes | None:
        plain = data[_TAG_BYTES:]
        return plain if compare_digest(self._tag(plain), data[:_TAG_BYTES]) else None

    def _tag(self, plain: bytes) -> bytes:
        return blake2b(plain, key=self._key, digest_size=_TAG_BYTES).digest()


_CIPHERS: Final[dict[str, Callable[[bytes], _Cipher]]] = {_ENCRYPTED: _Encrypting, _SIGNED: _Signing}


def _master(secret: Secret) -> bytes:
    return blake2b(secret.reveal().encode("utf-8", "surrogatepass"), person=_PERSON).digest()


@cache
def can_encrypt() -> bool:
    """Whether the optional package `cryptography` is installed."""
    return find_spec("cryptography") is not None


def _decoded(text: str) -> bytes | None:
    if len(text) > MOST_TEXT_BYTES or not text.isascii() or (len(text) - _MARK_BYTES) % 4 == 1:
        return None
    body = text[_MARK_BYTES:].encode("ascii")
    try:
        data = urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    except Base64Error:
        return None
    # Python's decoder skips characters outside the alphabet and ignores unused bits. Accept one spelling only.
    tail = len(data) % 3
    is_exact = len(data) == len(body) * 3 // 4 and (
        not tail or body.endswith(urlsafe_b64encode(data[-tail:]).rstrip(b"="))
    )
    return data if is_exact else None


def _blocks_of(plain: bytes) -> list[bytes] | None:
    """The blocks in an authenticated text. It is well-formed; the checks are for texts of other releases."""
    blocks: list[bytes] = []
    place = 0
    while place < len(plain):
        begin = place + _LENGTH_BYTES
        place = begin + int.from_bytes(plain[place:begin], "big")
        if place > len(plain) or len(blocks) >= MOST_BLOCKS:
            return None
        blocks.append(plain[begin:place])
    return blocks
