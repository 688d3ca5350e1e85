"""Compressed request bodies: every coding at every door, bounded in memory and in time."""

import gzip
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ServerConfig
from gateway.edge.unpacking import ACCEPTED, unpacked_in_steps
from gateway.http.errors import ClientGoneError
from tests.scenarios.harness import PATH as CHAT_PATH
from tests.scenarios.harness import asking, quick_gateway
from tests.scenarios.native_harness import COUNT_PATH, PATH, asking_natively
from tests.support import messages
from tests.support.gateway import Config, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, json_answer
from translators.errors import FailedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 2**20
COMPLETIONS_PATH = "/v1/completions"
SERVED = json_answer(200, messages.message())
BODIES: dict[str, dict[str, Any]] = {
    CHAT_PATH: asking(),
    COMPLETIONS_PATH: {"model": "claude-sonnet-5-5", "prompt": "Hi", "max_tokens": 100},
    PATH: asking_natively(),
    COUNT_PATH: asking_natively(),
}


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
}
packed = pytest.mark.parametrize(("coding", "pack"), PACKERS.values(), ids=PACKERS)


def unpack(coding: str, body: bytes, limit: int = 64 * MIB, held: list[int] | None = None) -> bytes:
    """What comes out, by the steps that a request takes."""
    told: list[int] = [] if held is None else held
    steps = unpacked_in_steps(coding, body, limit, told.append)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return bytes(end.value)


def serving(upstream: ScriptedUpstream, **server: Any) -> Config:
    return with_settings(config_for(key(upstream.base_url)), server=ServerConfig(port=0, **server))


# At the doors.


@pytest.mark.parametrize("path", BODIES)
@packed
async def test_a_compressed_body_is_read_at_every_door(
    upstream: ScriptedUpstream, path: str, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    upstream.always(json_answer(200, {"input_tokens": 3}) if path == COUNT_PATH else SERVED)
    body = pack(json.dumps(BODIES[path]).encode())
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(path, content=body, headers={"Content-Encoding": coding.upper()})

    assert response.status_code == 200, response.text
    assert "content-encoding" not in upstream.received[0].headers


@pytest.mark.parametrize(
    "headers",
    [
        [("content-encoding", "br")],
        [("content-encoding", "compress")],
        [("content-encoding", "gzip, gzip")],
        [("content-encoding", "identity"), ("content-encoding", "gzip"), ("content-encoding", "deflate")],
        [("content-encoding", "aws-chunked")],
    ],
)
async def test_what_is_not_understood_is_told_what_is(
    upstream: ScriptedUpstream, headers: list[tuple[str, str]]
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        responses = [await running.http().post(path, content=b"{}", headers=headers) for path in BODIES]

    # Anthropic's API has no 415.
    assert [response.status_code for response in responses] == [415, 415, 400, 400]
    assert {response.headers["accept-encoding"] for response in responses} == {ACCEPTED}
    assert all(ACCEPTED in response.json()["error"]["message"] for response in responses)


async def test_a_coding_in_a_second_header_counts(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    headers = [("content-encoding", "identity"), ("content-encoding", "gzip")]
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(
            CHAT_PATH, content=gzip.compress(json.dumps(asking()).encode()), headers=headers
        )

    assert response.status_code == 200


@packed
async def test_the_limit_holds_for_what_comes_out(
    upstream: ScriptedUpstream, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    upstream.always(SERVED)
    body = json.dumps(asking()).encode()
    async with quick_gateway(config=serving(upstream, max_body_bytes=max(len(body), 1000))) as running:
        http = running.http()
        fits = await http.post(CHAT_PATH, content=pack(body), headers={"content-encoding": coding})
        bomb = await http.post(CHAT_PATH, content=pack(body + b" " * 1000), headers={"content-encoding": coding})

    assert (fits.status_code, bomb.status_code) == (200, 413)


@packed
async def test_damage_is_400_and_names_the_coding(
    upstream: ScriptedUpstream, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(json.dumps(asking()).encode())
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        headers = {"content-encoding": coding}
        answers = [
            await http.post(CHAT_PATH, content=body, headers=headers)
            for body in (whole[:-1], whole[:4], b"\xff" * 40, whole + b"\xff" * 40)
        ]

    assert [answer.status_code for answer in answers] == [400] * 4
    assert all(f"valid {coding}" in answer.json()["error"]["message"] for answer in answers)
    assert not upstream.received


async def test_who_has_no_key_has_nothing_unpacked(upstream: ScriptedUpstream) -> None:
    config = with_settings(serving(upstream), clients=())
    config = with_settings(config, keys=())
    async with quick_gateway(config=config) as running:
        response = await running.http().post(CHAT_PATH, content=b"\xff", headers={"content-encoding": "gzip"})

    assert response.status_code == 401


async def test_what_is_unpacked_is_counted_and_let_go(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    body = json.dumps(asking("x" * MIB)).encode()
    async with quick_gateway(config=serving(upstream, max_buffered_bytes=MIB)) as running:
        http = running.http()
        headers = {"content-encoding": "gzip"}
        refused = await http.post(CHAT_PATH, content=gzip.compress(body), headers=headers)
        taken = await http.post(CHAT_PATH, content=gzip.compress(body[: MIB // 2]), headers=headers)
        limits = running.server.limits

        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "gateway_busy"
        # It had room, and was only no JSON.
        assert taken.status_code == 400
        assert limits.buffered_bytes == 0


# The steps.


@packed
@given(data=st.binary(max_size=5000), times=st.integers(1, 100))
def test_what_was_packed_comes_out(coding: str, pack: Callable[[bytes], bytes], data: bytes, times: int) -> None:
    assert unpack(coding, pack(data * times)) == data * times


@packed
def test_members_in_a_row_are_one_body(coding: str, pack: Callable[[bytes], bytes]) -> None:
    parts = [bytes([number]) * 3000 for number in range(200)]

    assert unpack(coding, b"".join(map(pack, parts))) == b"".join(parts)


@packed
def test_each_step_is_small_and_a_bomb_is_given_up_at_the_limit(coding: str, pack: Callable[[bytes], bytes]) -> None:
    held: list[int] = []
    found = unpack(coding, pack(bytes(32 * MIB)), MIB, held)

    assert MIB < len(found) <= MIB + 64 * 1024
    assert all(after - before <= 64 * 1024 for before, after in zip([0, *held], held, strict=False))


@packed
def test_very_many_members_are_refused(coding: str, pack: Callable[[bytes], bytes]) -> None:
    held: list[int] = []
    with pytest.raises(FailedError):
        unpack(coding, pack(b"") * 100_000, MIB, held)

    assert len(held) <= 1100


def test_a_frame_that_asks_for_a_large_window_is_refused() -> None:
    large = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    usual = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 23})

    assert unpack("zstd", usual.compress(b"a" * 100) + usual.flush()) == b"a" * 100
    with pytest.raises(FailedError):
        unpack("zstd", large.compress(b"a" * 100) + large.flush())


def test_the_work_ends_when_the_client_has_left() -> None:
    def hold(_size: int) -> None:
        raise ClientGoneError

    with pytest.raises(ClientGoneError):
        next(unpacked_in_steps("gzip", gzip.compress(bytes(MIB)), MIB, hold))
