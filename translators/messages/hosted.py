"""Tools that Anthropic runs, by the plain names that other services and clients have for them."""

from typing import Final

from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.messages.blocks import Block
from translators.messages.caching import MARK
from translators.reading import decode, is_null
from translators.unknown import read_counted
from translators.wire.chat_tools import USER_LOCATION, ApproximateLocation, UserLocation
from translators.wire.raw import OBJECT_DECODER

WEB_SEARCH: Final = "web_search_20260318"
# The newest that needs nothing of a model but server tools.
_CODE_EXECUTION: Final = "code_execution_20250825"
HOSTED_TYPES: Final = {
    "web_search": WEB_SEARCH,
    "web_search_2025_08_26": WEB_SEARCH,
    "web_search_preview": WEB_SEARCH,
    "web_search_preview_2025_03_11": WEB_SEARCH,
    "web_fetch": "web_fetch_20260318",
    "code_execution": _CODE_EXECUTION,
    "code_interpreter": _CODE_EXECUTION,
    "tool_search": "tool_search_tool_bm25_20251119",
}
# Section 3.6 of the Messages reference: those of Anthropic's own fields that each takes.
_BOUNDS: Final = frozenset({"max_uses", "allowed_domains", "blocked_domains", "response_inclusion"})
_CALLERS: Final = "allowed_callers"
_OWN_FIELDS: Final[dict[str, frozenset[str]]] = {
    "web_search": _BOUNDS | {_CALLERS},
    "web_fetch": _BOUNDS | {_CALLERS, "citations", "max_content_tokens", "url_sources", "use_cache"},
    "code_execution": frozenset({_CALLERS}),
    "tool_search_tool_bm25": frozenset({_CALLERS}),
}
# These have their results filtered by code unless the model itself has to call them.
_DIRECT: Final = frozenset({"web_search", "web_fetch"})
_PLACE: Final = ("city", "country", "region", "timezone")
# What is looked at here, or says nothing.
_READ: Final = frozenset({"type", "name", MARK, "user_location", "search_context_size", "filters", "container"})
_DEFAULTS: Final = (b'"medium"', b'{"type":"auto"}')


def hosted_name(kind: str) -> str:
    """What a tool of a dated type is called: its type without the date."""
    return kind[:-9]


def hosted_tool(fields: dict[str, Raw], kind: str, path: str, adjustments: Adjustments) -> Block:
    """The tool of that (dated) type with the fields that came under a plain name; what it has no place for is named."""
    name = hosted_name(kind)
    definition: Block = {"type": kind, "name": name}
    given = {field: value for field, value in fields.items() if not is_null(value)}
    own = _OWN_FIELDS[name]
    filters = given.get("filters")
    if filters is not None:
        given = {**decode(OBJECT_DECODER, filters, f"{path}.filters"), **given}
    if name in _DIRECT:
        definition[_CALLERS] = ["direct"]
    definition |= {field: Fragment(bytes(value)) for field, value in given.items() if field in own}
    if name == "web_search" and "user_location" in given:
        where = read_counted(USER_LOCATION, given["user_location"], f"{path}.user_location", adjustments)
        if (place := location(where)) is not None:
            definition["user_location"] = place
    for field in ("search_context_size", "container"):
        if field in given and b"".join(bytes(given[field]).split()) not in _DEFAULTS:
            adjustments.add(f"tools.{field}", "dropped", "unsupported")
    adjustments.count_unknown(len(given.keys() - own - _READ))
    return definition


def location(given: UserLocation) -> Block | None:
    """Where the user is, in Anthropic's form; OpenAI has a form with the place inside and one without."""
    within: ApproximateLocation = given.approximate or given
    place = {name: value for name in _PLACE if (value := getattr(within, name))}
    return {"type": "approximate", **place} if place else None
