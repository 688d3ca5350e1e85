"""The certificate that a running server shows: read again when its files have changed; a warning before its end."""

import logging
from datetime import UTC, datetime
from typing import Final

from gateway.config import Certificate, Pair, TlsConfig, TlsFileError, load_certificate
from gateway.telemetry.logs import log_event

_DAY: Final = 86_400.0
_WARN_SECONDS: Final = 14 * _DAY


def renewed(current: Certificate | None, config: TlsConfig, pair: Pair | None = None) -> Certificate:
    """The certificate of a pair, else of the files; the current one if they are wrong, or else `TlsFileError`."""
    try:
        found = load_certificate(config, pair)
    except TlsFileError as error:
        # The configuration was checked a moment ago: the files have changed again.
        if current is None:
            raise
        log_event(logging.ERROR, "The certificate stays what it was", setting=f"server.tls.{error.setting}", why=error)
        return current
    if current is None or found.mark == current.mark:
        return current or found
    log_event(logging.INFO, "New connections get another certificate", expires=day_of(found.end))
    return found


def tell_expiry(certificate: Certificate, now: float) -> None:
    """Log a warning if the certificate expires soon, or has expired."""
    left = certificate.end - now
    if left <= 0:
        message = "The certificate has expired: clients refuse to connect"
        log_event(logging.ERROR, message, expired=day_of(certificate.end))
    elif left < _WARN_SECONDS:
        message = "The certificate expires soon: put a new one into the files of server.tls"
        log_event(logging.WARNING, message, expires=day_of(certificate.end))


def day_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
