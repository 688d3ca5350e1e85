"""Conversations with tools as applications hold them over chat completions, and gateways that keep their thinking."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessage

from gateway.config import Config, StoreConfig, load_config
from tests.support.gateway import RunningGateway, running_gateway, with_settings

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string"}},
                "required": [argument],
                "additionalProperties": False,
            },
        },
    }
    for name, description, argument in (
        ("get_weather", "The weather in a city.", "city"),
        ("get_time", "The time in a place.", "place"),
        ("get_news", "What is new about a subject.", "subject"),
    )
]
QUESTIONS = (
    "[[tools 4]] Look around in Rome, please.",
    "[[tools 3]] [[redact]] And now in Paris.",
    "[[tools 3]] [[interleave]] At last in Oslo.",
)
"""What makes the simulated upstream call tools in ten answers, and answer three times in words."""
ROUNDS = 10

Form = Callable[[ChatCompletionMessage], Any]


def as_it_came(message: ChatCompletionMessage) -> Any:
    """The message that the SDK returned."""
    return message


def dumped(message: ChatCompletionMessage) -> Any:
    """All that the SDK knows of it."""
    return message.model_dump()


def hand_built(message: ChatCompletionMessage) -> Any:
    """What an application keeps that only knows OpenAI's documentation."""
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls or []
        if call.type == "function"
    ]
    return {"role": "assistant", "content": message.content, **({"tool_calls": calls} if calls else {})}


FORMS: tuple[Form, ...] = (as_it_came, dumped, hand_built)


@dataclass(slots=True)
class Loop:
    """One conversation in the usual loop: ask, append the message, append the results of tools, ask again.

    `rewrite` makes what is sent of all messages, for clients that keep them otherwise.
    """

    model: str
    form: Form = as_it_came
    stream: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=lambda: [{"role": "system", "content": "Speak like a guide."}])
    rounds: int = 0
    rewrite: Callable[[list[Any]], list[Any]] | None = None
    _questions: list[str] = field(default_factory=lambda: [*QUESTIONS])
    _in_turn: bool = False

    @property
    def is_over(self) -> bool:
        """Whether all questions were answered."""
        return not self._questions and not self._in_turn

    async def go_on(self, client: AsyncOpenAI, rounds: int = ROUNDS + 1) -> None:
        """Ask until tools have been called in so many more answers, or all questions have been answered."""
        goal = self.rounds + rounds
        while self.rounds < goal and not self.is_over:
            await self.step(client)

    async def step(self, client: AsyncOpenAI) -> None:
        """One request, with the next question where the last one was answered; the results of its calls follow it."""
        if not self._in_turn:
            self.messages.append({"role": "user", "content": self._questions.pop(0)})
        message = await self._answer(client)
        self.messages.append(self.form(message))
        calls = [call for call in message.tool_calls or [] if call.type == "function"]
        for call in calls:
            assert json.loads(call.function.arguments)
            content = f"{call.function.name} knows {len(self.messages)} things"
            self.messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        self._in_turn = bool(calls)
        self.rounds += bool(calls)

    async def _answer(self, client: AsyncOpenAI) -> ChatCompletionMessage:
        messages = self.rewrite(self.messages) if self.rewrite else self.messages
        asked: dict[str, Any] = {"model": self.model, "messages": messages, "tools": TOOLS, **self.options}
        if not self.stream:
            completion: ChatCompletion = await client.chat.completions.create(**asked)
            return completion.choices[0].message
        async with client.chat.completions.stream(**asked) as stream:
            return (await stream.get_final_completion()).choices[0].message


def keeping(folder: Path, base_url: str, *api_keys: str, log_level: str = "error") -> Path:
    """The configuration file of a gateway over these keys that keeps thinking in this folder."""
    sections = {
        "server": {"port": 0, "shutdown_grace_seconds": 5},
        "keys": [
            {"name": f"key-{number}", "api_key": api_key, "base_url": base_url}
            for number, api_key in enumerate(api_keys or ["sk-ant-demo-acme-eu-1"])
        ],
        "log": {"level": log_level},
        "store": {"kind": "sqlite", "path": str(folder / "store.db")},
    }
    file = folder / "config.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(sections), "utf-8")
    return file


def config_of(file: Path) -> Config:
    """What the gateway makes of a configuration file."""
    return load_config(str(file), {})


def forgetful_config_of(file: Path) -> Config:
    """The same without kept turns, which are forgotten at once: what comes back has come from the client, or by id."""
    config = config_of(file)
    return with_settings(config, store=replace(config.store, keep_seconds=0.001))


@asynccontextmanager
async def gateway_in_virtual_time(folder: Path, base_url: str, *api_keys: str) -> AsyncIterator[RunningGateway]:
    """A gateway over these keys that goes by the loop's clock; it keeps thinking in memory, which needs no thread."""
    config = with_settings(config_of(keeping(folder, base_url, *api_keys)), store=StoreConfig(kind="memory"))
    async with running_gateway(config=config) as running:
        running.gateway.services.dispatcher.clock = asyncio.get_running_loop().time
        yield running


def forget(folder: Path) -> None:
    """Delete what a gateway, stopped by now, has kept."""
    kept = [*folder.glob("store.db*")]
    assert kept, "nothing was kept"
    for file in kept:
        file.unlink()


def names_of(values: Sequence[object]) -> list[str]:
    """The values as they are called in a test's id."""
    return [getattr(value, "__name__", str(value)) for value in values]
