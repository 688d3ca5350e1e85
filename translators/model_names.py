"""Resolves model names: other hosts, routers and editors have their own spellings of Anthropic's ids."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

# Far longer than any id.
_MAX_NAME: Final = 256
# `us.anthropic.claude-x`, `anthropic:claude-x`; anything before the last slash was removed before.
_ID: Final = re.compile(r"(?:[a-z_]+:)?(?:[a-z-]+\.)?(?:anthropic\.)?(?P<id>claude-.+)", re.IGNORECASE)
# Bedrock's `-v1:0`, Google's `@default`, Anthropic's old `-latest`, OpenRouter's `:beta`.
_RELEASE: Final = re.compile(r"(?:-v\d{1,3}(?::\d{1,3})?|@default|@latest|-latest|:beta)$")
_THINKING: Final = re.compile(r"[-:]thinking$")
_EFFORT: Final = re.compile(r"-(?P<effort>none|minimal|low|medium|high|xhigh|max)$")
_DATE: Final = re.compile(r"-\d{8}$")
# `claude-4-5-sonnet`, which some editors use for `claude-sonnet-4-5`.
_NUMBER_FIRST: Final = re.compile(r"claude-(?P<number>\d{1,2}(?:-\d{1,2})?)-(?P<family>[a-z]+)(?P<rest>(?:-.*)?)")


class Spelling(NamedTuple):
    """The id that a name stands for, and what its suffix asks for: an effort, or thinking with any effort."""

    id: str
    effort: str | None = None
    thinks: bool = False


def spelled(name: str, knows: Callable[[str], bool]) -> Spelling:
    """Resolve a name; `knows` says whether an id exists. A name that cannot be resolved is used as it is."""
    if knows(name) or len(name) > _MAX_NAME:
        return Spelling(name)
    found = _ID.fullmatch(name.rpartition("/")[2])
    if found is None:
        return Spelling(name)
    plain = _RELEASE.sub("", found["id"].lower()).replace("@", "-").replace(".", "-")
    return _without_wishes(plain, knows) or Spelling(plain)


def _without_wishes(name: str, knows: Callable[[str], bool]) -> Spelling | None:
    """The known id that remains when suffixes are removed from a name, the fewest possible."""
    effort, thinks = None, False
    while True:
        for candidate in (name, _DATE.sub("", name), _family_first(name), _DATE.sub("", _family_first(name))):
            if knows(candidate):
                return Spelling(candidate, effort, thinks)
        if _THINKING.search(name):
            name, thinks = _THINKING.sub("", name), True
        elif effort is None and (found := _EFFORT.search(name)):
            name, effort = name[: found.start()], found["effort"]
        else:
            return None


def _family_first(name: str) -> str:
    return _NUMBER_FIRST.sub(r"claude-\g<family>-\g<number>\g<rest>", name)
