"""HTTPS without a proxy: what clients see, what hostile ones cost, and what happens when the files change."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx2
import openai
import pytest
import trustme
import uvicorn
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec.structs import replace
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from gateway.config import AdminConfig, Config, TlsConfig, TlsFileError, keep_fixed, load, load_certificate
from gateway.config.certificates import end_of
from gateway.edge.refusals import refuse
from gateway.http.limits import ServerLimits
from gateway.http.protocol import HttpProtocol
from gateway.http.refusals import NOT_ENCRYPTED
from gateway.http.tls import MAX_HANDSHAKE_BYTES, TlsConnection
from gateway.process.certificates import tell_expiry
from tests.gateway.test_server import GET, LAST, POST, Served, body_of, echo, read_answer, stream, tell, until
from tests.scenarios.harness import PATIENCE_SECONDS, asking
from tests.scenarios.processes import fleet
from tests.support import messages
from tests.support.commands import outcome
from tests.support.gateway import Secret, ServerConfig, config_for, key, running_gateway, with_settings
from tests.support.scripted import ScriptedUpstream, scripted_upstream, stream_answer

CA = trustme.CA(key_type=trustme.KeyType.ECDSA)
ADMIN = AdminConfig(api_key=Secret("an-admin-key-of-some-length"))
HELLO_HEAD = b"\x16\x03\x01"
Run = Callable[[Coroutine[Any, Any, None]], None]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


def pair(folder: Path, *, days: float = 90) -> TlsConfig:
    """Write a certificate with its key, in place of those that are there."""
    end = datetime.now(UTC) + timedelta(days=days)
    issued = CA.issue_cert("127.0.0.1", "localhost", not_after=end, key_type=trustme.KeyType.ECDSA)
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / "key.pem").write_bytes(issued.private_key_pem.bytes())
    return TlsConfig(certificate=str(folder / "cert.pem"), key=str(folder / "key.pem"))


def trusting(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    if version is not None:
        context.maximum_version = version
    return context


def secured(config: Config, tls: TlsConfig) -> Config:
    return with_settings(config, server=replace(config.server, tls=tls))


@asynccontextmanager
async def served(app: ASGIApp, tls: TlsConfig, limits: ServerLimits | None = None) -> AsyncIterator[Served]:
    """The protocol with one application behind TLS."""
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    state, context = ServerState(), load_certificate(tls).context

    def connect() -> TlsConnection:
        behind = HttpProtocol(config, state, {}, refuse=refuse, limits=limits)
        return TlsConnection(behind, context, partial(refuse, NOT_ENCRYPTED))

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield Served(server.sockets[0].getsockname()[1], state)
    finally:
        server.close()
        for connection in [*state.connections]:
            connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


@asynccontextmanager
async def encrypted(
    server: Served, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context or trusting())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer_to(server: Served, text: str) -> bytes:
    """All that comes until the server says that this was all."""
    async with encrypted(server) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(text.encode())
        return await reader.read()


# What clients see.


@on_both_loops
def test_the_official_sdk_streams_and_asks_over_tls_with_a_private_authority(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        async with scripted_upstream() as upstream:
            upstream.always(stream_answer(*messages.text_stream()))
            config = secured(config_for(key(upstream.base_url)), pair(tmp_path))
            async with running_gateway(config=config) as running, httpx2.AsyncClient(verify=trusting()) as http:
                client = openai.AsyncOpenAI(base_url=running.base_url, api_key="any", max_retries=0, http_client=http)
                chunks = await client.chat.completions.create(**asking(stream=True))
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])
                models = await client.models.list()

        assert running.url.startswith("https://")
        assert text == "Hello, world."
        assert models.object == "list"

    run(check())


@on_both_loops
def test_requests_and_answers_of_any_size_pass(run: Run, tmp_path: Path) -> None:
    async def check() -> None:
        body = "x" * 1_000_000
        async with served(echo, pair(tmp_path)) as server, encrypted(server) as (reader, writer):
            for size in (0, 1, len(body)):
                writer.write(f"{POST}content-length: {size}\r\n\r\n{body[:size]}".encode())
                answer = await read_answer(reader)

                assert body_of(answer).decode() == f"<POST / {body[:size]}>"

    run(check())


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_handshake_and_a_request_are_read_however_they_come(tmp_path: Path, size: int) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    behind, transport = Mock(), Mock()
    transport.is_closing.return_value = False
    transport.write = incoming.write
    connection = TlsConnection(behind, load_certificate(pair(tmp_path)).context, bytes)
    connection.connection_made(transport)

    def pass_on() -> None:
        data = outgoing.read()
        for start in range(0, len(data), size):
            connection.data_received(data[start : start + size])

    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    pass_on()
    client.do_handshake()
    client.write(b"GET / HTTP/1.1\r\n" * 2_000)
    pass_on()
    connection.write(b"x" * 100_000)

    assert b"".join(call.args[0] for call in behind.data_received.call_args_list) == b"GET / HTTP/1.1\r\n" * 2_000
    answer = b""
    with contextlib.suppress(ssl.SSLWantReadError):
        while True:
            answer += client.read(65_536)
    assert answer == b"x" * 100_000


async def test_the_end_of_an_answer_without_a_length_is_told_by_tls(tmp_path: Path) -> None:
    tls = pair(tmp_path)

    def ask(port: int) -> bytes:
        raw = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        # A connection that is cut, and not closed, would be an error here.
        with trusting().wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(partial(sock.recv, 65_536), b""))

    async with served(stream, tls) as server:
        answer = await asyncio.to_thread(ask, server.port)

    assert body_of(answer) == b"onetwo"


@pytest.mark.parametrize("way", ["TLS", "TCP"])
async def test_a_client_that_has_closed_its_side_gets_its_answer(tmp_path: Path, way: str) -> None:
    gate = asyncio.Event()

    async def late(_scope: Any, _receive: Any, send: Any) -> None:
        await gate.wait()
        await tell(send, b"late")

    def ask(port: int, asked: asyncio.AbstractEventLoop) -> bytes:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as raw:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = trusting().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")

            def until_it_can(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        if said := outgoing.read():
                            raw.sendall(said)
                        incoming.write(raw.recv(65_536))

            until_it_can(tls.do_handshake)
            tls.write(f"{GET}{LAST}".encode())
            if way == "TLS":
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.unwrap()
            raw.sendall(outgoing.read())
            if way == "TCP":
                raw.shutdown(socket.SHUT_WR)
            asked.call_soon_threadsafe(gate.set)
            answer = b""
            while not answer.endswith(b"late"):
                answer += until_it_can(lambda: tls.read(65_536))
            return answer

    async with served(late, pair(tmp_path)) as server:
        answer = await asyncio.to_thread(ask, server.port, asyncio.get_running_loop())

    assert body_of(answer) == b"late"


@pytest.mark.parametrize(("version", "is_served"), [("1.2", True), ("1.3", False)])
async def test_the_oldest_version_of_tls_is_a_setting(tmp_path: Path, version: Any, is_served: bool) -> None:
    async with served(echo, replace(pair(tmp_path), min_version=version)) as server:
        try:
            async with encrypted(server, trusting(ssl.TLSVersion.TLSv1_2)) as (reader, writer):
                writer.write(f"{GET}{LAST}".encode())
                answer = await reader.read()
        except ssl.SSLError:
            answer = b""

    assert bool(answer) == is_served


# Hostile clients.


async def test_plain_http_is_told_what_is_wrong(tmp_path: Path) -> None:
    async with served(echo, pair(tmp_path)) as server:
        head, _, body = (await server.answer_to(f"{GET}{LAST}")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert "https://" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("garbage", [b"\x80\x2e\x01\x00\x02", b"\x00" * 100, b"\xff"])
async def test_what_is_neither_tls_nor_http_is_cut(tmp_path: Path, garbage: bytes) -> None:
    async with served(echo, pair(tmp_path)) as server:
        answer = await server.answer_to(garbage)
        await until(lambda: not server.state.connections)

    assert answer == b""


@on_both_loops
def test_a_handshake_that_does_not_end_has_a_place_and_little_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.http.protocol.HEAD_SECONDS", 0.05)

    async def check() -> None:
        limits = ServerLimits()
        async with served(echo, pair(tmp_path), limits) as server, server.connected() as (reader, writer):
            writer.write(HELLO_HEAD + b"\x02\x00\x01")
            await until(lambda: limits.connections == 1)
            answer = await reader.read()
            await until(lambda: limits.connections == 0)

        assert answer == b""

    run(check())


async def test_a_hello_without_end_is_cut(tmp_path: Path) -> None:
    # A handshake message of 16 MB, in the largest records that there may be.
    record = HELLO_HEAD + b"\x40\x00"
    async with served(echo, pair(tmp_path)) as server, server.connected() as (reader, writer):
        writer.write(record + b"\x01\xff\xff\xff" + b"x" * 16_380)
        for _ in range(2 * MAX_HANDSHAKE_BYTES // 16_384):
            writer.write(record + b"x" * 16_384)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await until(lambda: not server.state.connections)


@pytest.mark.parametrize("size", [b"\xff\xff", b"\x48\x01"])
async def test_a_record_that_is_too_large_is_refused_with_an_alert(tmp_path: Path, size: bytes) -> None:
    async with served(echo, pair(tmp_path)) as server:
        answer = await server.answer_to(HELLO_HEAD + size + b"\x01" + b"x" * 20_000)

    # An alert, fatal.
    assert answer[:1] == b"\x15"
    assert answer[5] == 2


async def test_what_tls_sends_by_itself_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.tls.MAX_REACTION_BYTES", 10)
    async with served(echo, pair(tmp_path)) as server:
        try:
            answer = await answer_to(server, f"{GET}{LAST}")
        except ConnectionError:
            answer = b""

    assert answer == b""


async def test_without_a_place_a_client_is_told_so(tmp_path: Path) -> None:
    limits = ServerLimits(max_connections=1)
    async with served(echo, pair(tmp_path), limits) as server, encrypted(server):
        answer = await answer_to(server, f"{GET}{LAST}")

    assert answer.startswith(b"HTTP/1.1 503 ")


async def test_a_client_that_goes_while_it_shakes_hands_leaves_nothing_behind(tmp_path: Path) -> None:
    limits = ServerLimits()
    async with served(echo, pair(tmp_path), limits) as server:
        async with server.connected() as (_, writer):
            writer.write(HELLO_HEAD)
            await until(lambda: limits.connections == 1)
        await until(lambda: limits.connections == 0)

    assert not server.state.connections


# Files.


def test_files_that_cannot_be_used_are_mistakes_with_their_setting(tmp_path: Path) -> None:
    good = pair(tmp_path)
    (tmp_path / "other").mkdir()
    other = pair(tmp_path / "other")
    plain = load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    assert isinstance(plain, ec.EllipticCurvePrivateKey)
    sealed = plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "sealed.pem").write_bytes(sealed)
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "cut.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    wrong = {
        "no file": replace(good, certificate=str(tmp_path / "none.pem")),
        "no key": replace(good, key=None),
        "another's key": replace(good, key=other.key),
        "with a passphrase": replace(good, key=str(tmp_path / "sealed.pem")),
        "empty": replace(good, certificate=str(tmp_path / "empty.pem")),
        "cut": replace(good, certificate=str(tmp_path / "cut.pem")),
    }
    found = {}
    for name, config in wrong.items():
        with pytest.raises(TlsFileError) as caught:
            load_certificate(config)
        found[name] = f"{caught.value.setting}: {caught.value}"

    assert found == {
        "no file": "certificate: it cannot be read: No such file or directory",
        "no key": "certificate: there is no key in it, in PEM form",
        "another's key": "key: it is not the key of the certificate",
        "with a passphrase": "key: the key has a passphrase: store it without one, for this user only",
        "empty": "certificate: there is no certificate in it, in PEM form",
        "cut": "certificate: it cannot be used: not a certificate",
    }


def test_one_file_can_hold_both(tmp_path: Path) -> None:
    config = pair(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())

    assert load_certificate(TlsConfig(certificate=str(both))).end == load_certificate(config).end


@pytest.mark.parametrize("days", [-10, 90, 40 * 365], ids=["expired", "usual", "after 2050"])
def test_the_end_of_a_certificate_is_read_as_others_read_it(tmp_path: Path, days: float) -> None:
    pair(tmp_path, days=days)
    pem = (tmp_path / "cert.pem").read_bytes()

    assert end_of(pem.decode()) == x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


def test_the_log_warns_before_the_end_of_a_certificate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificate = load_certificate(pair(tmp_path))
    for days in (15, 13, -1):
        tell_expiry(certificate, certificate.end - days * 86_400)

    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_the_files_are_watched_and_found_beside_the_configuration(tmp_path: Path) -> None:
    tls = pair(tmp_path)
    file = tmp_path / "dragoman.yaml"
    file.write_text("server: {tls: {certificate: cert.pem, key: key.pem}}")
    loaded = load(str(file), {})
    on, off = with_settings(config_for(), server=ServerConfig(port=0, tls=tls)), config_for()

    assert loaded.config.server.tls == tls
    assert set(loaded.files) == {str(file), *tls.files}
    assert keep_fixed(on, off)[1] == ("server.tls",)
    assert keep_fixed(off, on)[0].server.tls is None


async def serial_of(url: httpx2.URL) -> int:
    """Which certificate a new connection is shown."""
    _, writer = await asyncio.open_connection(url.host, url.port, ssl=trusting())
    shown = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(shown).serial_number


async def test_changed_files_are_shown_to_new_connections_and_a_wrong_pair_is_not(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    tls = pair(tmp_path)
    old = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes()).serial_number
    file = tmp_path / "dragoman.yaml"
    file.write_text("server: {tls: {certificate: cert.pem, key: key.pem}}")
    async with (
        fleet(upstream, "--config", str(file)) as both,
        httpx2.AsyncClient(base_url=both.running.url, verify=trusting()) as kept,
    ):
        url = kept.base_url
        shown = [await serial_of(url)]
        before = await kept.get("/livez")
        (tmp_path / "key.pem").write_bytes(CA.issue_cert("elsewhere").private_key_pem.bytes())
        both.signal(signal.SIGHUP)
        await both.said("server.tls.key: it is not the key of the certificate")
        shown.append(await serial_of(url))
        # A worker that starts while the files are wrong gets the pair that was right.
        os.kill((await both.pids())[0], signal.SIGKILL)
        await both.pids(3)
        shown += [await serial_of(url), await serial_of(url)]
        pair(tmp_path)
        new = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes()).serial_number
        both.signal(signal.SIGHUP)
        await both.said("New connections get another certificate", 2)
        shown += [await serial_of(url), await serial_of(url)]
        after = await kept.get("/livez")

    assert tls.key is not None
    assert shown == [old, old, old, old, new, new]
    assert before.status_code == after.status_code == 200


async def test_check_and_pool_know_of_tls(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    tls = pair(tmp_path, days=60.5)
    config = secured(config_for(key(upstream.base_url)), tls)
    file = tmp_path / "dragoman.yaml"
    async with running_gateway(config=with_settings(config, admin=ADMIN)) as running:
        port = running.url.rsplit(":", 1)[1]
        file.write_text(
            f"server: {{port: {port}, tls: {{certificate: cert.pem, key: key.pem}}}}\n"
            "keys: [{name: main, api_key: sk-ant-test}]\nadmin: {api_key: an-admin-key-of-some-length}\n"
        )
        checked = await outcome("check", "--config", str(file))
        seen = await outcome("pool", "--config", str(file))
        requests = await outcome("requests", "--config", str(file))

    assert checked[0] == 0
    assert "cert.pem, expires " in checked[1]
    assert seen[0] == 0, seen
    assert f"https://127.0.0.1:{port}: " in seen[1]
    assert requests[0] == 0, requests
