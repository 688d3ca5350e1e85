"""Threads: conversations that the simulated upstream stores for a workspace, by the ids of its answers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from gateway.demo.credentials import Account
from gateway.demo.errors import MessagesError, invalid

_KEPT = 100
_BETA = "message-threads-"
# Fields that come from the thread, and must not be sent again.
_CREATE_ONLY = ("system", "tools")


class Threads:
    """The latest threads; each message can be continued once, and only in its workspace."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Account, str], dict[str, Any]] = OrderedDict()
        self._continued: OrderedDict[tuple[Account, str], None] = OrderedDict()

    def whole(self, body: bytes, account: Account, betas: list[str]) -> bytes:
        """The body with the conversation that it continues; raises `MessagesError` if that is not stored here."""
        asked = _object(body)
        thread = asked.get("thread")
        if not isinstance(thread, dict) or not any(beta.startswith(_BETA) for beta in betas):
            return body
        if thread.get("type") != "continue":
            return body
        key = (account, str(thread.get("previous_message_id")))
        if key in self._continued:
            raise invalid("The message was continued before.", error_code="thread_already_continued")
        if (held := self._held.get(key)) is None:
            raise MessagesError(404, "The thread was not found.", error_code="thread_not_found")
        if given := [name for name in _CREATE_ONLY if name in asked]:
            raise invalid(f"{given[0]}: may not be given when a thread is continued.")
        return msgspec.json.encode(asked | held | {"messages": [*held["messages"], *asked["messages"]]})

    def hold(self, body: bytes, account: Account, answer: dict[str, Any]) -> None:
        """Store the conversation up to this answer, if the request asks for it."""
        asked = _object(body)
        thread = asked.get("thread")
        if not isinstance(thread, dict):
            return
        messages = [*asked["messages"], {"role": "assistant", "content": answer["content"]}]
        kept = {name: asked[name] for name in _CREATE_ONLY if name in asked}
        self._held[account, answer["id"]] = {**kept, "messages": messages}
        if thread.get("type") == "continue":
            self._continued[account, thread["previous_message_id"]] = None
        for kept_ones in (self._held, self._continued):
            while len(kept_ones) > _KEPT:
                kept_ones.popitem(last=False)


def _object(body: bytes) -> dict[str, Any]:
    if b'"thread"' not in body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        # The validation of the whole body reports what is wrong with it.
        return {}
    return found if isinstance(found, dict) else {}
