"""A reader whose pieces are written at once, as the bytes of a client's stream."""

from translators.answers.reader import MessageReader


class WrittenStream(MessageReader):
    """Translates one upstream stream; one object an attempt. A subclass writes each piece into `_chunks`.

    After `feed` look at `failure`: once it is set nothing more will come, and whether the client is told or another key
    takes over is decided elsewhere.
    """

    _chunks: list[bytes]

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for what upstream sent: everything that one read completes, in one piece."""
        self.read(data)
        return self._taken()

    def end(self) -> bytes:
        """Upstream's body has ended: without a `message_stop`, that is a failure."""
        self.read_end()
        return self._taken()

    def give_up(self) -> bytes:
        """The end of a turn that has paused too often."""
        self.end_pause()
        return self._taken()

    def _taken(self) -> bytes:
        if not self._chunks:
            return b""
        output = b"".join(self._chunks)
        self._chunks.clear()
        return output
