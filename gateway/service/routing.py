"""Maps the model that a caller names to the model that upstream knows."""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

from translators.model_names import Spelling, spelled
from translators.models import model_table

SONNET: Final = "claude-sonnet-5-5"
HAIKU: Final = "claude-haiku-5-5"

# Lets applications with OpenAI's model names work unmodified: small models become Haiku, all others Sonnet.
BUILTIN_ALIASES: Final = {
    "gpt-*": SONNET,
    "gpt-*-mini*": HAIKU,
    "gpt-*-nano*": HAIKU,
    "chatgpt-*": SONNET,
    "o[0-9]*": SONNET,
    "o[0-9]*-mini*": HAIKU,
    "codex-*": SONNET,
    "codex-mini*": HAIKU,
    "davinci-*": SONNET,
    "babbage-*": HAIKU,
}
_GLOB: Final = re.compile(r"[*?\[]")
_REMEMBERED_NAMES: Final = 4096


class Aliases:
    """Names and patterns for models: exact names first, then the pattern with the most literal characters.

    `knows` says whether an id exists; existing ids are also recognised in other spellings.
    """

    def __init__(
        self,
        configured: Mapping[str, str],
        *,
        with_builtin: bool = True,
        knows: Callable[[str], bool] | None = None,
    ) -> None:
        # A configured alias replaces a built-in one of the same spelling; otherwise only precision counts.
        table = {**(BUILTIN_ALIASES if with_builtin else {}), **configured}
        self._exact = {name: target for name, target in table.items() if not _GLOB.search(name)}
        patterns = sorted((name for name in table if _GLOB.search(name)), key=_precision, reverse=True)
        # The operator's patterns come before the built-in ones: `*` in the configuration means every model.
        patterns.sort(key=lambda name: name not in configured)
        self._patterns = [(re.compile(translate(name)), table[name]) for name in patterns]
        self._understands_spellings = with_builtin
        self._knows = knows or model_table().knows
        self.table = table
        self._target = lru_cache(_REMEMBERED_NAMES)(self._look_up)

    def resolve(self, model: str) -> Spelling:
        """The upstream model for a caller's name; a name without an alias is used as it is."""
        target = self._target(model)
        if self._knows(target) or not self._understands_spellings:
            return Spelling(target)
        return spelled(target, self._knows)

    def is_alias(self, model: str) -> bool:
        """Whether the name stands for another model by the table, not only by its spelling."""
        return self._target(model) != model

    def _look_up(self, model: str) -> str:
        if model in self._exact:
            return self._exact[model]
        return next((target for pattern, target in self._patterns if pattern.match(model)), model)

    @property
    def names(self) -> Iterable[str]:
        """The exact names, for lists of models."""
        return self._exact.keys()


def _precision(pattern: str) -> tuple[int, int]:
    literal = _GLOB.split(re.sub(r"\[[^]]*\]", "?", pattern))
    return sum(map(len, literal)), len(pattern)
