"""Questions, answers and news between two processes over a pair of Unix sockets; neither end ever waits to send.

Both ends are alike. A frame is four bytes of length, and a kind, a number, a topic and a body in MessagePack. Bodies
are MessagePack as well; what they mean belongs to the topic. The parent may run older code than a worker: an unknown
topic is refused, and the talk goes on.
"""

import asyncio
import itertools
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, TypeAlias, cast

import msgspec

from gateway.telemetry.logs import log_event

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""The most that one question, answer or piece of news may hold."""
MAX_UNSENT_BYTES: Final = 2 * MAX_BODY_BYTES
"""What the other end has not read yet; beyond this nothing more is sent to it."""
MAX_QUESTIONS: Final = 4_096
"""Questions that may wait for an answer at the same time."""
MAX_ANSWERING: Final = 1_024
"""Questions that may be worked on at the same time, if their answers take time."""

_LENGTH: Final = struct.Struct("<I")
# The length, kind, number and topic of a frame take less.
_MAX_FRAME_BYTES: Final = MAX_BODY_BYTES + 1024

_NEWS: Final = 0
_QUESTION: Final = 1
_ANSWER: Final = 2
_REFUSAL: Final = 3

Answerer: TypeAlias = Callable[[bytes], bytes | Awaitable[bytes]]
"""Gets the body of a question and returns the body of its answer; what it returns for news is ignored."""


class NoAnswerError(Exception):
    """A question has no answer: the other end is gone, silent, busy, or refuses it. The text says which."""


class _Frame(msgspec.Struct, array_like=True, frozen=True):
    kind: int
    number: int
    topic: str
    body: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Frame).decode


class Talk(asyncio.Protocol):
    """One end. `answerers` are called in the order in which frames arrive; one that waits delays no others."""

    def __init__(self, answerers: Mapping[str, Answerer], on_end: Callable[[], None] = lambda: None) -> None:
        self._answerers = answerers
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._numbers = itertools.count(1)
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()

    @classmethod
    async def over(
        cls, end: socket.socket, answerers: Mapping[str, Answerer], on_end: Callable[[], None] = lambda: None
    ) -> "Talk":
        """Begin to talk over a connected socket, which belongs to the talk from now on."""
        end.setblocking(False)
        _, talk = await asyncio.get_running_loop().create_unix_connection(lambda: cls(answerers, on_end), sock=end)
        return talk

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, topic: str, body: bytes = b"", *, seconds: float) -> bytes:
        """The answer to a question; raises `NoAnswerError` after that time at the latest."""
        if len(self._questions) >= MAX_QUESTIONS:
            raise NoAnswerError("too many questions are open")
        number = next(self._numbers)
        if not self._send(_QUESTION, number, topic, body):
            raise NoAnswerError("the other process is gone or does not read")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise NoAnswerError(f"no answer within {seconds:g} s") from error
        finally:
            self._questions.pop(number, None)

    def tell(self, topic: str, body: bytes) -> bool:
        """Send news; False if the other end is gone or has not read what was sent before."""
        return self._send(_NEWS, 0, topic, body)

    def close(self) -> None:
        """End the talk; questions that are open fail at both ends."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, kind: int, number: int, topic: str, body: bytes) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or len(body) > MAX_BODY_BYTES:
            return False
        frame = _encode(_Frame(kind, number, topic, body))
        if transport.get_write_buffer_size() + len(frame) > MAX_UNSENT_BYTES:
            return False
        transport.write(_LENGTH.pack(len(frame)) + frame)
        return True

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        start = 0
        while (body := start + _LENGTH.size) <= len(self._unread):
            (length,) = _LENGTH.unpack_from(self._unread, start)
            if length > _MAX_FRAME_BYTES:
                self._fail("a frame is too long")
                return
            if body + length > len(self._unread):
                break
            start = body + length
            try:
                frame = _decode(memoryview(self._unread)[body:start])
            except msgspec.MsgspecError:
                self._fail("a frame cannot be read")
                return
            self._take(frame)
        del self._unread[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for answer in self._questions.values():
            if not answer.done():
                answer.set_exception(NoAnswerError("the other process is gone"))
        for task in self._answering:
            task.cancel()
        self.ended.set()
        self._on_end()

    # Taking frames

    def _take(self, frame: _Frame) -> None:
        if frame.kind in (_ANSWER, _REFUSAL):
            self._take_answer(frame)
            return
        answerer = self._answerers.get(frame.topic)
        if answerer is None:
            self._reply(frame, None)
            return
        try:
            answer = answerer(frame.body)
        except Exception as error:  # one question that fails must not end the talk
            self._refuse(frame, error)
            return
        if isinstance(answer, bytes):
            self._reply(frame, answer)
        elif len(self._answering) >= MAX_ANSWERING:
            cast(Coroutine[object, object, bytes], answer).close()
            self._reply(frame, None)
        else:
            task = asyncio.create_task(self._answer_later(frame, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def _take_answer(self, frame: _Frame) -> None:
        question = self._questions.get(frame.number)
        # One that has waited too long is not there any more.
        if question is None or question.done():
            return
        if frame.kind == _ANSWER:
            question.set_result(frame.body)
        else:
            question.set_exception(NoAnswerError("the other process refuses the question"))

    async def _answer_later(self, frame: _Frame, answer: Awaitable[bytes]) -> None:
        try:
            body = await answer
        except Exception as error:  # as above
            self._refuse(frame, error)
        else:
            self._reply(frame, body)

    def _refuse(self, frame: _Frame, error: Exception) -> None:
        log_event(logging.ERROR, "A message between processes could not be handled", topic=frame.topic, why=str(error))
        self._reply(frame, None)

    def _reply(self, frame: _Frame, body: bytes | None) -> None:
        if frame.kind != _QUESTION:
            return
        if body is None or not self._send(_ANSWER, frame.number, frame.topic, body):
            self._send(_REFUSAL, frame.number, frame.topic, b"")

    def _fail(self, why: str) -> None:
        log_event(logging.ERROR, "The talk between parent and worker has ended", why=why)
        self._unread.clear()
        self.close()
