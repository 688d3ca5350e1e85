"""Mistakes in a configuration, collected so that all are reported together and without secrets."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Final, TypeVar

from gateway.config.stamps import Stamps
from gateway.secret import MASK, Secret, redact

# The prefix of Anthropic's and OpenAI's keys, which may appear where no secret was expected.
_API_KEY = re.compile(r"\bsk-[\w-]+")
_PLAIN_NAME = re.compile(r"[^\s\[\]\"']+")
_NAMES_A_LINE = re.compile(r"\blines? \d")
# Masking a shorter text would garble the message, and so reveal the text.
_MIN_MASKED = 4


T = TypeVar("T")


class Wrong(Enum):
    """The placeholder for a value whose mistake has been reported; never leaves this package."""

    WRONG = "wrong"


WRONG: Final = Wrong.WRONG


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: its path, its line in the file, and what was expected."""

    path: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        # Messages about the file's syntax name the line themselves.
        if self.line is None or _NAMES_A_LINE.search(self.text):
            return f"{self.path}: {self.text}"
        return f"{self.path}: {self.text} (line {self.line})"


class ConfigError(Exception):
    """The configuration cannot be used; the text lists all mistakes, one per line.

    `files` are the files that it was read from.
    """

    def __init__(self, mistakes: tuple[Mistake, ...], files: Stamps) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
        self.files = files


class Mistakes:
    """Collects mistakes, and the secrets that must not appear in them."""

    def __init__(self, source: str) -> None:
        self._source = source
        # The line of each setting in the file, by path.
        self.lines: dict[str, int] = {}
        # The variable of each setting from the environment, by path.
        self.variables: dict[str, str] = {}
        self._found: list[Mistake] = []
        self._secrets: list[Secret] = []

    def add(self, path: str, text: str) -> Wrong:
        """Record a mistake (an empty path means the whole file); returns `WRONG`, to use in place of the value."""
        variable = _nearest(self.variables, path)
        said = text if variable is None or variable in text else f"{text} (from {variable})"
        self._found.append(Mistake(path or self._source, said, _nearest(self.lines, path)))
        return WRONG

    def are_at(self, path: str) -> bool:
        """Whether a setting, or one inside it, has a mistake."""
        return any(mistake.path == path or mistake.path.startswith(f"{path}.") for mistake in self._found)

    def hide(self, secret: Secret) -> None:
        """Mask this secret in all mistakes, wherever its value appears."""
        if len(secret.reveal()) >= _MIN_MASKED:
            self._secrets.append(secret)

    def raise_any(self, files: Stamps) -> None:
        """Raise `ConfigError` if there are any mistakes."""
        if self._found:
            raise ConfigError(tuple(self._masked(mistake) for mistake in self._found), files)

    def _masked(self, mistake: Mistake) -> Mistake:
        def masked(text: str) -> str:
            return _API_KEY.sub(MASK, redact(text, self._secrets))

        return replace(mistake, path=masked(mistake.path), text=masked(mistake.text))


def _nearest(known: Mapping[str, T], path: str) -> T | None:
    """The entry of a setting, or of the nearest section around it."""
    while path and path not in known:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return known.get(path)


def path_to(parent: str, name: str) -> str:
    """The path of a setting inside another: `server.port`, or `models.aliases["a b"]` for an unusual name."""
    if not _PLAIN_NAME.fullmatch(name) or not name.isprintable():
        return f"{parent}[{json.dumps(name)}]"
    return f"{parent}.{name}" if parent else name


def suggestion(written: str, known: tuple[str, ...]) -> str:
    """`, did you mean ...?` if the word resembles a known one, else ""."""
    similar = get_close_matches(written, known, n=1)
    return f", did you mean {similar[0]}?" if similar else ""
