"""What is wrong with a configuration, collected so that all of it is told at once and no secret with it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Final, TypeVar

from gateway.config.stamps import Stamps
from gateway.secret import MASK, Secret, redact

# Anthropic's and OpenAI's keys begin like this; one may stand where no secret was expected.
_API_KEY = re.compile(r"\bsk-[\w-]+")
_PLAIN_NAME = re.compile(r"[^\s\[\]\"']+")
_NAMES_A_LINE = re.compile(r"\blines? \d")
# Masking a shorter text would garble the message, and so betray the text.
_MIN_MASKED = 4


T = TypeVar("T")


class Wrong(Enum):
    """Stands for a value whose mistake has been reported; it never leaves this package."""

    WRONG = "wrong"


WRONG: Final = Wrong.WRONG


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to correct: where it stands, in the file at which line, and what was expected there."""

    path: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        # What is wrong with the form of the file says its own place.
        if self.line is None or _NAMES_A_LINE.search(self.text):
            return f"{self.path}: {self.text}"
        return f"{self.path}: {self.text} (line {self.line})"


class ConfigError(Exception):
    """The configuration cannot be used; says everything that is wrong with it, one line each.

    `files` are those that it was read from.
    """

    def __init__(self, mistakes: tuple[Mistake, ...], files: Stamps) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
        self.files = files


class Mistakes:
    """Collects mistakes, and the secrets that must not be readable in them."""

    def __init__(self, source: str) -> None:
        self._source = source
        # Where settings stand in the file, by their paths.
        self.lines: dict[str, int] = {}
        # Settings that come from the environment instead, by their paths.
        self.variables: dict[str, str] = {}
        self._found: list[Mistake] = []
        self._secrets: list[Secret] = []

    def add(self, path: str, text: str) -> Wrong:
        """Note a mistake, the empty path meaning the whole; gives `WRONG`, to put where the value would have stood."""
        variable = _nearest(self.variables, path)
        said = text if variable is None or variable in text else f"{text} (from {variable})"
        self._found.append(Mistake(path or self._source, said, _nearest(self.lines, path)))
        return WRONG

    def hide(self, secret: Secret) -> None:
        """Never show this secret, wherever in the configuration its value stands as well."""
        if len(secret.reveal()) >= _MIN_MASKED:
            self._secrets.append(secret)

    def raise_any(self, files: Stamps) -> None:
        """Raise `ConfigError` if there was any mistake in what was read from these files."""
        if self._found:
            raise ConfigError(tuple(self._masked(mistake) for mistake in self._found), files)

    def _masked(self, mistake: Mistake) -> Mistake:
        def masked(text: str) -> str:
            return _API_KEY.sub(MASK, redact(text, self._secrets))

        return replace(mistake, path=masked(mistake.path), text=masked(mistake.text))


def _nearest(known: Mapping[str, T], path: str) -> T | None:
    """What is known of a setting, or of the nearest one around it."""
    while path and path not in known:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return known.get(path)


def path_to(parent: str, name: str) -> str:
    """The path of a setting inside another: `server.port`, or `models.aliases["a b"]` for an unusual name."""
    if not _PLAIN_NAME.fullmatch(name) or not name.isprintable():
        return f"{parent}[{json.dumps(name)}]"
    return f"{parent}.{name}" if parent else name


def suggestion(written: str, known: tuple[str, ...]) -> str:
    """`, did you mean ...?` for a word that resembles a known one, else nothing."""
    similar = get_close_matches(written, known, n=1)
    return f", did you mean {similar[0]}?" if similar else ""
