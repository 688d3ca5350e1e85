"""A judge of the Responses API: says in words what is wrong with a stream, or with a whole answer.

The rules are those of the reference (order, indices, parts, texts that add up, fields, statuses, usage). Where
recordings of real servers deviate from it, the recordings win, and `strict=False` accepts them:

- a stream of 2025 without `sequence_number`, and streams without `logprobs` in text events and parts (one with null);
- responses without the keys that came later (`completed_at`, `prompt_cache_key`, ...), usage without
  `cache_write_tokens`; compatible servers leave out `tools`, `tool_choice`, `parallel_tool_calls` and usage details;
- an image done with status `generating`, and calls made by a program done with `in_progress`;
- `encrypted_content` and the `fingerprint` of a program are others in the last event than in `output_item.done`;
- `mcp_call.in_progress` comes twice.

Recorded as well, and accepted in both: `obfuscation` in deltas, a numbered `keepalive` event anywhere, `error` before
`response.failed` (the reference has it behind), `status` on a `custom_tool_call`, `content: []` on reasoning items, an
`encrypted_content` that is there when the item begins and is another one when it is done, a `tool_search_output` that
begins with its tools, and a `shell_call_output` that begins completed.

What the gateway sends is judged with `strict=True`, the default: everything that section 3.4 of the reference's
additions lists for typed clients has to be there.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.support.responses_fields import STATE_EVENTS
from tests.support.responses_framing import read_stream
from tests.support.responses_shapes import (
    annotation_faults,
    event_faults,
    item_faults,
    part_faults,
    response_faults,
)

Json = dict[str, Any]

TERMINAL = {f"response.{status}": status for status in ("completed", "incomplete", "failed")}
BEGINNINGS = {"response.created": "in_progress", "response.queued": "queued", "response.in_progress": "in_progress"}

# The family of an event: the type of its part, the key of its index, the key of the whole text.
PART_TEXTS = {
    "response.output_text": ("output_text", "content_index", "text"),
    "response.refusal": ("refusal", "content_index", "refusal"),
    "response.reasoning_text": ("reasoning_text", "content_index", "text"),
    "response.reasoning_summary_text": ("summary_text", "summary_index", "text"),
}
PART_ENDS = {"response.content_part": "content_index", "response.reasoning_summary_part": "summary_index"}
# The family of an event: the type of its item, the key of the whole text.
ITEM_TEXTS = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
    "response.mcp_call_arguments": ("mcp_call", "arguments"),
    "response.code_interpreter_call_code": ("code_interpreter_call", "code"),
}
PARTS_BY_ITEM = {
    ("message", "content_index"): ("output_text", "refusal"),
    ("reasoning", "content_index"): ("reasoning_text",),
    ("reasoning", "summary_index"): ("summary_text",),
}
LISTS = {"content_index": "content", "summary_index": "summary"}
# What is empty when an item begins.
EMPTY: dict[str, Json] = {
    "message": {"content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}
IN_THREE_STATES = ("web_search_call", "file_search_call")
# Sealed anew in each event by OpenAI, so that the same item has several.
VARYING = ("encrypted_content", "fingerprint")
IDENTITY = ("id", "type", "call_id", "name", "namespace", "role", "phase")


def stream_violations(raw: bytes, *, strict: bool = True) -> list[str]:
    """What is wrong with one stream, byte for byte as it came; empty if nothing is."""
    events, violations = read_stream(raw)
    return violations + event_violations(events, strict=strict)


def event_violations(events: list[Json], *, strict: bool = True) -> list[str]:
    """What is wrong with the events of one stream, the framing aside."""
    judge = _Judge(strict)
    for number, event in enumerate(events):
        judge.see(number, event)
    judge.end()
    return judge.violations


def response_violations(response: object, *, strict: bool = True) -> list[str]:
    """What is wrong with a whole Response object, as it is answered without a stream or retrieved."""
    violations = [*response_faults(response, "response", strict=strict)]
    if not violations and isinstance(response, dict) and response["status"] in ("completed", "incomplete"):
        for number, item in enumerate(response["output"]):
            violations += _end_faults(item, f"response.output[{number}]", strict=strict)
    return violations


@dataclass(slots=True)
class _Part:
    """A part of an item that has begun."""

    kind: str
    deltas: list[str] = field(default_factory=list)
    text: str | None = None
    annotations: list[Any] = field(default_factory=list)
    done: Json | None = None


@dataclass(slots=True)
class _Item:
    """An item that has begun."""

    begun: Json
    parts: dict[str, list[_Part]] = field(default_factory=lambda: {"content_index": [], "summary_index": []})
    deltas: list[str] = field(default_factory=list)
    text: str | None = None
    rank: int = -1

    @property
    def kind(self) -> str:
        return str(self.begun.get("type"))


class _Judge:
    """Sees the events of a stream one after another and notes what is wrong."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.violations: list[str] = []
        self.where = "stream"
        self.response: Json | None = None
        self.begun: set[str] = set()
        self.open: _Item | None = None
        self.items: list[Json] = []
        self.final: str | None = None
        self.error: Json | None = None

    def see(self, number: int, event: Json) -> None:
        kind = event["type"]
        self.where = f"event {number} {kind}"
        if (self.strict or "sequence_number" in event) and event.get("sequence_number") != number:
            self._note(f"sequence_number is {event.get('sequence_number')!r}, not {number}")
        if self.final is not None and not (kind == "error" and self.final == "failed" and self.error is None):
            self._note("after the end of the stream")
        if faults := [*event_faults(event, self.where, strict=self.strict)]:
            self.violations += faults
            return
        if kind == "error":
            self._see_error(event["error"])
        elif "response" in event:
            self._see_response(kind, event["response"])
        elif kind != "keepalive":
            self._see_item_event(kind, event)

    def end(self) -> None:
        self.where = "stream"
        if self.final is None and (self.strict or self.error is None):
            self._note("ends without response.completed, response.incomplete or response.failed")

    def _note(self, words: str) -> None:
        self.violations.append(f"{self.where}: {words}")

    def _check(self, holds: bool, words: str) -> None:
        if not holds:
            self._note(words)

    def _see_error(self, error: Json) -> None:
        self._check(self.error is None, "a second error")
        self.error = error
        if self.final == "failed" and self.response is not None:
            code = (self.response.get("error") or {}).get("code")
            self._check(error.get("code") == code, f"the code is not that of response.failed, {code!r}")

    def _see_response(self, kind: str, response: Json) -> None:
        faults = [*response_faults(response, f"{self.where}: response", strict=self.strict)]
        self.violations += faults
        self._check(
            (kind == "response.created") == (self.response is None), "response.created has to come first, and once"
        )
        for key in ("id", "created_at", "model"):
            known = (self.response or response).get(key)
            self._check(response.get(key) == known, f"`{key}` has become another one")
        self.response = response
        if kind in TERMINAL:
            self._see_end(TERMINAL[kind], response)
            return
        self.begun.add(kind)
        self._check(kind != "response.queued" or not self.items, "queued after it was begun")
        self._check(response.get("status") == BEGINNINGS[kind] or kind == "response.created", "another status")
        self._check(response.get("status") in ("in_progress", "queued"), "a status of the end")
        if kind != "response.in_progress":
            self._check(response.get("output") == [], "there is output already")

    def _see_end(self, status: str, response: Json) -> None:
        self.final = status
        self._check(response.get("status") == status, f"the status is {response.get('status')!r}")
        output = response.get("output") or []
        done = [self._comparable(item) for item in output[: len(self.items)]]
        self._check(done == [*map(self._comparable, self.items)], "`output` is not what the done items are")
        rest = output[len(self.items) :]
        if status != "failed":
            self._check(self.open is None, "an item is still open")
            self._check(not rest, "`output` has items that were not done")
        for item in rest:
            self._check(item.get("status") == "incomplete", "an item in `output` was not done and is not incomplete")
        if status == "completed" and self.strict:
            for item in self.items:
                self._check(item.get("status", "completed") != "incomplete", f"item {item.get('id')!r} is incomplete")
        if self.error is not None:
            code = (response.get("error") or {}).get("code")
            self._check(status == "failed" and code == self.error.get("code"), "not the failure of the error before")

    def _comparable(self, item: Json) -> Json:
        return item if self.strict else {key: value for key, value in item.items() if key not in VARYING}

    def _see_item_event(self, kind: str, event: Json) -> None:
        if self.strict and "response.in_progress" not in self.begun:
            self._note("before response.in_progress")
        if self.response is None:
            self._note("before response.created")
        if kind == "response.output_item.added":
            self._begin_item(event["output_index"], event["item"])
            return
        item = self.open
        if item is None or event["output_index"] != len(self.items):
            self._note(f"item {event['output_index']} is not open")
            return
        if kind == "response.output_item.done":
            self._end_item(item, event["item"])
            return
        if "item_id" in event:
            self._check(event["item_id"] == item.begun.get("id"), f"item_id is {event['item_id']!r}")
        family, _, step = kind.rpartition(".")
        if family in PART_ENDS:
            self._see_part(item, PART_ENDS[family], step, event)
        elif family in PART_TEXTS:
            self._see_part_text(item, family, step, event)
        elif family in ITEM_TEXTS:
            self._see_item_text(item, family, step, event)
        elif kind == "response.output_text.annotation.added":
            self._see_annotation(item, event)
        else:
            self._see_state(item, kind)

    def _begin_item(self, index: int, item: Json) -> None:
        self.violations += item_faults(item, f"{self.where}: item", strict=self.strict)
        self._check(self.open is None, "the item before is not done")
        self._check(index == len(self.items), f"output_index is {index}, not {len(self.items)}")
        kind = str(item.get("type"))
        for key, empty in EMPTY.get(kind, {}).items():
            self._check(item.get(key) == empty, f"`{key}` is not empty yet")
        if kind != "shell_call_output":
            self._check(item.get("status", "in_progress") == "in_progress", "the item does not begin in progress")
        if any(item.get("id") == done.get("id") for done in self.items):
            self._note(f"the id {item.get('id')!r} was given before")
        self.open = _Item(item)

    def _end_item(self, item: _Item, done: Json) -> None:
        self.violations += item_faults(done, f"{self.where}: item", strict=self.strict)
        for key in IDENTITY:
            if key == "phase" and key not in item.begun:
                # Whether a text was commentary can show later than its beginning.
                continue
            self._check(item.begun.get(key) == done.get(key), f"`{key}` is not what it was when the item began")
        self.violations += _end_faults(done, f"{self.where}: item", strict=self.strict)
        for key, parts in item.parts.items():
            self._check(all(part.done is not None for part in parts), f"a part by {key} is not done")
            if (item.kind, key) in PARTS_BY_ITEM:
                self._check(
                    (done.get(LISTS[key]) or []) == [part.done for part in parts], f"`{LISTS[key]}` is not its parts"
                )
        if self.strict and item.kind in IN_THREE_STATES and done.get("status") == "completed":
            self._check(item.rank == 2, "it is completed, and no event has said so")
        for kind, key in ITEM_TEXTS.values():
            if item.kind == kind and (self.strict or item.text is not None or item.deltas):
                self._check(done.get(key) == item.text, f"`{key}` is not what the .done event said")
        self.items.append(done)
        self.open = None

    def _see_part(self, item: _Item, key: str, step: str, event: Json) -> None:
        index, part, parts = event[key], event["part"], item.parts[key]
        allowed = PARTS_BY_ITEM.get((item.kind, key), ())
        self.violations += part_faults(part, allowed, f"{self.where}: part", strict=self.strict)
        if step == "added":
            self._check(index == len(parts), f"{key} is {index}, not {len(parts)}")
            self._check(all(before.done is not None for before in parts), "the part before is not done")
            self._check(not (part.get("text") or part.get("refusal") or part.get("annotations")), "it is not empty")
            parts.append(_Part(str(part.get("type"))))
            return
        begun = self._part(item, key, index)
        if begun is None:
            return
        self._check(part.get("type") == begun.kind, "it is of another type than when it began")
        self._check(begun.text is not None, "its text is not done")
        self._check(part.get("text", part.get("refusal")) == begun.text, "its text is not what the .done event said")
        if begun.kind == "output_text":
            self._check(part.get("annotations") == begun.annotations, "its annotations are not those of the events")
        begun.done = part

    def _part(self, item: _Item, key: str, index: int) -> _Part | None:
        parts = item.parts[key]
        if index != len(parts) - 1 or parts[index].done is not None:
            self._note(f"the part {index} by {key} is not open")
            return None
        return parts[index]

    def _see_part_text(self, item: _Item, family: str, step: str, event: Json) -> None:
        kind, key, whole = PART_TEXTS[family]
        part = self._part(item, key, event[key])
        if part is None:
            return
        self._check(part.kind == kind, f"the open part is {part.kind}")
        self._check(part.text is None, "its text is done already")
        if step == "delta":
            part.deltas.append(event["delta"])
            return
        part.text = event[whole]
        self._check(part.text == "".join(part.deltas), f"`{whole}` is not what the deltas add up to")

    def _see_item_text(self, item: _Item, family: str, step: str, event: Json) -> None:
        kind, whole = ITEM_TEXTS[family]
        self._check(item.kind == kind, f"the open item is {item.kind}")
        self._check(item.text is None, "its text is done already")
        if step == "delta":
            item.deltas.append(event["delta"])
            return
        item.text = event[whole]
        self._check(item.text == "".join(item.deltas), f"`{whole}` is not what the deltas add up to")

    def _see_annotation(self, item: _Item, event: Json) -> None:
        part = self._part(item, "content_index", event["content_index"])
        if part is None:
            return
        self._check(part.text is None, "its text is done already")
        self.violations += annotation_faults(event["annotation"], None, f"{self.where}: annotation")
        self._check(event["annotation_index"] == len(part.annotations), "annotation_index is not the next one")
        part.annotations.append(event["annotation"])

    def _see_state(self, item: _Item, kind: str) -> None:
        if kind in STATE_EVENTS:
            owner, rank = STATE_EVENTS[kind]
            self._check(item.kind == owner, f"the open item is {item.kind}")
            is_next = rank == item.rank + 1 if owner in IN_THREE_STATES else rank > item.rank
            self._check(is_next or not self.strict, "not the state that comes next")
            item.rank = rank
        elif kind.startswith("response.shell_call"):
            self._check(item.kind.startswith("shell_call"), f"the open item is {item.kind}")
        elif kind.startswith("response.image_generation_call"):
            self._check(item.kind == "image_generation_call", f"the open item is {item.kind}")


def _end_faults(item: Json, where: str, *, strict: bool) -> list[str]:
    """What is wrong with the status of an item that is over."""
    if "status" not in item or item["status"] in ("completed", "incomplete", "failed"):
        return []
    recorded = (item["type"] == "image_generation_call", "caller" in item)
    return [] if not strict and any(recorded) else [f"{where}: it is over with status {item['status']!r}"]
