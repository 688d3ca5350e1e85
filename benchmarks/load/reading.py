"""Reads answers with as little work as a load generator can get by with; pure, and wherever the reads are cut."""

import re
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load.traffic import MARK, STAMP_DIGITS

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED_END: Final = b"\r\n0\r\n\r\n"
_STAMP: Final = re.compile(MARK + rb"(\d{%d})" % STAMP_DIGITS)


@dataclass(slots=True)
class AnswerReader:
    """One answer: its status, how many events came, whether it is complete; with `stamps`, what the events carried.

    Events are counted by their marks, so a system may frame and cut them as it likes.
    """

    reads_stamps: bool = False
    status: int = 0
    events: int = 0
    is_complete: bool = False
    stamps: list[int] = field(default_factory=list)
    body_start: bytes = b""
    _head: bytes = b""
    _missing: int | None = None
    _tail: bytes = b"\r\n"
    _pending: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        if not self.status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._head[: end + 2], self._head[end + 4 :]
            self.status = int(head[9:12])
            length = _LENGTH.search(head)
            self._missing = int(length[1]) if length else None
        if len(self.body_start) < 300:
            self.body_start += data[:300]
        self.events += data.count(MARK)
        if self.reads_stamps:
            self._take_stamps(data)
        if self._missing is not None:
            self._missing -= len(data)
            self.is_complete = self._missing <= 0
        else:
            self._tail = (self._tail + data[-len(_CHUNKED_END) :])[-len(_CHUNKED_END) :]
            self.is_complete = self._tail == _CHUNKED_END

    def _take_stamps(self, data: bytes) -> None:
        data = self._pending + data
        last = data.rfind(MARK)
        is_cut = last >= 0 and len(data) - last <= STAMP_DIGITS
        self._pending = data[last:] if is_cut else b""
        whole = data[:last] if is_cut else data
        self.stamps += [int(found) for found in _STAMP.findall(whole)]
