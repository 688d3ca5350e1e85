"""Encryption of what leaves this process: AES-256-GCM for values, keyed hashes in place of keys."""

import os
import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.secret import Secret

# The format: this byte, a nonce, the encrypted time and value, and the tag. NIST permits
# 2^32 random nonces for one key: 136 values a second for a year.
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
_MOMENT: Final = struct.Struct(">d")
_PLACE_BYTES: Final = 16
# By how much sealing lengthens a value.
OVERHEAD_BYTES: Final = len(_VERSION) + _NONCE_BYTES + _MOMENT.size + 16
_INFO: Final = b"dragoman store 1: %b"
_PROBE: Final = b"probe"


class CannotOpenError(Exception):
    """The value was sealed with another secret or under another key, or was changed."""


class Opened(NamedTuple):
    """A value, and when it was sealed (seconds since 1970)."""

    value: bytes
    moment: float


class Sealer:
    """Seals values under their keys with two subkeys of one secret; thread-safe."""

    def __init__(self, secret: Secret) -> None:
        # Neither subkey reveals the other or the secret.
        self._cipher = AESGCM(_subkey(secret, b"sealing"))
        self._hashing = _subkey(secret, b"places")

    def place(self, key: bytes) -> bytes:
        """What replaces a key outside the process; without the secret, nobody can compute it or learn the key."""
        return blake2b(key, key=self._hashing, digest_size=_PLACE_BYTES).digest()

    def seal(self, key: bytes, value: bytes, moment: float) -> bytes:
        """Encrypt a value; `open` needs the same key."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, _MOMENT.pack(moment) + value, _VERSION + key)

    def open(self, key: bytes, sealed: bytes) -> Opened:
        """Decrypt a value; raises `CannotOpenError`."""
        if len(sealed) < OVERHEAD_BYTES or sealed[:1] != _VERSION:
            raise CannotOpenError
        nonce = sealed[1 : 1 + _NONCE_BYTES]
        try:
            plain = self._cipher.decrypt(nonce, sealed[1 + _NONCE_BYTES :], _VERSION + key)
        except InvalidTag:
            raise CannotOpenError from None
        return Opened(plain[_MOMENT.size :], _MOMENT.unpack_from(plain)[0])

    @property
    def name(self) -> str:
        """An identifier of the secret that reveals nothing else about it."""
        return self.place(_PROBE).hex()

    def probe(self, moment: float) -> bytes:
        """A sealed value that shows later whether the secret is the same."""
        return self.seal(_PROBE, _PROBE, moment)

    def has_sealed(self, probe: bytes) -> bool:
        """Whether a probe was made with this secret."""
        try:
            return self.open(_PROBE, probe).value == _PROBE
        except CannotOpenError:
            return False


def opened(sealer: Sealer, key: bytes, sealed: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values by name, as far as they can be decrypted: what was changed or swapped does not exist."""
    values: dict[bytes, bytes] = {}
    for name, data in sealed:
        try:
            values[name] = sealer.open(key + name, data).value
        except CannotOpenError:
            continue
    return values


def _subkey(secret: Secret, purpose: bytes) -> bytes:
    material = secret.reveal().encode("utf-8", "surrogatepass")
    return HKDF(SHA256(), length=_KEY_BYTES, salt=None, info=_INFO % purpose).derive(material)
