"""The certificate with which the gateway itself serves HTTPS: its settings, and whether its files can be used."""

import contextlib
import hashlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct

from gateway.config.certificates import end_of
from gateway.config.checks import Name
from gateway.secret import Secret

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MISMATCH: Final = "KEY_VALUES_MISMATCH"


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTPS without a proxy: which certificate to show."""

    certificate: Annotated[
        Name, Meta(description="A file with the certificate and those between it and its authority, in PEM form.")
    ]
    key: Annotated[
        Name | None, Meta(description="A file with the certificate's key, in PEM form; null is the same file.")
    ] = None
    min_version: Annotated[Literal["1.2", "1.3"], Meta(description="The oldest version of TLS that is spoken.")] = "1.2"

    @property
    def files(self) -> tuple[str, ...]:
        return (self.certificate,) if self.key is None else (self.certificate, self.key)


class Certificate(NamedTuple):
    """A certificate that can be used: when it expires (Unix seconds), and what tells it from another one."""

    context: ssl.SSLContext
    end: float
    mark: bytes


class TlsFileError(ValueError):
    """A file cannot be used; `setting` is the one that names it, the text says why, without secrets."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(why)
        self.setting = setting


class Pair(Struct, frozen=True):
    """What is in the files: the certificate with those above it, and its key, in PEM form."""

    certificate: str
    key: Secret


def read_pair(config: TlsConfig) -> Pair:
    """Read the files; raises `TlsFileError` if one cannot be read, or holds something else."""
    chain = _read("certificate", config.certificate, "BEGIN CERTIFICATE", "certificate")
    key = _read("certificate" if config.key is None else "key", config.key or config.certificate, "PRIVATE KEY", "key")
    return Pair(chain, Secret(key))


def load_certificate(config: TlsConfig, pair: Pair | None = None) -> Certificate:
    """The certificate of a pair, or the one in the files now; raises `TlsFileError`."""
    pair = pair or read_pair(config)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    # A client could ask for new handshakes without end.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        end = end_of(pair.certificate)
        with _as_file(config, pair) as (certificate, key):
            # Without a function for the passphrase OpenSSL would ask for it on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        # `ssl.SSLError` is an `OSError`.
        if getattr(error, "reason", None) == _MISMATCH:
            raise TlsFileError("key", "it is not the key of the certificate") from error
        why = (getattr(error, "reason", None) or str(error)).lower().replace("_", " ")
        raise TlsFileError("certificate", f"it cannot be used: {why}") from error
    return Certificate(context, end, hashlib.sha256(f"{config.min_version} {_both(pair)}".encode()).digest())


@contextlib.contextmanager
def _as_file(config: TlsConfig, pair: Pair) -> Iterator[tuple[str, str | None]]:
    """The pair as paths, since OpenSSL reads nothing else: in memory if the system can, else the files themselves."""
    if not hasattr(os, "memfd_create"):
        yield config.certificate, config.key
        return
    with open(os.memfd_create("certificate"), "w") as file:
        file.write(_both(pair))
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}", None


def _both(pair: Pair) -> str:
    return f"{pair.certificate}\n{pair.key.reveal()}"


def _read(setting: str, path: str, mark: str, what: str) -> str:
    try:
        text = Path(os.path.expanduser(path)).read_text("ascii", "replace")
    except (OSError, ValueError) as error:
        raise TlsFileError(setting, f"it cannot be read: {getattr(error, 'strerror', None) or 'not a path'}") from error
    if f"{mark}-----" not in text:
        raise TlsFileError(setting, f"there is no {what} in it, in PEM form")
    if "ENCRYPTED" in text:
        raise TlsFileError(setting, "the key has a passphrase: store it without one, for this user only")
    return text
