"""When a certificate expires, which Python's `ssl` tells of a peer's only (X.509 in DER: RFC 5280, section 4.1)."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_BEGINNING: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
# Tags: an explicit version comes first or not at all; times have two digits for the year, or four.
_VERSION: Final = 0xA0
_FORMATS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_LONG: Final = 0x80
# Of the elements after the version: serial number, signature algorithm, issuer, validity.
_VALIDITY: Final = 3


def end_of(pem: str) -> float:
    """When the first certificate in a text expires, in Unix seconds; raises `ValueError`."""
    text = pem[pem.find(_BEGINNING) :]
    text = text[: text.find(_END) + len(_END)]
    try:
        _, certificate = next(_elements(ssl.PEM_cert_to_DER_cert(text)))
        _, content = next(_elements(certificate))
        parts = [value for tag, value in _elements(content) if tag != _VERSION]
        _, (tag, end) = _elements(parts[_VALIDITY])
        moment = datetime.strptime(end.decode("ascii"), _FORMATS[tag]).replace(tzinfo=UTC)
    except (ValueError, LookupError, StopIteration) as error:
        raise ValueError("not a certificate") from error
    return moment.timestamp()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents in a sequence."""
    place = 0
    while place < len(data):
        tag, length, place = data[place], data[place + 1], place + 2
        if length & _LONG:
            digits = length & ~_LONG
            length, place = int.from_bytes(data[place : place + digits], "big"), place + digits
        yield tag, data[place : place + length]
        place += length
