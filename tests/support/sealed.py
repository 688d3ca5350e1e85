"""Upstream's side of preserved thinking, without a network: seals what it thinks, and finds what is not as it was.

Section 13.3 of the Messages reference: a block is valid only in the account it comes from, and only if everything
before it (system, tools, earlier messages, thinking included) is unchanged. Cache marks are no part of that.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from gateway.doors.writing import Writer
from gateway.keypool import Account
from gateway.service.kept import KeptTurns
from gateway.service.lessons import Lessons
from tests.support.intents import read_intent
from tests.support.keeping import DictStore
from tests.support.messages import Block, message_events, sse
from translators.answers.answer import AnswerFold
from translators.chat.response import completion
from translators.hosts import HostProfile
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options
from translators.models import model_table

THINKING = ("thinking", "redacted_thinking")
Flat = list[tuple[str, str]]


def flat(body: bytes) -> Flat:
    """A request's blocks with their roles, without marks: what a cache and a signature are about."""
    request = json.loads(body)
    ground = [*(("tool", tool) for tool in request.get("tools", ())), *_blocks("system", request.get("system", []))]
    spoken = [pair for message in request["messages"] for pair in _blocks(message["role"], message["content"])]
    return [(role, json.dumps(_unmarked(block), sort_keys=True)) for role, block in (*ground, *spoken)]


def _blocks(role: str, content: Any) -> list[tuple[str, Any]]:
    if isinstance(content, str):
        return [(role, {"type": "text", "text": content})]
    return [(role, block) for block in content]


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(inner) for name, inner in value.items() if name != "cache_control"}
    return [_unmarked(item) for item in value] if isinstance(value, list) else value


def seal(before: Flat, account: str, shown: str = "") -> str:
    """The signature of a thought that comes after all this."""
    return blake2b(json.dumps([account, shown, before]).encode(), digest_size=12).hexdigest()


def broken_seals(body: bytes, account: str) -> list[str]:
    """The thoughts in a request that upstream would refuse."""
    blocks = flat(body)
    broken = []
    for index, (_, text) in enumerate(blocks):
        block = json.loads(text)
        if block.get("type") in THINKING:
            sealed = block.get("signature") or block.get("data")
            if sealed != seal(blocks[:index], account, block.get("thinking", "")):
                broken.append(text)
    return broken


def thoughts(body: bytes) -> list[str]:
    """The thoughts that go back with a request."""
    return [text for _, text in flat(body) if json.loads(text).get("type") in THINKING]


@dataclass
class Sealing:
    """A conversation through the translation and the memory, with an upstream that seals what it thinks."""

    model: str = "claude-sonnet-5-5"
    store: DictStore = field(default_factory=DictStore)
    memory: KeptTurns = field(init=False)
    bodies: list[bytes] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    adjusted: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = KeptTurns(self.store)

    def restart(self) -> None:
        """Another process over the same store."""
        self.memory = KeptTurns(self.store)

    def ask(
        self,
        chat: dict[str, Any],
        answer: Sequence[dict[str, Any]],
        *,
        account: str = "a",
        scope: bytes = b"me",
        stop_reason: str | None = None,
        options: Options | None = None,
    ) -> dict[str, Any]:
        """One request to a key of an account, and its answer of these blocks; gives what the client is shown."""
        request, writer = self.written(chat, account=account, scope=scope, options=options)
        self.bodies.append(request.body)
        self.adjusted.append(request.adjusted)
        self.broken += broken_seals(request.body, account)
        return self.answered(writer, request, answer, account=account, stop_reason=stop_reason)

    def written(
        self, chat: dict[str, Any], *, account: str = "a", scope: bytes = b"me", options: Options | None = None
    ) -> tuple[MessagesRequest, Writer]:
        """The request as it goes to a key of an account."""
        asked = read_intent(json.dumps(chat).encode())
        row = model_table().row(self.model)
        past = asyncio.run(self.memory.recollect(asked, scope, {self.model: row}))
        writer = Writer(asked, self.model, row, options or Options(), Lessons(), self.memory, past.get(self.model))
        is_home = writer.recollection.account is None or writer.recollection.account.organization == account
        return writer(HostProfile(), is_home), writer

    def answered(
        self,
        writer: Writer,
        request: MessagesRequest,
        answer: Sequence[dict[str, Any]],
        *,
        account: str = "a",
        stop_reason: str | None = None,
    ) -> dict[str, Any]:
        """What the client is shown of an answer, which is kept where it has to be."""
        blocks = self._sealed(request.body, answer, account)
        calls = any(block["type"] == "tool_use" for block in blocks)
        events = message_events(
            *map(_streamed, blocks), stop_reason=stop_reason or ("tool_use" if calls else "end_turn")
        )
        fold = AnswerFold(request.shape)
        fold.feed(sse(*events))
        if request.origin is not None:
            asyncio.run(self.memory.keep(request.origin, fold, Account(account, account.encode())))
        shown: dict[str, Any] = json.loads(completion([(fold, request.shape)], fold.usage, created=0))
        message: dict[str, Any] = shown["choices"][0]["message"]
        return message

    def _sealed(self, body: bytes, answer: Sequence[dict[str, Any]], account: str) -> list[dict[str, Any]]:
        before = flat(body)
        blocks: list[dict[str, Any]] = []
        for block in answer:
            block = dict(block)
            if block["type"] == "thinking":
                block["signature"] = seal(before, account, block["thinking"])
            elif block["type"] == "redacted_thinking":
                block["data"] = seal(before, account)
            blocks.append(block)
            before.append(("assistant", json.dumps(block, sort_keys=True)))
        return blocks


def _streamed(block: dict[str, Any]) -> Block:
    """A block as upstream streams it."""
    if block["type"] == "text":
        return Block({"type": "text", "text": ""}, [{"type": "text_delta", "text": block["text"]}])
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block["thinking"] else []
        start = {"type": "thinking", "thinking": "", "signature": ""}
        return Block(start, [*deltas, {"type": "signature_delta", "signature": block["signature"]}])
    if block["type"] in ("tool_use", "server_tool_use"):
        written = json.dumps(block["input"])
        pieces = ["", written[: len(written) // 2], written[len(written) // 2 :]]
        return Block({**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces])
    return Block(block, [])
