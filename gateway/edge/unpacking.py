"""Decompresses request bodies (RFC 9110, 8.4.1) in small steps, up to a limit."""

import sys
import zlib
from collections.abc import Callable, Generator
from functools import partial
from io import BytesIO
from typing import Any, Final, Protocol

from translators.errors import ErrorKind, FailedError, Failure

# The value of `Accept-Encoding` in the response that rejects another coding.
ACCEPTED: Final = "gzip, deflate, zstd"

# The most input and the most output of one step, which takes well below a millisecond.
_PIECE_BYTES: Final = 16 * 1024
_MOST_A_STEP: Final = 64 * 1024
# Parallel compressors write one member per block of input, and each member costs a decompressor.
_MOST_MEMBERS: Final = 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# RFC 9659: the window of this coding is at most 8 MB. Without a limit a frame could demand 2 GB.
_ZSTD_WINDOW_LOG: Final = 23


class _BrokenError(Exception):
    """The data is not in the coding that its header names."""


class _Member(Protocol):
    """One compressed member of a body, being decompressed."""

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """Some output, and the part of `data` to pass in again; raises `_BrokenError`."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the member is complete."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether there is more output without further input."""
        ...


def is_known(coding: str) -> bool:
    """Whether this coding is supported."""
    return coding in _CODINGS


def unpacked_in_steps(
    coding: str, body: bytes, limit: int, hold: Callable[[int], None]
) -> Generator[None, None, bytes]:
    """The decompressed body, or a prefix of it that exceeds the limit.

    `hold` is called with the number of bytes so far; an exception from it ends the work. Raises `FailedError` if the
    body is not in this coding.
    """
    # BytesIO returns its content without copying it, which would take 20 ms for 32 MB.
    unpacked = BytesIO()
    try:
        for piece in _pieces(_CODINGS[coding], body):
            unpacked.write(piece)
            hold(unpacked.tell())
            if unpacked.tell() > limit:
                break
            yield
    except _BrokenError as error:
        raise FailedError(Failure(ErrorKind.INVALID_REQUEST, f"The request body is not valid {coding}.")) from error
    return unpacked.getvalue()


def _pieces(new: Callable[[bytes], _Member], body: bytes) -> Generator[bytes]:
    member: _Member | None = None
    data, place, members = b"", 0, 0
    while data or place < len(body) or (member is not None and member.has_more):
        if not data and not (member is not None and member.has_more):
            data = body[place : place + _PIECE_BYTES]
            place += _PIECE_BYTES
        if member is None:
            members += 1
            member = new(data)
        piece, data = member.step(data)
        if member.is_over:
            member = None
        if members > _MOST_MEMBERS:
            raise _BrokenError
        yield piece
    if member is not None:
        raise _BrokenError


class _Deflated:
    """A gzip member, or deflate in one of its two forms."""

    def __init__(self, head: bytes, bits: int) -> None:
        self._inflate = zlib.decompressobj(bits)
        self.has_more = False

    @property
    def is_over(self) -> bool:
        return self._inflate.eof

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            piece = self._inflate.decompress(data, _MOST_A_STEP)
        except zlib.error as error:
            raise _BrokenError from error
        self.has_more = len(piece) == _MOST_A_STEP
        return piece, self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail


class _Zstandard:
    """A Zstandard frame."""

    def __init__(self, head: bytes) -> None:
        library = _zstd()
        self._error = library.ZstdError
        options = {library.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._frame = library.ZstdDecompressor(options=options)

    @property
    def is_over(self) -> bool:
        return bool(self._frame.eof)

    @property
    def has_more(self) -> bool:
        return not (self._frame.eof or self._frame.needs_input)

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            piece = self._frame.decompress(data, _MOST_A_STEP)
        except self._error as error:
            raise _BrokenError from error
        return piece, self._frame.unused_data if self._frame.eof else b""


def _zstd() -> Any:
    """Import the library only when a body needs it."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _deflate(head: bytes) -> _Member:
    """The coding is the zlib format; some clients send raw deflate instead, which browsers have always accepted."""
    is_wrapped = len(head) < 2 or (head[0] & 0x0F == 8 and int.from_bytes(head[:2]) % 31 == 0)
    return _Deflated(head, zlib.MAX_WBITS if is_wrapped else _RAW_DEFLATE)


_gzip: Final = partial(_Deflated, bits=_GZIP)
_CODINGS: Final[dict[str, Callable[[bytes], _Member]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _Zstandard,
}
