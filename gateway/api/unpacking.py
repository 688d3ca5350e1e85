"""Request bodies that come compressed (RFC 9110, 8.4.1): unpacked in small steps, and not far beyond a limit."""

import sys
import zlib
from collections.abc import Callable, Generator
from functools import partial
from io import BytesIO
from typing import Any, Final, Protocol

from translators.errors import ErrorKind, FailedError, Failure

# What `Accept-Encoding` says in an answer that refuses another one.
ACCEPTED: Final = "gzip, deflate, zstd"

# So much goes in, and so much comes out, in one step, which takes well below a millisecond.
_PIECE_BYTES: Final = 16 * 1024
_MOST_A_STEP: Final = 64 * 1024
# Parallel compressors write one member for each block of their input. Each member costs a decompressor.
_MOST_MEMBERS: Final = 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# RFC 9659: no window of this coding is larger than 8 MB. A frame can ask for 2 GB.
_ZSTD_WINDOW_LOG: Final = 23


class _BrokenError(Exception):
    """What came is not in the coding that its header names."""


class _Member(Protocol):
    """One compressed piece of a body, on its way out."""

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """Some of what comes out, and what of `data` has to be given again; raises `_BrokenError`."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the member is complete."""
        ...

    @property
    def has_more(self) -> bool:
        """Whether more comes out without more data."""
        ...


def is_known(coding: str) -> bool:
    """Whether bodies in this coding can be unpacked."""
    return coding in _CODINGS


def unpacked_in_steps(
    coding: str, body: bytes, limit: int, hold: Callable[[int], None]
) -> Generator[None, None, bytes]:
    """What a body was before it was compressed, or so much of it that it is above the limit.

    `hold` is told how many bytes there are by now; what it raises ends the work. Raises `FailedError` for a body that
    is not in this coding.
    """
    # Gives what was written without copying it, which would take 20 ms at 32 MB.
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
    """A member of gzip, or deflate in one of its two forms."""

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
    """A frame of Zstandard."""

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
    """The library, which only bodies in this coding need."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _deflate(head: bytes) -> _Member:
    """The coding is zlib's format; some send what that wraps without it, as browsers have always understood."""
    is_wrapped = len(head) < 2 or (head[0] & 0x0F == 8 and int.from_bytes(head[:2]) % 31 == 0)
    return _Deflated(head, zlib.MAX_WBITS if is_wrapped else _RAW_DEFLATE)


_gzip: Final = partial(_Deflated, bits=_GZIP)
_CODINGS: Final[dict[str, Callable[[bytes], _Member]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _Zstandard,
}
