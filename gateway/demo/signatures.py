"""Signatures of thinking blocks: made here, and recognised when the client hands them back."""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Literal

_PREFIX = b"\x12\xa4\x01dragoman-demo"
_DIGEST_SIZE = 24


def sign(shown: str) -> str:
    """The signature of a thinking block that shows this text, which is empty when the thought is kept back."""
    digest = _digest(b"text", shown.encode())
    return base64.b64encode(_PREFIX + digest + _digest(b"seal", digest)).decode()


def signature_problem(thinking: str, signature: str) -> Literal["modified", "foreign"] | None:
    """What is wrong with a block in a client's history; text put into a kept-back thought is ignored."""
    if signature in (sign(thinking), sign("")):
        return None
    return "modified" if _is_ours(signature) else "foreign"


def _is_ours(signature: str) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
    except binascii.Error:
        return False
    digest, seal = raw[len(_PREFIX) :][:_DIGEST_SIZE], raw[len(_PREFIX) + _DIGEST_SIZE :]
    return raw.startswith(_PREFIX) and seal == _digest(b"seal", digest)


def _digest(purpose: bytes, data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_SIZE, person=purpose).digest()
