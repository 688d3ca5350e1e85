"""Gateways that are killed in the middle of load, and what their ledger has then.

`python -m tests.scenarios.killing 50` kills fifty times; the suite does it a few times.
"""

import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import httpx2

from tests.scenarios.harness import PATH, asking
from tests.support import messages
from tests.support.commands import started
from tests.support.ledgers import table
from tests.support.scripted import (
    Answer,
    ReceivedRequest,
    ScriptedUpstream,
    json_answer,
    scripted_upstream,
    stream_answer,
)

Who: TypeAlias = Literal["gateway", "worker", "parent"]
WHO: Final[tuple[Who, ...]] = ("gateway", "worker", "parent")
# What was answered so long before its process died has to be in the ledger.
SETTLED_SECONDS: Final = 1.0
# A client may have read an answer after the kill that was sent before.
_READING_SECONDS: Final = 0.2
_CLIENTS: Final = 8


@dataclass
class Load:
    """What clients have been answered: for each request, named by its input tokens, when its answer was complete."""

    answered: dict[int, float] = field(default_factory=dict)
    asked: int = 0
    _stops: bool = False

    def answer(self, request: ReceivedRequest) -> Answer:
        """An answer whose tokens say which request it is for."""
        number = int(request.json["messages"][0]["content"])
        usage = {"input_tokens": number, "output_tokens": output_of(number)}
        if request.json.get("stream"):
            return stream_answer(*messages.text_stream(usage=usage))
        return json_answer(200, messages.message(usage=usage))

    @asynccontextmanager
    async def running(self, url: str) -> AsyncIterator[None]:
        """Clients that ask one request after another, until the block ends."""
        self._stops = False
        clients = [asyncio.create_task(self._ask(url)) for _ in range(_CLIENTS)]
        try:
            yield
        finally:
            self._stops = True
            await asyncio.gather(*clients)

    async def _ask(self, url: str) -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            while not self._stops:
                self.asked += 1
                number = self.asked
                is_stream = bool(number % 2)
                try:
                    response = await client.post(PATH, json=asking(str(number), stream=is_stream))
                except httpx2.TransportError:
                    # It was killed; another one may take its place.
                    await asyncio.sleep(0.01)
                    continue
                if response.status_code == 200 and (not is_stream or "[DONE]" in response.text):
                    self.answered[number] = time.time()


def output_of(number: int) -> int:
    """The output tokens of a request's answer."""
    return number % 97 + 1


def config_for_kills(upstream: ScriptedUpstream, file: Path, who: Who) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment of a gateway with this ledger, with workers if one of them is to be killed."""
    config = file.with_name("dragoman.yaml")
    config.write_text(f"accounts: {{path: {file}}}\nstore: {{kind: memory}}\nlog: {{level: warning}}\n")
    environment = {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": upstream.base_url}
    return ["--config", str(config), *(() if who == "gateway" else ("--workers", "2"))], environment


def children_of(parent: int) -> list[int]:
    """The processes that a process has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii").split()]


def sums_agree(file: Path) -> None:
    """Each row has what upstream has told, and counts its request; sums by hour and by day are those of the rows."""
    rows = table(file)
    assert all(row["output"] == output_of(row["input"]) and row["requests"] == 1 for row in rows)
    for name in ("hours", "days"):
        sums = table(file, name)
        for column in ("requests", "input", "output", "cost"):
            assert sum(row[column] for row in sums) == sum(row[column] for row in rows), (name, column)
        assert sum(row["attempts"] for row in sums) == len(rows), name


async def _killed(upstream: ScriptedUpstream, file: Path, who: Who, load: Load) -> float:
    """Serve under load for a while, kill a process, and end the others; gives the time of the kill."""
    arguments, environment = config_for_kills(upstream, file, who)
    async with started("serve", *arguments, **environment) as running:
        pid = running.process.pid
        async with load.running(running.url):
            await asyncio.sleep(random.uniform(1.5, 2.5))
            os.kill(random.choice(children_of(pid)) if who == "worker" else pid, signal.SIGKILL)
            killed_at = time.time()
            if who == "worker":
                # The other one goes on, and a new one takes the place.
                await asyncio.sleep(2)
        if who == "worker":
            running.process.send_signal(signal.SIGTERM)
        await running.end()
    return killed_at


def _check(file: Path, load: Load, dead: list[float]) -> str:
    """What was answered within a second before a kill may be missing; all else is there, once, with its tokens."""
    found = Counter(row["input"] for row in table(file))
    assert {number: count for number, count in found.items() if count > 1} == {}, "something is there twice"
    missing = {number: at for number, at in load.answered.items() if number not in found}
    ages = [
        min((kill - at for kill in dead if kill + _READING_SECONDS >= at), default=float("inf"))
        for at in missing.values()
    ]
    assert max(ages, default=0.0) <= SETTLED_SECONDS, f"missing after {max(ages):.3f} s"
    sums_agree(file)
    oldest = f", the oldest answered {max(ages) * 1000:.0f} ms before a kill" if ages else ""
    return f"{len(load.answered)} answered, {len(found)} rows, {len(missing)} missing{oldest}"


async def main(times: int, say: Callable[[str], None]) -> None:
    """Kill so many times, each kind of process in turn, with one ledger, and check it after each."""
    load, dead = Load(), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "accounts.db")
        async with scripted_upstream() as upstream:
            upstream.always(load.answer)
            for number in range(times):
                who = WHO[number % len(WHO)]
                dead.append(await _killed(upstream, file, who, load))
                say(f"kill {number + 1:3} of {who:7}: {_check(file, load, dead)}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, print))
