"""What a worker has to know, on its way from the parent."""

import msgspec

from gateway.config import Config
from gateway.secret import Secret


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker reads from its standard input before it starts."""

    number: int
    config: Config
    callers_base_url: str

    def encode(self) -> bytes:
        """The bytes for that standard input and for nothing else: the secrets stand in them."""
        return msgspec.json.encode(self, enc_hook=_reveal)

    @classmethod
    def decode(cls, data: bytes) -> "Assignment":
        """What `encode` was called on."""
        return msgspec.json.decode(data, type=cls, dec_hook=lambda _type, text: Secret(text))


def _reveal(value: object) -> str:
    if not isinstance(value, Secret):
        raise NotImplementedError(f"{type(value).__name__} is not known here.")
    return value.reveal()
