"""Which tools the simulated model calls, and with which arguments."""

from __future__ import annotations

import re
from typing import Any

from gateway.demo.orders import Orders, without_orders
from gateway.demo.prompt import Prompt
from gateway.demo.samples import Words, sample, words_of
from gateway.demo.wire import CustomTool

_SEVERAL = re.compile(r"\b(both|parallel)\b", re.IGNORECASE)
_HINTS = ("weather", "tool")


def calls_for(prompt: Prompt, orders: Orders) -> list[tuple[str, dict[str, Any]]]:
    """The calls to make, as names and inputs; none if the answer is in words."""
    choice = prompt.request.tool_choice
    offered = prompt.own_tools
    if not offered or (choice and choice.type == "none"):
        return []
    goes_on = prompt.rounds < max(orders.tool_rounds, orders.interleave)
    if prompt.last_user_turn.results() and not prompt.forces_a_tool and not goes_on:
        return []
    text = without_orders(prompt.question)
    words = words_of(text)
    tools = _chosen(prompt, text)
    if goes_on and not tools:
        tools = [offered[prompt.rounds % len(offered)]]
    if choice and choice.disable_parallel_tool_use is True:
        tools = tools[:1]
    elif (orders.interleave or _SEVERAL.search(text)) and len(tools) == 1:
        allowed = tools if choice and choice.type == "tool" else offered
        tools = _several(tools[0], allowed, places=len(words.places))
    return [(tool.name, _input_of(tool, words.at(number))) for number, tool in enumerate(tools)]


def _chosen(prompt: Prompt, text: str) -> list[CustomTool]:
    """The tools named in the text, in its order; otherwise one, if the text suggests a call or a call is forced."""
    choice, offered = prompt.request.tool_choice, prompt.own_tools
    if choice and choice.type == "tool":
        return [tool for tool in offered if tool.name == choice.name]
    lowered = text.lower()
    named = sorted((place, number) for number, tool in enumerate(offered) if (place := _mention(tool, lowered)) >= 0)
    if named:
        return [offered[number] for _, number in named]
    hint = next((hint for hint in _HINTS if hint in lowered), None)
    if hint is None and not prompt.forces_a_tool:
        return []
    about = [tool for tool in offered if hint and hint in f"{tool.name} {tool.description}".lower()]
    return (about or offered)[:1]


def _mention(tool: CustomTool, lowered: str) -> int:
    """The position of a tool's name in a text, also with spaces for underscores; -1 if it is not there."""
    name = tool.name.lower()
    pattern = "|".join(re.escape(form) for form in (name, re.sub(r"[_-]+", " ", name)))
    match = re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", lowered)
    return match.start() if match else -1


def _several(tool: CustomTool, allowed: list[CustomTool], *, places: int) -> list[CustomTool]:
    """Turn one call into several: one for each place in the text, else with another tool, else the same call twice."""
    if places > 1:
        return [tool] * places
    others = [other for other in allowed if other is not tool]
    return [tool, others[0]] if others else [tool, tool]


def _input_of(tool: CustomTool, words: Words) -> dict[str, Any]:
    value = sample(tool.input_schema, words, everything=False)
    return value if isinstance(value, dict) else {}
