"""One question to the storage at a time for each owner, so that nobody waits behind all that another asks."""

import asyncio

import pytest

from gateway.service import one_at_a_time as module
from gateway.service.one_at_a_time import one_at_a_time
from gateway.service.ports import RecordsUnavailableError


class Storage:
    """Answers when it is told to; notes who is being answered at the same time."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.asked: list[str] = []

    async def answer(self, name: str) -> str:
        self.asked.append(name)
        await self.go_on.wait()
        return name


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_owners_questions_are_asked_one_after_another_and_others_do_not_wait_for_them() -> None:
    storage = Storage()
    asking = [asyncio.create_task(one_at_a_time(b"much", storage.answer(f"much {number}"))) for number in range(5)]
    asking.append(asyncio.create_task(one_at_a_time(b"little", storage.answer("little"))))
    await _settled()
    at_once = [*storage.asked]
    storage.go_on.set()
    answers = await asyncio.gather(*asking)

    assert at_once == ["much 0", "little"]
    assert answers == [f"much {number}" for number in range(5)] + ["little"]
    assert storage.asked == ["much 0", "little", *(f"much {number}" for number in range(1, 5))]
    assert not module._LOCKS


async def test_a_question_that_waits_too_long_fails_without_having_been_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage()
    first = asyncio.create_task(one_at_a_time(b"much", storage.answer("first")))
    await _settled()
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)

    with pytest.raises(RecordsUnavailableError):
        await one_at_a_time(b"much", storage.answer("second"))
    storage.go_on.set()
    assert await first == "first"
    assert storage.asked == ["first"]


async def test_a_question_that_is_given_up_or_fails_leaves_its_turn_to_the_next() -> None:
    storage = Storage()

    async def fail() -> None:
        raise RecordsUnavailableError("the disk is full")

    with pytest.raises(RecordsUnavailableError):
        await one_at_a_time(b"much", fail())
    asked = asyncio.create_task(one_at_a_time(b"much", storage.answer("given up")))
    waits = asyncio.create_task(one_at_a_time(b"much", storage.answer("given up before")))
    await _settled()
    waits.cancel()
    asked.cancel()
    await asyncio.wait({asked, waits})
    storage.go_on.set()

    assert await one_at_a_time(b"much", storage.answer("next")) == "next"
    assert storage.asked == ["given up", "next"]
