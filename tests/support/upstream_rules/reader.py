"""The demo's upstream with all rules plugged in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.demo import Account, Reader, RunningUpstream, run_simulated_upstream
from gateway.demo.pieces import Piece
from gateway.demo.prompt import Prompt
from gateway.demo.reading import Headers
from gateway.demo.responses import ordered_error
from tests.support.upstream_rules.binding import sealed_thoughts
from tests.support.upstream_rules.compaction import compaction_for
from tests.support.upstream_rules.headers import api_version, betas
from tests.support.upstream_rules.threads import Threads
from tests.support.upstream_rules.validation import read_count_request, read_messages_request
from tests.support.upstream_rules.wire import MessagesRequest


class StrictReader(Reader):
    """Refuses what the Messages API refuses, verifies the thinking that it has signed, and stores threads."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self._threads = Threads()

    def check_headers(self, headers: Headers) -> None:
        api_version(headers)

    def message(self, body: bytes, headers: Headers, account: Account) -> tuple[MessagesRequest, Prompt]:
        if status := self.failing.get(account.organization_id) or self.failing.get(account.workspace_id):
            raise ordered_error(status)
        body = self._threads.whole(body, account, betas(headers))
        return read_messages_request(body, api_version(headers), betas(headers), account.organization_id)

    def count(self, body: bytes, headers: Headers, account: Account) -> Prompt:
        return read_count_request(body, api_version(headers), betas(headers), account.organization_id)

    def sign(self, pieces: list[Piece], prompt: Prompt, account: Account) -> list[Piece]:
        summary = compaction_for(prompt, account.organization_id)
        return sealed_thoughts([*([summary] if summary else []), *pieces], prompt, account.organization_id)

    def answered(self, body: bytes, headers: Headers, account: Account, answer: dict[str, Any]) -> None:
        self._threads.hold(self._threads.whole(body, account, betas(headers)), account, answer)


@dataclass(frozen=True, slots=True)
class StrictUpstream(RunningUpstream):
    """An organization or a workspace whose id is in `failing` gets only answers with that status to its messages."""

    failing: dict[str, int]


@asynccontextmanager
async def run_strict_upstream(*, pace_seconds: float = 0) -> AsyncIterator[StrictUpstream]:
    """Serve the strict double on a free port, until the block ends."""
    reader = StrictReader()
    async with run_simulated_upstream(pace_seconds=pace_seconds, reader=reader) as running:
        yield StrictUpstream(running.base_url, running.received, reader.failing)
