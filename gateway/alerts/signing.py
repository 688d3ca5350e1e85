"""The signature of a webhook: `t=UNIX_SECONDS,v1=HEX`, an HMAC-SHA256 over time and body."""

import hmac
from typing import Final

from gateway.secret import Secret

SIGNATURE_HEADER: Final = "x-dragoman-signature"


def signature(secret: Secret, body: bytes, at: float) -> str:
    """The header's value. The time is signed too, so that a receiver can refuse what was recorded and sent again."""
    seconds = int(at)
    signed = b"%d.%b" % (seconds, body)
    digest = hmac.new(secret.reveal().encode("utf-8", "surrogatepass"), signed, "sha256").hexdigest()
    return f"t={seconds},v1={digest}"
