"""What a parent tells a worker: the configuration, and where secrets can be read again."""

import os
import tempfile
from collections.abc import Mapping
from typing import Self

import msgspec

from gateway.config import Config, Pair, Source
from gateway.secret import Secret


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reads from its standard input at its start, and again after each change of the configuration.

    `key_sources` maps keys' names to where their secrets can be read again. `pair` is the latest certificate that could
    be used: the files may have become wrong since.
    """

    number: int
    config: Config
    callers_base_url: str
    key_sources: Mapping[str, Source] = {}
    pair: Pair | None = None

    def encode(self) -> bytes:
        """Encode it for the worker only: the bytes contain the secrets."""
        return msgspec.json.encode(self, enc_hook=_reveal)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The inverse of `encode`."""
        return msgspec.json.decode(data, type=cls, dec_hook=lambda _type, text: Secret(text))

    def to_file(self) -> int:
        """A file descriptor from which the worker can read this; the caller closes it."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("assignment")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(self.encode())
            os.lseek(descriptor, 0, os.SEEK_SET)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _reveal(value: object) -> str:
    if not isinstance(value, Secret):
        raise NotImplementedError(f"{type(value).__name__} is not known here.")
    return value.reveal()
