"""Which secret seals `encrypted_content`: the one of section `responses`, the store's, or one made at each start."""

import logging
import secrets
from collections.abc import Mapping
from os import environ as _environ
from typing import Final

from gateway.config import Config
from gateway.kept_turns.caller_seals import can_encrypt
from gateway.kept_turns.opening import database_file, kind_of
from gateway.private_files.keyfile import key_file, secret_of_database
from gateway.secret import Secret
from gateway.telemetry.logs import log_event

_MADE_BYTES: Final = 32
MADE: Final = (
    "What /v1/responses seals for clients cannot be read after a restart: its key was made at the start, "
    "set responses.encryption_key to one that stays"
)
_MADE: Final = "a key that is made at each start: to read it after a restart, set responses.encryption_key"


class SealKeys:
    """Finds the secrets for a configuration. The one that is made at the start lives as long as this object."""

    def __init__(self, environ: Mapping[str, str] = _environ) -> None:
        self._environ = environ
        self._made = Secret(secrets.token_urlsafe(_MADE_BYTES))
        self._is_told = False

    def of(self, config: Config) -> tuple[Secret, ...]:
        """The secret that seals, then the old one that only opens. This may create the key file beside the database."""
        old = config.responses.old_encryption_key
        return (self.current(config), *((old,) if old is not None else ()))

    def current(self, config: Config) -> Secret:
        """The secret that seals. With several workers, the parent process finds it and gives it to each of them."""
        configured = config.responses.encryption_key or config.store.encryption_key
        if configured is not None:
            return configured
        if kind_of(config.store) != "sqlite":
            return self._tell_of_made()
        try:
            return secret_of_database(database_file(config.store, self._environ))
        except (OSError, ValueError):
            # Opening the store logs the reason.
            return self._tell_of_made()

    def _tell_of_made(self) -> Secret:
        if not self._is_told:
            self._is_told = True
            log_event(logging.INFO, MADE)
        return self._made


def seals_in_words(config: Config, environ: Mapping[str, str] = _environ) -> str:
    """How `encrypted_content` is protected, for `dragoman check`."""
    if can_encrypt():
        return f"encrypted with {_key_in_words(config, environ)}"
    return f"signed, not encrypted (pip install cryptography), with {_key_in_words(config, environ)}"


def _key_in_words(config: Config, environ: Mapping[str, str]) -> str:
    if config.responses.encryption_key is not None:
        return "responses.encryption_key"
    if config.store.encryption_key is not None:
        return "store.encryption_key"
    return str(key_file(database_file(config.store, environ))) if kind_of(config.store) == "sqlite" else _MADE
