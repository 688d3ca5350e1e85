"""Parent and worker ask and tell each other: with a process at the other end, which may be busy, silent or dead."""

import asyncio
import os
import signal
import socket
import struct

import pytest

from gateway.workers import talk as module
from gateway.workers.talk import MAX_BODY_BYTES, MAX_UNSENT_BYTES, NoAnswerError, Talk
from tests.support.talker import talker

PATIENCE_SECONDS = 60.0


async def test_questions_are_answered_in_both_directions() -> None:
    async with talker({"back": lambda body: body[::-1]}) as (talk, _):
        answers = await asyncio.gather(
            talk.ask("echo", b"one", seconds=PATIENCE_SECONDS), talk.ask("back", b"two", seconds=PATIENCE_SECONDS)
        )

    assert list(answers) == [b"one", b"owt"]


async def test_an_answer_that_takes_time_delays_no_other() -> None:
    async with talker() as (talk, _):
        slow = asyncio.create_task(talk.ask("never", seconds=PATIENCE_SECONDS))

        assert await talk.ask("echo", b"quick", seconds=PATIENCE_SECONDS) == b"quick"
        assert not slow.done()

    with pytest.raises(NoAnswerError):
        await slow


async def test_news_arrives_before_the_question_that_follows_it() -> None:
    heard: list[bytes] = []

    def hear(body: bytes) -> bytes:
        heard.append(body)
        return b""

    ours, theirs = socket.socketpair()
    talk = await Talk.over(ours, {})
    other = await Talk.over(theirs, {"news": hear, "heard": lambda _: heard[-1]})
    for number in range(100):
        talk.tell("news", b"%d" % number)

    assert await talk.ask("heard", seconds=PATIENCE_SECONDS) == b"99"
    talk.close()
    await other.ended.wait()


async def test_large_bodies_arrive_whole_and_larger_ones_are_not_sent() -> None:
    async with talker() as (talk, _):
        body = os.urandom(MAX_BODY_BYTES)

        assert await talk.ask("echo", body, seconds=PATIENCE_SECONDS) == body
        with pytest.raises(NoAnswerError):
            await talk.ask("echo", body + b"!", seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize("topic", ["of-a-later-version", "wrong"])
async def test_what_cannot_be_answered_is_refused_and_the_talk_goes_on(topic: str) -> None:
    async with talker() as (talk, _):
        with pytest.raises(NoAnswerError, match="refuses"):
            await talk.ask(topic, seconds=PATIENCE_SECONDS)

        assert await talk.ask("echo", b"on", seconds=PATIENCE_SECONDS) == b"on"


async def test_a_process_that_dies_ends_what_waits_for_it_at_once() -> None:
    async with talker() as (talk, process):
        asked = asyncio.create_task(talk.ask("never", seconds=PATIENCE_SECONDS))
        await talk.ask("echo", seconds=PATIENCE_SECONDS)
        process.kill()

        with pytest.raises(NoAnswerError, match="gone"):
            await asked
        assert not talk.tell("news", b"")
        with pytest.raises(NoAnswerError, match="gone"):
            await talk.ask("echo", seconds=PATIENCE_SECONDS)


async def test_a_process_that_stands_still_delays_nobody_beyond_the_deadline_and_takes_bounded_memory() -> None:
    async with talker() as (talk, process):
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(NoAnswerError, match=r"within 0\.05 s"):
            await talk.ask("echo", seconds=0.05)
        body = bytes(1024 * 1024)
        sent = 0
        while talk.tell("news", body):
            sent += 1
            assert sent * len(body) < 2 * MAX_UNSENT_BYTES
        process.send_signal(signal.SIGCONT)

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not talk.tell("news", body):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await talk.ask("echo", b"awake", seconds=PATIENCE_SECONDS) == b"awake"


async def test_no_more_questions_are_open_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUESTIONS", 2)
    async with talker() as (talk, _):
        waiting = [asyncio.create_task(talk.ask("never", seconds=PATIENCE_SECONDS)) for _ in range(2)]
        await asyncio.sleep(0)

        with pytest.raises(NoAnswerError, match="too many"):
            await talk.ask("echo", seconds=PATIENCE_SECONDS)
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_no_more_questions_are_worked_on_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERING", 1)
    ours, theirs = socket.socketpair()

    async def never(_: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    talk = await Talk.over(ours, {})
    other = await Talk.over(theirs, {"never": never})
    first = asyncio.create_task(talk.ask("never", seconds=PATIENCE_SECONDS))
    await asyncio.sleep(0)
    with pytest.raises(NoAnswerError, match="refuses"):
        await talk.ask("never", seconds=PATIENCE_SECONDS)
    talk.close()
    await other.ended.wait()

    with pytest.raises(NoAnswerError):
        await first


@pytest.mark.parametrize(
    "data", [struct.pack("<I", 2**31), struct.pack("<I", 3) + b"\xc1\xc1\xc1", b"GET / HTTP/1.1\r\n"]
)
async def test_what_is_no_frame_ends_the_talk(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    talk = await Talk.over(ours, {})
    with theirs:
        theirs.sendall(data)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await talk.ended.wait()

    assert not talk.is_open
