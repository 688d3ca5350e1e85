"""How clients send a conversation back: the shapes of frameworks that write turns otherwise than they were given."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]
Shape: TypeAlias = Callable[[list[Message]], list[Message]]


def plain(message: Message) -> Message:
    return {name: message[name] for name in ("role", "content", "tool_calls", "tool_call_id") if name in message}


def each(change: Callable[[Message], Message]) -> Shape:
    return lambda history: [change(plain(message)) for message in history]


def crewai(message: Message) -> Message:
    """The text beside calls is not kept."""
    return {**message, "content": None} if message.get("tool_calls") else message


def semantic_kernel(message: Message) -> Message:
    """There is no content beside calls; results are parts of text."""
    if message.get("tool_calls"):
        return {name: value for name, value in message.items() if name != "content"}
    if message["role"] == "tool":
        return {**message, "content": [{"type": "text", "text": message["content"]}]}
    return message


def langchain(message: Message) -> Message:
    """An empty text beside calls."""
    return {**message, "content": ""} if message.get("tool_calls") else message


def _mastra(history: list[Message], *, grows: bool) -> list[Message]:
    written: list[Message] = []
    earlier = ""
    for message in map(plain, history):
        if message["role"] == "assistant":
            words = message["content"] or ""
            if grows or not words:
                message = {**message, "content": earlier + words}
            earlier = message["content"]
        written.append(message)
    return written


def mastra(history: list[Message]) -> list[Message]:
    """A turn without text of its own has that of the turn before."""
    return _mastra(history, grows=False)


def growing(history: list[Message]) -> list[Message]:
    """A turn has the texts of all before it as well."""
    return _mastra(history, grows=True)


def _respelled(call_id: str, salt: str = "") -> str:
    return f"call_{sha256((salt + call_id).encode()).hexdigest()[:24]}"


def agno(message: Message, salt: str = "") -> Message:
    """Ids are made anew from those that were given, for calls and results alike."""
    if calls := message.get("tool_calls"):
        return {**message, "tool_calls": [{**call, "id": _respelled(call["id"], salt)} for call in calls]}
    if message["role"] == "tool":
        return {**message, "tool_call_id": _respelled(message["tool_call_id"], salt)}
    return message


def ever_new_ids(history: list[Message]) -> list[Message]:
    """Ids are others in each request."""
    return [agno(plain(message), str(len(history))) for message in history]


def php(message: Message) -> Message:
    """A call without arguments has an empty list of them."""

    def written(call: dict[str, Any], number: int) -> dict[str, Any]:
        if json.loads(call["function"]["arguments"]) != {}:
            return call
        return {**call, "function": {**call["function"], "arguments": ("[]", "null", "", None)[number % 4]}}

    calls = message.get("tool_calls")
    return {**message, "tool_calls": [written(call, n) for n, call in enumerate(calls)]} if calls else message


SHAPES: dict[str, Shape] = {
    "crewai": each(crewai),
    "semantic-kernel": each(semantic_kernel),
    "langchain": each(langchain),
    "mastra": mastra,
    "growing": growing,
    "agno": each(agno),
    "ever-new-ids": ever_new_ids,
    "agno-without-texts": each(lambda message: agno(crewai(message))),
    "php": each(php),
}


def merged(history: list[Message]) -> list[Message]:
    """All calls of a turn of the user's are in one message, and all their results behind it."""
    written: list[Message] = []
    results: list[Message] = []
    for message in map(plain, history):
        if message["role"] == "tool":
            results.append(message)
        elif message["role"] == "assistant" and written[-1]["role"] == "assistant":
            calls = [*written[-1]["tool_calls"], *message["tool_calls"]]
            words = (written[-1]["content"] or "") + (message["content"] or "")
            written[-1] = {"role": "assistant", "content": words, "tool_calls": calls}
        else:
            written.append(message)
    return [*written, *results]


def changed(history: list[Message]) -> list[Message]:
    """Other ids, and other arguments."""
    return [
        {**message, "tool_calls": [{**call, "function": {"name": "look", "arguments": '{"at":"x"}'}} for call in calls]}
        if (calls := message.get("tool_calls"))
        else message
        for message in map(agno, map(plain, history))
    ]
