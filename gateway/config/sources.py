"""Where a secret comes from: the text itself, an environment variable, a file, or a command's output."""

import os.path
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.config.document import Tree
from gateway.config.mistakes import WRONG, Mistakes, Wrong
from gateway.config.reading import shown
from gateway.config.stamps import Stamp, stamp_of
from gateway.config.variables import Text
from gateway.secret import Secret

COMMAND_TIMEOUT_SECONDS = 30.0
SHORTEST_PASSPHRASE = 16

_EXPECTED = "expected a text, {env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT, ...]}"
# What an HTTP header can carry as a token: visible ASCII.
_FIT_FOR_HEADER = re.compile(r"[!-~]+")


def secret_of(text: str) -> Secret:
    """The secret in a text, without surrounding white space; a `ValueError` says why it cannot be used."""
    value = text.strip()
    if not value:
        raise ValueError("the secret is empty")
    if not _FIT_FOR_HEADER.fullmatch(value):
        raise ValueError("the secret contains spaces, line ends or characters that an HTTP header cannot carry")
    return Secret(value)


def passphrase_of(text: str) -> Secret:
    """The same for a secret that is not sent in a header: any text that is long enough."""
    value = text.strip()
    if len(value) < SHORTEST_PASSPHRASE:
        raise ValueError(f"expected at least {SHORTEST_PASSPHRASE} characters")
    return Secret(value)


class Source(Struct, frozen=True):
    """Where a secret can change: a file, or a command's output; `shown` is the file's name in mistakes."""

    file: str | None = None
    shown: str = ""
    command: tuple[str, ...] = ()

    def read(self, environ: Mapping[str, str]) -> Secret:
        """Read the current secret; a `ValueError` says why there is none."""
        return secret_of(self.text(environ))

    def text(self, environ: Mapping[str, str]) -> str:
        """Read the current text, valid or not; a `ValueError` says why that failed."""
        return _output(self.command, environ) if self.file is None else self._content(self.file)

    def _content(self, path: str) -> str:
        try:
            return Path(path).read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a readable text"
            raise ValueError(f"the file {self.shown} cannot be read: {reason}") from None


class SecretReader:
    """Fetches secrets from their sources; relative paths start at the configuration file's folder.

    `sources` has the secrets that can be read again, by their settings' paths; `files` has the files that were read.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path, mistakes: Mistakes) -> None:
        self.sources: dict[str, Source] = {}
        self.files: dict[str, Stamp | None] = {}
        self._environ = environ
        self.folder = folder
        self._mistakes = mistakes

    def read(self, tree: Tree, path: str) -> Any:
        """Read a secret; returns `WRONG` after recording a mistake."""
        if isinstance(tree, Text):
            self._mistakes.hide(Secret(tree.strip()))
        try:
            source = self._source(tree)
            if source is WRONG:
                return WRONG
            secret = self._read(source, path)
        except ValueError as problem:
            return self._mistakes.add(path, str(problem))
        self._mistakes.hide(secret)
        return secret

    def _read(self, source: Source | str, path: str) -> Secret:
        kind = _KINDS.get(path, secret_of)
        if isinstance(source, str):
            return kind(source)
        self.sources[path] = source
        if source.file is not None:
            # Before reading, so that a write in between counts as a change.
            self.files[source.file] = stamp_of(source.file)
        return kind(source.text(self._environ))

    def _source(self, tree: Tree) -> Source | str | Wrong:
        """The text of a secret, or its source; `WRONG` after a mistake was reported."""
        if isinstance(tree, Text):
            return tree
        # Do not quote what was found: it may be the misplaced secret.
        if not isinstance(tree, dict) or len(tree) != 1:
            raise ValueError(_EXPECTED)
        [(source, where)] = tree.items()
        if source not in _SOURCES:
            raise ValueError(_EXPECTED)
        parts = where if isinstance(where, list) else [where]
        return WRONG if WRONG in parts else _SOURCES[source](self, where)

    def _from_environment(self, where: Tree) -> str:
        if not isinstance(where, Text):
            raise ValueError("env takes the name of an environment variable")
        if where not in self._environ:
            raise ValueError(f"the environment variable {where.as_written} is not set")
        return self._environ[where]

    def _from_file(self, where: Tree) -> Source:
        if not isinstance(where, Text):
            raise ValueError("file takes a path")
        return Source(file=os.path.abspath(self.folder / os.path.expanduser(where)), shown=shown(where))

    def _from_command(self, where: Tree) -> Source:
        command = [str(word) for word in where if isinstance(word, Text)] if isinstance(where, list) else []
        if not command or len(command) != len(where):  # type: ignore[arg-type]
            raise ValueError("command takes a list, the program and its arguments")
        return Source(command=tuple(command))


class UnreadSecrets(SecretReader):
    """Takes files and commands as they are written, without reading or starting them: for drafts."""

    def _read(self, source: Source | str, path: str) -> Secret:
        # Unlike any other, so that it equals no other secret of the draft.
        return super()._read(source, path) if isinstance(source, str) else Secret(f"a secret that was not read: {path}")


# Secrets that are not sent in a header, by path.
_KINDS: dict[str, Callable[[str], Secret]] = {
    "accounts.secret": passphrase_of,
    "store.encryption_key": passphrase_of,
    "responses.encryption_key": passphrase_of,
    "responses.old_encryption_key": passphrase_of,
}

_SOURCES: dict[str, Callable[[SecretReader, Tree], Source | str]] = {
    "env": SecretReader._from_environment,
    "file": SecretReader._from_file,
    "command": SecretReader._from_command,
}


def _output(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """A command's output. Mistakes do not quote it, since it may contain the secret."""
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, and no shell reads it
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            env=dict(environ),
            check=False,
        )
        output = done.stdout.decode("utf-8")
    except subprocess.TimeoutExpired:
        raise ValueError(f"the command did not end within {COMMAND_TIMEOUT_SECONDS:g} seconds") from None
    except OSError as error:
        raise ValueError(f"the command could not be started: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the command printed something that is not UTF-8 text") from None
    if done.returncode:
        raise ValueError(f"the command failed with exit code {done.returncode}")
    return output
