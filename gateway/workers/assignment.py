"""What a worker has to know, on its way from the parent."""

import os
import tempfile
from collections.abc import Mapping
from typing import Self

import msgspec

from gateway.config import Config, Source
from gateway.secret import Secret


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reads from its standard input before it starts, and again after each change of the configuration.

    `key_sources` says where the secrets of keys can be read again, by the keys' names.
    """

    number: int
    config: Config
    callers_base_url: str
    key_sources: Mapping[str, Source] = {}

    def encode(self) -> bytes:
        """The bytes for the worker and for nothing else: the secrets stand in them."""
        return msgspec.json.encode(self, enc_hook=_reveal)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What `encode` was called on."""
        return msgspec.json.decode(data, type=cls, dec_hook=lambda _type, text: Secret(text))

    def to_file(self) -> int:
        """A file descriptor from which the worker can read this; it has to be closed."""
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
