"""The demo's upstream with all rules plugged in."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.demo import Account, Reader, RunningUpstream, run_simulated_upstream
from gateway.demo.pieces import Piece
from gateway.demo.prompt import Prompt
from gateway.demo.reading import Headers
from tests.support.upstream_rules.binding import sealed_thoughts
from tests.support.upstream_rules.headers import api_version, betas
from tests.support.upstream_rules.threads import Threads
from tests.support.upstream_rules.validation import read_count_request, read_messages_request
from tests.support.upstream_rules.wire import MessagesRequest


class StrictReader(Reader):
    """Refuses what the Messages API refuses, verifies the thinking that it has signed, and stores threads."""

    def __init__(self) -> None:
        self._threads = Threads()

    def check_headers(self, headers: Headers) -> None:
        api_version(headers)

    def message(self, body: bytes, headers: Headers, account: Account) -> tuple[MessagesRequest, Prompt]:
        body = self._threads.whole(body, account, betas(headers))
        return read_messages_request(body, api_version(headers), betas(headers), account.organization_id)

    def count(self, body: bytes, headers: Headers, account: Account) -> Prompt:
        return read_count_request(body, api_version(headers), betas(headers), account.organization_id)

    def sign(self, pieces: list[Piece], prompt: Prompt, account: Account) -> list[Piece]:
        return sealed_thoughts(pieces, prompt, account.organization_id)

    def answered(self, body: bytes, headers: Headers, account: Account, answer: dict[str, Any]) -> None:
        self._threads.hold(self._threads.whole(body, account, betas(headers)), account, answer)


def run_strict_upstream(*, pace_seconds: float = 0) -> AbstractAsyncContextManager[RunningUpstream]:
    """Serve the strict double on a free port, until the block ends."""
    return run_simulated_upstream(pace_seconds=pace_seconds, reader=StrictReader())
