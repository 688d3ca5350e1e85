"""From the model a caller names to the model upstream knows."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Final

SONNET: Final = "claude-sonnet-5-5"
HAIKU: Final = "claude-haiku-5-5"

# So that an application with OpenAI's names works unmodified: small models become Haiku, all others Sonnet.
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
# Routers of other makers write `anthropic/claude-sonnet-4.5`.
_ROUTER_SPELLING: Final = re.compile(r"anthropic/(claude-.+)")
_REMEMBERED_NAMES: Final = 4096


class Aliases:
    """Names and patterns for models: exact names first, then the pattern with the most literal characters."""

    def __init__(self, configured: Mapping[str, str], *, with_builtin: bool = True) -> None:
        # A configured alias beats a built-in one of the same spelling; else only precision counts.
        table = {**(BUILTIN_ALIASES if with_builtin else {}), **configured}
        self._exact = {name: target for name, target in table.items() if not _GLOB.search(name)}
        patterns = sorted((name for name in table if _GLOB.search(name)), key=_precision, reverse=True)
        # The operator's patterns come before the built-in ones: `*` in the configuration means everything.
        patterns.sort(key=lambda name: name not in configured)
        self._patterns = [(re.compile(translate(name)), table[name]) for name in patterns]
        self._with_builtin = with_builtin
        self.table = table
        self.resolve = lru_cache(_REMEMBERED_NAMES)(self._resolve)

    def _resolve(self, model: str) -> str:
        """The upstream model for a caller's name; a name without an alias stands for itself."""
        if model in self._exact:
            return self._exact[model]
        for pattern, target in self._patterns:
            if pattern.match(model):
                return target
        if self._with_builtin and (router := _ROUTER_SPELLING.fullmatch(model)):
            return router[1].replace(".", "-")
        return model

    @property
    def names(self) -> Iterable[str]:
        """The exact names, which a list of models can show."""
        return self._exact.keys()


def _precision(pattern: str) -> tuple[int, int]:
    literal = _GLOB.split(re.sub(r"\[[^]]*\]", "?", pattern))
    return sum(map(len, literal)), len(pattern)
