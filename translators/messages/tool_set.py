"""The tools of one request, as Messages takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import orjson
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.messages.blocks import Block
from translators.messages.caching import MARK
from translators.messages.properties import Names
from translators.schema import Structured


@dataclass(slots=True)
class Tools:
    """The tools of one request, as Messages takes them.

    `names` maps upstream's names to the caller's; `custom` (caller's names) take free text; `wrapped` (upstream's
    names) have their schema inside one property; `properties` (by upstream's name) has upstream's names of a tool's
    properties by the caller's, where they differ; `schemas` are those of the caller's functions, by upstream's name;
    `strict_schemas` are those that upstream makes a grammar of, by the place among `definitions`.

    They are shared by all requests with the same tools, which have to `own` what they change. `json` are the
    definitions as they are sent, where nothing was changed since.
    """

    definitions: list[Block] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    custom: set[str] = field(default_factory=set)
    wrapped: set[str] = field(default_factory=set)
    schemas: dict[str, bytes] = field(default_factory=dict)
    properties: dict[str, Names] = field(default_factory=dict)
    strict_schemas: dict[int, Structured] = field(default_factory=dict)
    betas: list[str] = field(default_factory=list)
    has_server_tools: bool = False
    has_marks: bool = False
    is_legacy: bool = False
    json: bytes = b""

    @property
    def size(self) -> int:
        """How many bytes the definitions have as they are sent."""
        if not self.definitions:
            return 0
        return len(self.json or orjson.dumps(self.definitions))

    def own(self) -> "Tools":
        """The same tools, to which others can be added and whose marks can be changed."""
        return replace(
            self,
            json=b"",
            definitions=[dict(item) for item in self.definitions],
            names=dict(self.names),
            strict_schemas=dict(self.strict_schemas),
        )

    def marked(self, mark: Mapping[str, str]) -> "Tools":
        """The same tools, which are not marked yet, with a mark on the last."""
        *others, last = self.definitions
        # The last that stands in the last definition.
        json = b'%b,"%b":%b}]' % (self.json[:-2], MARK.encode(), orjson.dumps(mark)) if self.json else b""
        return replace(self, json=json, definitions=[*others, {**last, MARK: mark}], has_marks=True)

    def make_room(self, form: Structured, adjustments: Adjustments) -> None:
        """Take `strict` from the tools that do not fit beside the form of the answer; all share the limits."""
        optional, unions = form.optional_parameters, form.unions
        for place, schema in list(self.strict_schemas.items()):
            if schema.fits(optional, unions):
                optional, unions = optional + schema.optional_parameters, unions + schema.unions
                continue
            definition = self.definitions[place]
            definition["input_schema"] = Fragment(self.schemas[str(definition["name"])])
            del definition["strict"], self.strict_schemas[place]
            adjustments.add("tools.strict", "dropped", "limit")


# Of a request that has none; there is nothing in it to be changed.
NO_TOOLS: Final = Tools()
