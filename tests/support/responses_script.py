"""Answers of the Responses API as scripts: the finished items are written down, the events are made from them.

Own construction by the reference; `tests/support/responses_grammar.py` is what says that they are right.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.support.scripted import Answer, json_answer, stream_answer

Item = dict[str, Any]
Event = dict[str, Any]

USAGE: dict[str, Any] = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 18,
}
# What a response repeats of its request, and what it says where the request is silent.
ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "claude-sonnet-5-5",
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def reasoning(number: int, *texts: str, sealed: str | None = None) -> Item:
    """A reasoning item whose summary has these parts."""
    summary = [{"type": "summary_text", "text": text} for text in texts]
    item = {"type": "reasoning", "id": f"rs_{number}", "summary": summary, "status": "completed"}
    return item | ({} if sealed is None else {"encrypted_content": sealed})


def message(number: int, *parts: str | Item, phase: str = "final_answer") -> Item:
    """A message of texts, or of whole parts."""
    content = [output_text(part) if isinstance(part, str) else part for part in parts]
    said = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "phase": phase}
    return said | {"content": content}


def output_text(text: str, *annotations: Item) -> Item:
    """A part of a message."""
    return {"type": "output_text", "text": text, "annotations": [*annotations], "logprobs": []}


def refusal(text: str) -> Item:
    """A part of a message that says no."""
    return {"type": "refusal", "refusal": text}


def url_citation(url: str, start: int, end: int) -> Item:
    """An annotation of a text."""
    return {"type": "url_citation", "url": url, "title": "A page", "start_index": start, "end_index": end}


def function_call(number: int, name: str, arguments: Any, **more: str) -> Item:
    """A call of a function; arguments that are no text become JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name}
    return call | {"arguments": text, "status": "completed"} | more


def custom_tool_call(number: int, name: str, text: str) -> Item:
    """A call of a custom tool."""
    return {"type": "custom_tool_call", "id": f"ctc_{number}", "call_id": f"call_{number}", "name": name, "input": text}


def web_search_call(number: int, query: str) -> Item:
    """A search that the server has made."""
    action = {"type": "search", "query": query, "sources": [{"type": "url", "url": "https://example.org/"}]}
    return {"type": "web_search_call", "id": f"ws_{number}", "status": "completed", "action": action}


def compaction(number: int, sealed: str) -> Item:
    """A conversation made shorter."""
    return {"type": "compaction", "id": f"cmp_{number}", "encrypted_content": sealed}


def response(
    *items: Item, request: Event | None = None, response_id: str = "resp_1", status: str = "completed", **more: Any
) -> Event:
    """A whole response object that repeats the request's settings."""
    asked = {name: value for name, value in (request or {}).items() if value is not None}
    is_over = status == "completed"
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1_700_000_000,
        "completed_at": 1_700_000_001 if is_over else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "service_tier": "default",
        **{name: asked.get(name, value) for name, value in ECHOED.items()},
        "output": [*items],
        "usage": USAGE if status in ("completed", "incomplete") else None,
        **more,
    }


def stream(
    *items: Item, end: str = "completed", request: Event | None = None, response_id: str = "resp_1", **more: Any
) -> list[Event]:
    """The events of a whole stream, numbered; `more` goes into the response of the last one."""
    begun = response(request=request, response_id=response_id, status="in_progress")
    events: list[Event] = [{"type": f"response.{name}", "response": begun} for name in ("created", "in_progress")]
    for index, item in enumerate(items):
        events += [event | {"output_index": index} for event in item_events(item)]
    final = response(*items, request=request, response_id=response_id, status=end, **more)
    return numbered([*events, {"type": f"response.{end}", "response": final}])


def failed_stream(code: str, message: str, request: Event | None = None, *items: Item) -> list[Event]:
    """A stream that fails after it has begun: `response.failed`, then the nested `error` event."""
    error = {"code": code, "message": message}
    events = stream(*items, end="failed", request=request, error=error)
    return numbered([*events, {"type": "error", "error": {"type": "server_error", "param": None, **error}}])


def numbered(events: Sequence[Event]) -> list[Event]:
    """The events with sequence numbers from 0."""
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def framed(event: Event) -> bytes:
    """An event as it goes over the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def answered(request: Event, *items: Item, response_id: str = "resp_1") -> Answer:
    """The answer to a request, streamed or whole as it asks."""
    if not request.get("stream"):
        return json_answer(200, response(*items, request=request, response_id=response_id))
    return stream_answer(*map(framed, stream(*items, request=request, response_id=response_id)))


def item_events(item: Item) -> Iterator[Event]:
    """What is streamed of one item, without the indices and numbers."""
    kind = item["type"]
    yield {"type": "response.output_item.added", "item": item | _EMPTY.get(kind, {})}
    for event in _BETWEEN.get(kind, _nothing)(item):
        yield event | {"item_id": item["id"]}
    yield {"type": "response.output_item.done", "item": item}


def halves(text: str) -> list[str]:
    """A text in two deltas."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def _nothing(_: Item) -> Iterator[Event]:
    return iter(())


def _text_events(name: str, text: str, key: str, place: Event, extra: Event) -> Iterator[Event]:
    for delta in halves(text):
        yield {"type": f"response.{name}.delta", "delta": delta} | place | extra
    yield {"type": f"response.{name}.done", key: text} | place | extra


def _reasoning_events(item: Item) -> Iterator[Event]:
    for index, part in enumerate(item["summary"]):
        place = {"summary_index": index}
        part_event = {"type": "response.reasoning_summary_part"} | place
        yield part_event | {"type": "response.reasoning_summary_part.added", "part": part | {"text": ""}}
        yield from _text_events("reasoning_summary_text", part["text"], "text", place, {})
        yield part_event | {"type": "response.reasoning_summary_part.done", "part": part}


def _message_events(item: Item) -> Iterator[Event]:
    for index, part in enumerate(item["content"]):
        place = {"content_index": index}
        is_text = part["type"] == "output_text"
        empty = {"text": "", "annotations": []} if is_text else {"refusal": ""}
        yield {"type": "response.content_part.added", "part": part | empty} | place
        name, key = ("output_text", "text") if is_text else ("refusal", "refusal")
        *deltas, done = _text_events(name, part[key], key, place, {"logprobs": []} if is_text else {})
        yield from deltas
        for number, annotation in enumerate(part.get("annotations", ())):
            added = {"type": "response.output_text.annotation.added", "annotation": annotation}
            yield added | {"annotation_index": number} | place
        yield done
        yield {"type": "response.content_part.done", "part": part} | place


def _function_call_events(item: Item) -> Iterator[Event]:
    return _text_events("function_call_arguments", item["arguments"], "arguments", {}, {})


def _custom_call_events(item: Item) -> Iterator[Event]:
    return _text_events("custom_tool_call_input", item["input"], "input", {}, {})


def _search_events(_: Item) -> Iterator[Event]:
    for state in ("in_progress", "searching", "completed"):
        yield {"type": f"response.web_search_call.{state}"}


_EMPTY: dict[str, Item] = {
    "reasoning": {"summary": [], "status": "in_progress"},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
    "custom_tool_call": {"input": ""},
    "web_search_call": {"status": "in_progress"},
}
_BETWEEN: dict[str, Callable[[Item], Iterator[Event]]] = {
    "reasoning": _reasoning_events,
    "message": _message_events,
    "function_call": _function_call_events,
    "custom_tool_call": _custom_call_events,
    "web_search_call": _search_events,
}
