"""Reading requests: what the simulated upstream refuses, and what it remembers of what it has answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.demo.credentials import Account
from gateway.demo.errors import invalid
from gateway.demo.pieces import Piece
from gateway.demo.prompt import Prompt, read_prompt
from gateway.demo.reply import signed
from gateway.demo.wire import CountRequest, MessagesRequest, decode

Headers = Mapping[str, str]


class Reader:
    """The demo's own reader refuses only what it cannot answer.

    The project's tests replace it with one that enforces the rules of the Messages API. Every method that reads raises
    `MessagesError`.
    """

    def check_headers(self, headers: Headers) -> None:
        """Check the headers of a request without a body."""

    def message(self, body: bytes, headers: Headers, account: Account) -> tuple[MessagesRequest, Prompt]:
        """Read the body of `POST /v1/messages`."""
        request = decode(body, MessagesRequest)
        prompt = read_prompt(request)
        limit = prompt.model.max_output
        if not 0 <= request.max_tokens <= limit:
            raise invalid(f"max_tokens: Input should be between 0 and {limit} for {prompt.model.id}")
        return request, prompt

    def count(self, body: bytes, headers: Headers, account: Account) -> Prompt:
        """Read the body of `POST /v1/messages/count_tokens`."""
        return read_prompt(decode(body, CountRequest))

    def sign(self, pieces: list[Piece], prompt: Prompt, account: Account) -> list[Piece]:
        """Sign the thinking of an answer."""
        return signed(pieces, prompt)

    def answered(self, body: bytes, headers: Headers, account: Account, answer: dict[str, Any]) -> None:
        """Remember the answer to a request that was read."""
