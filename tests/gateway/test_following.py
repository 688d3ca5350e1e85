"""Who follows a response sees each event once and in order, whatever the storage does meanwhile."""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto

from hypothesis import given
from hypothesis import strategies as st

from gateway.kept_turns.record_memory import RecordMemory
from gateway.kept_turns.records import KeptRecords
from gateway.service.event_log import EventLog, after, count_of
from gateway.service.following import MOST_POLLS_A_SECOND, POLL_SECONDS, Follower, Polls
from gateway.service.ports import Appended, RecordsUnavailableError
from gateway.service.responses import StoredResponse
from gateway.service.runs import Runs, keys_of
from tests.gateway.test_event_log import events

KEYS = keys_of(b"scope", "resp_1")
ENDED = StoredResponse(
    id="resp_1", created_at=1, model="m", response=b'{"id":"resp_1","status":"completed","error":null,"output":[]}'
)
ENDING = b'event: response.completed\ndata: {"type":"response.completed","sequence_number":%d,"response":%b}\n\n'


class Way(Enum):
    """How one append goes."""

    WELL = auto()
    NOT_AT_ALL = auto()
    # It is there, but the answer came too late.
    UNKNOWN = auto()


class Unsteady(KeptRecords):
    def __init__(self, ways: Sequence[Way]) -> None:
        super().__init__(RecordMemory(64 * 2**20, 1000.0))
        self.ways = [*ways]

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        await asyncio.sleep(0)
        way = self.ways.pop(0) if self.ways else Way.WELL
        if way is not Way.NOT_AT_ALL:
            appended = await super().append(key, entries)
        if way is not Way.WELL:
            raise RecordsUnavailableError("no answer in time")
        return appended


async def found() -> StoredResponse:
    return ENDED


async def turn(_: float) -> None:
    await asyncio.sleep(0)


async def followed(records: KeptRecords, runs: Runs, log: EventLog | None, number: int) -> bytes:
    """All that one reader sees."""
    seen, expected = b"", number
    async for piece in Follower(records, runs, KEYS, log, found, Polls(turn)).follow(number, 1000.0):
        seen += piece.events
        expected += count_of(piece.events)
        assert piece.next == expected
    return seen


@given(
    steps=st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=12),
    ways=st.lists(st.sampled_from(Way), max_size=8),
    number=st.integers(0, 12),
)
def test_each_event_comes_once_and_in_order(steps: list[tuple[int, bool, bool]], ways: list[Way], number: int) -> None:
    async def run() -> None:
        records = Unsteady(ways)
        runs = Runs(records, lambda: 1000.0)
        await runs.begin(KEYS)
        log, whole = EventLog(records, KEYS.run), b""
        readers = []
        for count, is_flushed, is_joined in steps:
            if is_joined:
                readers += [asyncio.create_task(followed(records, runs, each, number)) for each in (log, None)]
            piece = events(log.next, count)
            whole += piece
            log.add(piece)
            if is_flushed:
                await log.flush()
        # The storage works again before the end.
        records.ways.clear()
        await log.end()
        await runs.end(KEYS, is_cancelled=False)
        late = [await followed(records, runs, each, number) for each in (log, None)]

        rest = after(whole, number) if number <= count_of(whole) else b""
        async with asyncio.timeout(60):
            assert [*await asyncio.gather(*readers), *late] == [rest] * (len(readers) + 2)

    asyncio.run(run())


@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=8), written=st.integers(0, 8))
def test_where_the_end_was_not_kept_the_stored_response_is_the_end(counts: list[int], written: int) -> None:
    async def run() -> None:
        ways = [*[Way.WELL] * written, *[Way.NOT_AT_ALL] * 100]
        records = Unsteady(ways)
        runs = Runs(records, lambda: 1000.0)
        await runs.begin(KEYS)
        log = EventLog(records, KEYS.run)
        pieces = []
        for count in counts:
            pieces.append(events(log.next, count))
            log.add(pieces[-1])
            await log.flush()
        await log.end()
        await runs.end(KEYS, is_cancelled=False)
        kept = b"".join(pieces[:written])
        is_whole = written > len(pieces)

        seen = await followed(records, runs, None, 0)

        assert seen == kept + (b"" if is_whole else ENDING % (count_of(kept), ENDED.response))

    asyncio.run(run())


async def test_the_more_follow_the_rarer_each_asks() -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    polls = Polls(sleep)
    await asyncio.gather(*(polls.pause() for _ in range(1_000)))

    assert slept[0] == POLL_SECONDS
    assert slept[-1] == 1_000 / MOST_POLLS_A_SECOND
    assert polls.count == 0
