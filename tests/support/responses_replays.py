"""How clients send output items back, each in its own form; `tests/contract` compares them with installed clients."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, Any]
Replay: TypeAlias = Callable[[Item], Item]


def without(item: Item, *names: str) -> Item:
    return {name: value for name, value in item.items() if name not in names}


def as_given(item: Item) -> Item:
    """The SDK's own objects, and the Agents SDK; what is null is left out."""
    return {name: value for name, value in item.items() if value is not None}


def parsed_and_dumped(item: Item) -> Item:
    """What `responses.stream()` and `.parse()` have made of it, dumped: calls have a key that no server gave them."""
    if item["type"] != "function_call":
        return item
    return {**item, "parsed_arguments": json.loads(item["arguments"])}


def codex(item: Item) -> Item:
    """Reasoning loses its status and gets `content: null`, a search loses its sources."""
    if item["type"] == "reasoning":
        return {**without(item, "status"), "content": None}
    if item["type"] == "web_search_call":
        return {**item, "action": without(item["action"], "sources")}
    return item


def langchain(item: Item) -> Item:
    """Messages lose their status, and parts their `logprobs`."""
    if item["type"] != "message":
        return item
    parts = [without(part, "logprobs") for part in item["content"]]
    return {**without(item, "status"), "content": parts}


def langchain_streamed(item: Item) -> Item:
    """Calls lose their status as well, and reasoning keeps the one that it began with."""
    if item["type"] == "function_call":
        return without(item, "status")
    return {**item, "status": "in_progress"} if item["type"] == "reasoning" else langchain(item)


def ai_sdk_stored(item: Item) -> Item:
    """What is stored is only named, save for calls, which lose their id: without them a result would stand alone."""
    return _ai_sdk_call(item) if item["type"] == "function_call" else {"type": "item_reference", "id": item["id"]}


def ai_sdk_sealed(item: Item) -> Item:
    """With `store: false`: messages are texts in the easy form; reasoning is there only if it has a seal."""
    if item["type"] == "function_call":
        return _ai_sdk_call(item)
    if item["type"] == "reasoning":
        return without(item, "status")
    (part,) = item["content"]
    return {"role": "assistant", "content": part["text"], "phase": item["phase"]}


def _ai_sdk_call(item: Item) -> Item:
    # It parses the arguments and writes them again.
    arguments = json.dumps(json.loads(item["arguments"]), separators=(",", ":"), ensure_ascii=False)
    return {**without(item, "id", "status"), "arguments": arguments}


REPLAYS: tuple[Replay, ...] = (
    as_given,
    parsed_and_dumped,
    codex,
    langchain,
    langchain_streamed,
    ai_sdk_stored,
    ai_sdk_sealed,
)


def replayed(items: Iterable[Item], replay: Replay) -> list[Item]:
    """The items in the form of a client."""
    return [replay(item) for item in items]
