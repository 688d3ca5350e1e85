"""A process that is killed in the middle of load takes no row with it that was written, and none is there twice."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.scenarios.harness import until
from tests.scenarios.killing import Load, Who, children_of, config_for_kills, sums_agree
from tests.support.commands import started
from tests.support.ledgers import table
from tests.support.scripted import ScriptedUpstream

IN_A_PHASE = 30


async def more_answers(load: Load, count: int) -> None:
    """Wait until so many more requests are answered."""
    before = len(load.answered)
    await until(lambda: len(load.answered) >= before + count)


def numbers(file: Path) -> Counter[int]:
    """How often the ledger has the row of each request."""
    return Counter(row["input"] for row in table(file))


@pytest.mark.parametrize("who", ["gateway", "worker", "parent"])
async def test_what_was_written_outlives_a_kill_and_is_there_once(
    upstream: ScriptedUpstream, tmp_path: Path, who: Who
) -> None:
    load, file = Load(), tmp_path / "accounts.db"
    upstream.always(load.answer)
    arguments, environment = config_for_kills(upstream, file, who)
    async with started("serve", *arguments, **environment) as running:
        async with load.running(running.url):
            await more_answers(load, IN_A_PHASE)
        first = set(load.answered)
        # All of it is written while the gateway runs, without another request.
        await until(lambda: first <= set(numbers(file)))
        async with load.running(running.url):
            await more_answers(load, IN_A_PHASE)
            pid = running.process.pid
            os.kill(children_of(pid)[0] if who == "worker" else pid, signal.SIGKILL)
            if who == "worker":
                await more_answers(load, IN_A_PHASE)
        if who == "worker":
            running.process.send_signal(signal.SIGTERM)
        await running.end()
    async with started("serve", *arguments, **environment) as running:
        before = set(load.answered)
        async with load.running(running.url):
            await more_answers(load, 10)
        last = set(load.answered) - before
        running.process.send_signal(signal.SIGTERM)
        await running.end()

    found = numbers(file)
    assert max(found.values()) == 1
    assert first <= set(found)
    # An orderly end writes everything.
    assert last <= set(found)
    assert set(found) <= set(range(1, load.asked + 1))
    sums_agree(file)
