"""All tools of a request; what became of them the last time is remembered."""

from collections.abc import Generator
from typing import Final

import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.intent import Intent
from translators.messages.tool_set import NO_TOOLS, Tools
from translators.messages.tool_writer import ToolWriter
from translators.reading import is_null
from translators.remembered import Remembered
from translators.server_tools import SERVER_TOOLS
from translators.wire.raw import NULL, OBJECT_DECODER

# Read anew, tools cost as much as all the rest of a request. What is kept of them: their text as the key, the schemas,
# the descriptions (as Python texts), all as it is sent, and some objects however short the text is.
_COPIES: Final = 4
_OBJECT_BYTES: Final = 2_000
_REMEMBERED: Final = Remembered[tuple[Tools, Adjustments]](8 * 2**20)


def tools_in_steps(
    intent: Intent,
    adjustments: Adjustments,
    refused_schemas: frozenset[str] = frozenset(),
    *,
    native: frozenset[str] = SERVER_TOOLS,
) -> Generator[None, None, Tools]:
    """All tools of a request: functions, custom tools, Anthropic's own, web search, and the legacy functions.

    `refused_schemas` (hashes, or `STRICT` for all) are refused by upstream, so tools with them are not strict. `native`
    names those of Anthropic's own that may be used, beside those that the caller runs.
    """
    tools = NO_TOOLS
    if intent.tools:
        tools = yield from _listed_tools(intent, adjustments, refused_schemas, native)
    if not intent.functions and intent.web_search is None:
        return tools
    writer = ToolWriter(tools.own() if intent.tools else Tools(), adjustments, refused_schemas, native)
    if intent.functions:
        if intent.tools:
            adjustments.add("functions", "dropped", "tools")
        else:
            writer.tools.is_legacy = True
            for index, function in enumerate(intent.functions):
                writer.add_function(function, f"functions[{index}]", {})
                yield
    if intent.web_search is not None:
        writer.add_web_search(intent.web_search)
    return writer.tools


def _listed_tools(
    intent: Intent, adjustments: Adjustments, refused_schemas: frozenset[str], native: frozenset[str]
) -> Generator[None, None, Tools]:
    """The entries of `tools`, which are the same in every turn: what became of them the last time is remembered."""
    entries = intent.tools_text()
    key = (entries, refused_schemas, native, adjustments.rejects)
    found = _REMEMBERED.get(key)
    if found is None:
        notes = adjustments.branch()
        writer = ToolWriter(Tools(), notes, refused_schemas, native)
        for index, raw in enumerate(intent.tools or ()):
            writer.add(raw, intent.tool_place(index))
            yield
        writer.tools.json = orjson.dumps(writer.tools.definitions)
        found = (writer.tools, notes)
        _REMEMBERED.put(key, found, _COPIES * len(entries) + _OBJECT_BYTES)
    tools, notes = found
    adjustments.merge(notes)
    return tools


def tool_places(intent: Intent, native: frozenset[str] = SERVER_TOOLS) -> Generator[None, None, list[tuple[str, str]]]:
    """Where each written tool comes from, and where its schema stands; in the order in which they are sent."""
    writer = ToolWriter(Tools(), Adjustments(), frozenset(), native)
    definitions, places = writer.tools.definitions, list[tuple[str, str]]()
    for index, raw in enumerate(intent.tools or ()):
        writer.add(raw, intent.tool_place(index))
        # One that may not be used has left nothing.
        places += [_places_of(raw, intent.tool_place(index))] * (len(definitions) - len(places))
        yield
    if not intent.tools:
        places += [(f"functions[{at}]", f"functions[{at}].parameters") for at in range(len(intent.functions or ()))]
    if intent.web_search is not None:
        places.append(("web_search_options", "web_search_options"))
    return places


def _places_of(raw: Raw, path: str) -> tuple[str, str]:
    fields = OBJECT_DECODER.decode(raw)
    names = ("function", "custom", "input_schema")
    inner = next((name for name in names if not is_null(fields.get(name, NULL))), "parameters")
    return path, f"{path}.function.parameters" if inner == "function" else f"{path}.{inner}"


def answer_tool(name: str, description: str | None, schema: bytes, path: str) -> Tools:
    """The tool, the only one, whose arguments are the answer."""
    writer = ToolWriter(Tools(), Adjustments(), frozenset(), frozenset())
    function = {"name": name, "description": description, "parameters": Fragment(schema)}
    writer.add_function(Raw(orjson.dumps(function)), path, {})
    return writer.tools
