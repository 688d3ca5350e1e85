"""One view of all workers: who answers, who is missing, and counts that never go back, whoever dies."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from gateway.workers.channel import ParentsEnd
from gateway.workers.gathering import Gathering, Showing
from gateway.workers.process import Worker
from gateway.workers.talk import Talk
from gateway.workers.tallies import Tally
from gateway.workers.views import Seen, View, Views

# How long the parent waits for a worker that says nothing.
SHORT_SECONDS = 0.05


@dataclass
class Member:
    """One worker: what it shows, and the parent's idea of it."""

    worker: Worker
    views: Views
    showing: Showing
    talk: Talk
    counts: Tally = field(default_factory=dict)
    value: int = 0

    async def see(self) -> Seen:
        return await self.views.see("open")


@dataclass
class Family:
    """A parent with workers, all in this process, over real sockets."""

    count: int
    workers: list[Worker] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gathering = Gathering(self.workers, SHORT_SECONDS)

    async def join(self, number: int) -> Member:
        ours, theirs = socket.socketpair()
        channel, other = socket.socketpair()
        other.close()
        worker = Worker(number, cast(asyncio.subprocess.Process, None), ParentsEnd(channel))
        worker.talk = await Talk.over(ours, self.gathering.answerers(worker))
        worker.is_ready.set_result(True)
        views = Views(number, self.count)
        showing = Showing(views)
        member = Member(worker, views, showing, await Talk.over(theirs, showing.answerers))
        views.offer(
            View(
                "open",
                int,
                lambda: member.value,
                lambda values, tally: {"sum": sum(values), "counts": tally},
                lambda: member.counts,
            )
        )
        showing.begin(member.talk)
        self.workers.append(worker)
        self.members.append(member)
        return member

    async def bury(self, member: Member) -> None:
        """The end of a worker's process, as its parent handles it."""
        member.talk.close()
        await member.worker.end_talk(60)
        self.gathering.forget(member.worker)
        self.workers.remove(member.worker)


@asynccontextmanager
async def family(count: int = 2) -> AsyncIterator[Family]:
    found = Family(count)
    for number in range(1, count + 1):
        await found.join(number)
    try:
        yield found
    finally:
        for member in found.members:
            member.talk.close()
            await member.worker.end_talk(60)
            member.worker.channel.close()


async def test_whoever_is_asked_answers_for_all() -> None:
    async with family(3) as three:
        for number, member in enumerate(three.members):
            member.value, member.counts = 10**number, {"served": number}
        seen = [await member.see() for member in three.members]

    assert seen == [Seen([1, 2, 3], [], {"sum": 111, "counts": {"served": 3}})] * 3


async def test_a_worker_that_is_silent_is_named_and_its_last_counts_stay() -> None:
    async with family() as two:
        asked, silent = two.members
        silent.counts = {"served": 5}
        silent.showing.pulse()
        await asked.see()
        silent.talk._answerers = {}
        silent.counts = {"served": 6}
        seen = await asked.see()

    assert seen == Seen([1], [2], {"sum": 0, "counts": {"served": 5}})


async def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    async def never(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with family() as two:
        two.members[1].talk._answerers = {"look": never}

        assert (await two.members[0].see()).missing == [2]


async def test_the_counts_of_a_worker_that_has_gone_are_kept() -> None:
    async with family() as two:
        asked, leaving = two.members
        asked.counts, leaving.counts = {"served": {"shop": 1}}, {"served": {"shop": 2, "batch": 3}}
        await leaving.showing.say_goodbye()
        await two.bury(leaving)
        missed = await asked.see()
        successor = await two.join(2)
        successor.counts = {"served": {"shop": 4}}
        seen = await asked.see()

    assert missed == Seen([1], [2], {"sum": 0, "counts": {"served": {"shop": 3, "batch": 3}}})
    assert seen.fields["counts"] == {"served": {"shop": 7, "batch": 3}}


async def test_what_was_seen_of_a_worker_stays_after_it_was_killed() -> None:
    async with family() as two:
        asked, killed = two.members
        killed.counts = {"served": 8}
        before = await asked.see()
        killed.counts = {"served": 9}
        await two.bury(killed)
        after = await asked.see()

    assert before.fields["counts"] == after.fields["counts"] == {"served": 8}


async def test_a_worker_that_is_replaced_still_counts() -> None:
    async with family(1) as one:
        old = one.members[0]
        old.value = 1
        new = await one.join(1)
        new.value = 2

        assert await new.see() == Seen([1], [], {"sum": 3, "counts": {}})


async def test_without_a_parent_a_worker_answers_for_itself_and_names_the_others() -> None:
    async with family() as two:
        left_alone = two.members[1]
        left_alone.value, left_alone.counts = 3, {"served": 1}
        assert left_alone.worker.talk is not None
        left_alone.worker.talk.close()
        await left_alone.talk.ended.wait()

        assert await left_alone.see() == Seen([2], [1], {"sum": 3, "counts": {"served": 1}})


async def test_one_process_alone_answers_by_the_same_interface() -> None:
    views = Views()
    views.offer(View("open", int, lambda: 7, lambda values, tally: {"sum": sum(values), **tally}, lambda: {"n": 1}))

    assert await views.see("open") == Seen([1], [], {"sum": 7, "n": 1})


async def test_a_worker_with_other_code_is_missing() -> None:
    async with family() as two:
        two.members[1].views.offer(View("open", str, lambda: "many", lambda values, _: {"all": list(values)}))

        assert await two.members[0].see() == Seen([1], [2], {"sum": 0, "counts": {}})


async def test_counts_are_told_when_they_have_changed_only() -> None:
    async with family() as two:
        member = two.members[0]
        told: list[bytes] = []

        def take(body: bytes) -> bytes:
            told.append(body)
            return b""

        assert member.worker.talk is not None
        answerers = dict(member.worker.talk._answerers)
        member.worker.talk._answerers = {**answerers, "counts": take}
        for _ in range(2):
            member.counts = {"served": 1}
            member.showing.pulse()
        await member.see()

    assert len(told) == 1
