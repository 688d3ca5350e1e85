"""`dragoman doctor`: what it looks at, what it says, and its exit codes."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from gateway.cli import machine
from gateway.cli.findings import Finding
from gateway.cli.machine import Check
from gateway.ledger.opening import accounts_file
from gateway.ledger.trial import try_accounts
from tests.support.commands import outcome
from tests.support.gateway import AccountsConfig
from tests.support.upstream_rules import run_strict_upstream

SECRET = "sk-ant-very-secret-indeed"
GIB = 1024**3


def finding(ahead: float | None, milliseconds: float = 100.0) -> Finding:
    return Finding("main", "https://host", "ok, 1", "ok", "org", milliseconds, ahead)


def statuses(out: str) -> dict[str, str]:
    return {check["name"]: check["status"] for check in json.loads(out)["checks"]}


@asynccontextmanager
async def tls_host(ca: trustme.CA, not_after: datetime) -> AsyncIterator[str]:
    """Something that answers with a certificate, and with nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", not_after=not_after).configure_cert(context)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "localhost", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


async def test_doctor_tells_a_good_key_from_a_bad_one(tmp_path: Path) -> None:
    async with run_strict_upstream() as upstream:
        file = tmp_path / "config.yaml"
        file.write_text(
            "keys:\n"
            f"  - {{name: good, api_key: {SECRET}, base_url: '{upstream.base_url}'}}\n"
            f"  - {{name: bad, api_key: {SECRET}-invalid, base_url: '{upstream.base_url}'}}\n"
        )
        code, out, err = await outcome("doctor", "--config", str(file))
    heading, good, bad, _, *troubles, _, untested = out.split("\n\n", 1)[1].strip().splitlines()

    assert code == 1
    assert re.split(r"\s{2,}", heading) == ["key", "host", "models", "tokens counted", "organization", "time"]
    assert max(map(len, (heading, good, bad))) <= 120
    assert troubles == ["bad: 401 authentication_error: invalid x-api-key"]
    assert "sending a message" in untested
    assert re.match(r"good .* ok, \d+ +ok ", good)
    assert re.match(r"bad .* failed +failed ", bad)
    assert SECRET not in out + err


async def test_doctor_says_in_plain_words_that_nobody_answers() -> None:
    code, out, _ = await outcome("doctor", ANTHROPIC_API_KEY=SECRET, ANTHROPIC_BASE_URL="http://127.0.0.1:9")

    assert code == 1
    assert "default: Upstream could not be reached: connection refused." in out.splitlines()
    assert "Error" not in out
    assert "Errno" not in out


async def test_doctor_without_a_key_says_so_and_looks_at_the_rest() -> None:
    code, out, _ = await outcome("doctor")

    assert code == 3
    assert "ANTHROPIC_API_KEY" in out
    assert "open files" in out


async def test_doctor_finds_all_well_and_changes_nothing(tmp_path: Path) -> None:
    async with run_strict_upstream() as upstream:
        variables = {"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_BASE_URL": upstream.base_url}
        code, out, _ = await outcome("doctor", "--json", **variables, XDG_STATE_HOME=str(tmp_path))
    found = json.loads(out)

    assert code == 0, out
    assert found["status"] == "ok"
    assert [(one["key"], one["status"], one["models"][:2]) for one in found["keys"]] == [("default", "ok", "ok")]
    assert statuses(out) == dict.fromkeys(("store", "accounts", "clock", "disk", "open files"), "ok")
    assert list(tmp_path.iterdir()) == []
    assert SECRET not in out


async def test_a_store_and_accounts_that_cannot_be_used_are_failures(tmp_path: Path) -> None:
    (tmp_path / "dragoman").write_text("")
    async with run_strict_upstream() as upstream:
        variables = {"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_BASE_URL": upstream.base_url}
        code, out, _ = await outcome("doctor", "--json", **variables, XDG_STATE_HOME=str(tmp_path))

    assert code == 1
    assert (statuses(out)["store"], statuses(out)["accounts"]) == ("failed", "failed")


async def test_accounts_are_looked_at_while_a_gateway_has_them_open(tmp_path: Path) -> None:
    config = AccountsConfig(path=str(tmp_path / "accounts.db"))
    file = accounts_file(config)
    assert file is not None
    before = try_accounts(config)
    await file.run(lambda connection: connection.execute("SELECT 1").fetchone())
    beside = try_accounts(config)
    await file.close()
    (tmp_path / "other.db").write_bytes(b"no database at all" * 100)

    assert before == (True, f"{file.file} is created at the first start")
    assert beside == (True, f"{file.file} can be opened, it holds 0 keys")
    assert try_accounts(config) == beside
    assert try_accounts(AccountsConfig(path=str(tmp_path / "other.db"))) == (
        False,
        f"{tmp_path}/other.db: file is not a database",
    )
    assert try_accounts(AccountsConfig(kind="off")) == (True, "off")


@pytest.mark.parametrize(
    ("ahead", "status", "words"),
    [
        (1.0, "ok", "1.0 s ahead of https://host"),
        (-30.0, "warning", "30.0 s behind https://host"),
        (-600.0, "failed", "600.0 s behind https://host"),
        (None, "skipped", "upstream has not told its time"),
    ],
)
def test_a_clock_that_is_wrong_is_noticed(ahead: float | None, status: machine.Status, words: str) -> None:
    assert list(machine._clock([finding(ahead)])) == [Check("clock", status, words)]


def test_a_slow_answer_says_less_about_the_clock() -> None:
    [slow] = machine._clock([finding(25.0, milliseconds=20_000)])
    [quick] = machine._clock([finding(0.1), finding(25.0, milliseconds=20_000)])

    assert (slow.status, quick.words) == ("ok", "0.1 s ahead of https://host")


async def test_upstreams_date_is_compared_with_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.cli import findings

    assert findings._clock_ahead("Mon, 30 Nov 2026 16:00:00 GMT", 1796054430.5) == 30.0
    assert findings._clock_ahead("yesterday", 0.0) is None


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(62.0, "ok", "62 days left"), (13.0, "warning", "13 days left"), (-2.0, "failed", "expired 2 days ago")],
)
def test_a_certificate_that_expires_soon_is_noticed(days: float, status: machine.Status, words: str) -> None:
    assert machine.until_its_end("https://host", days * 86_400) == Check(
        "certificate", status, f"https://host: {words}"
    )


async def test_the_certificate_of_upstream_is_looked_at(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    file = tmp_path / "config.yaml"
    now = datetime.now(UTC)
    said = {}
    for name, days in (("soon", 5), ("expired", -5)):
        async with tls_host(ca, now + timedelta(days=days)) as url:
            file.write_text(
                f"keys: [{{name: a, api_key: {SECRET}, base_url: '{url}'}}]\nupstream: {{ca_file: {tmp_path}/ca.pem}}\n"
            )
            code, out, _ = await outcome("doctor", "--json", "--config", str(file))
            said[name] = next(check for check in json.loads(out)["checks"] if check["name"] == "certificate")

    assert code == 1
    assert (said["soon"]["status"], said["expired"]["status"]) == ("warning", "failed")
    assert "expired" in said["expired"]["words"]


def test_little_space_and_few_files_are_noticed() -> None:
    spaces = [machine._space(Path("/data"), free).status for free in (50 * GIB, GIB // 2, GIB // 100)]
    files = [machine._open_files(None, limit) for limit in (None, 100_000, 256)]
    too_many = machine._open_files(9_000, 4_096)

    assert spaces == ["ok", "warning", "failed"]
    assert [check.status for check in files] == ["ok", "ok", "warning"]
    assert too_many == Check("open files", "warning", "4096 allow 2016 connections, server.max_connections is 9000")
