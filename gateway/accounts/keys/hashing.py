"""What is stored of a key: a keyed hash, which nobody without the gateway's own secret can compare with guesses."""

import hashlib
from typing import Final

from gateway.secret import Secret

_DIGEST_BYTES: Final = 32
_MARK_BYTES: Final = 16
# What the secret is used for: other uses get other hashes of it.
_FOR_KEYS: Final = b"dragoman keys"
_FOR_MARKS: Final = b"dragoman mark"


class Hasher:
    """Hashes keys with one secret; `mark` tells that secret from others without telling it."""

    def __init__(self, secret: Secret) -> None:
        text = secret.reveal().encode("utf-8", "surrogatepass")
        self._keyed = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=_derived(text, _FOR_KEYS, _DIGEST_BYTES))
        self.mark = _derived(text, _FOR_MARKS, _MARK_BYTES)

    def digest(self, key: str) -> bytes:
        """The hash of a key; looking it up in a dictionary reveals nothing about other keys by its timing."""
        keyed = self._keyed.copy()
        keyed.update(key.encode("utf-8", "surrogatepass"))
        return keyed.digest()


def _derived(text: bytes, purpose: bytes, size: int) -> bytes:
    return hashlib.blake2b(text, digest_size=size, person=purpose).digest()
