"""Sample values for a JSON Schema, made of words of the prompt if possible."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.errors import invalid

_MAX_DEPTH = 8
_MAX_VALUES = 1000
_MAX_NUMBER = 2.0**53
_PLACE_NAMES = re.compile(r"city|location|place|country|town|region|destination|where", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s\"'<>)]+")
_QUOTED = re.compile(r"[\"“]([^\"”]+)[\"”]")
_NUMBER = re.compile(r"-?\b\d{1,15}(?:\.\d{1,15})?\b")
_PLACE = r"[A-ZÀ-Þ][\w'-]*(?: [A-ZÀ-Þ][\w'-]*)*"
_PLACES = re.compile(rf"\b(?:in|for|at|of|from|to) (?:both )?({_PLACE}(?:(?:,? and|,) {_PLACE})*)")
_BETWEEN_PLACES = re.compile(r",? and |, ")
_FORMATS = {
    "date-time": "2026-01-01T12:00:00Z",
    "date": "2026-01-01",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True, slots=True)
class Words:
    """The parts of a prompt that can fill values."""

    text: str
    places: list[str] = field(default_factory=list)
    place: str = "Paris"

    def at(self, number: int) -> Words:
        """The same words, for the nth place in the prompt."""
        return Words(self.text, self.places, self.places[number % len(self.places)] if self.places else self.place)


def words_of(text: str) -> Words:
    """The words of a prompt, with its places in order: `in Paris and New York` has two."""
    found = [place for match in _PLACES.findall(text) for place in _BETWEEN_PLACES.split(match)]
    places = list(dict.fromkeys(found))
    return Words(text, places, places[0] if places else "Paris")


def sample(schema: dict[str, Any], words: Words, *, everything: bool) -> Any:
    """A value for a schema, with all properties of objects or only the required ones."""
    try:
        return _Sampler(schema, words, everything).value(schema, "", 0)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise invalid("JSON schema is invalid. It must match JSON Schema draft 2020-12.") from None


@dataclass(slots=True)
class _Sampler:
    root: dict[str, Any]
    words: Words
    everything: bool
    # A recursive schema may never end, and grows with each level.
    values_left: int = _MAX_VALUES

    def value(self, schema: Any, name: str, depth: int) -> Any:
        self.values_left -= 1
        if depth > _MAX_DEPTH or self.values_left < 0:
            return None
        if not isinstance(schema, dict):
            return self._string({}, name)
        if "$ref" in schema:
            return self.value(self._target(schema["$ref"]), name, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for combiner in ("anyOf", "oneOf", "allOf"):
            if options := schema.get(combiner):
                real = [option for option in options if option != {"type": "null"}] or options
                return self.value(real[0], name, depth + 1)
        return self._typed(schema, name, depth)

    def _typed(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                count = min(max(1, schema.get("minItems", 1)), self.values_left)
                return [self.value(schema.get("items", {}), name, depth + 1) for _ in range(count)]
            case "integer":
                return int(self._number(schema))
            case "number":
                return self._number(schema)
            case "boolean":
                return True
            case "null":
                return None
        return self._string(schema, name)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = schema.get("properties") or {}
        required = [name for name in schema.get("required") or [] if name in properties]
        names = list(properties) if self.everything else required
        # Structured outputs write required properties first.
        ordered = sorted(names, key=lambda name: name not in required)
        return {name: self.value(properties[name], name, depth + 1) for name in ordered}

    def _number(self, schema: dict[str, Any]) -> float:
        found = _NUMBER.search(self.words.text)
        number = float(found[0]) if found else 1.0
        number = min(max(number, schema.get("minimum", number)), schema.get("maximum", number))
        number = min(max(number, -_MAX_NUMBER), _MAX_NUMBER)
        return int(number) if number == int(number) else number

    def _string(self, schema: dict[str, Any], name: str) -> str:
        text = self.words.text
        if (form := schema.get("format")) in _FORMATS:
            return _FORMATS[form]
        if form == "uri" or "url" in name.lower():
            found = _URL.search(text)
            return found[0] if found else "https://example.com/"
        if _PLACE_NAMES.search(name):
            return self.words.place
        if quoted := _QUOTED.search(text):
            return quoted[1]
        return text[:200] or "simulated"

    def _target(self, reference: object) -> Any:
        """The target of an internal reference; for any other reference, the schema of a string."""
        target: Any = self.root
        for step in str(reference).removeprefix("#").strip("/").split("/"):
            if not isinstance(target, dict) or (step and step not in target):
                return {}
            target = target[step] if step else target
        return target
