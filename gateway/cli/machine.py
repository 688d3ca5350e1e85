"""`dragoman doctor`: what the gateway needs besides its keys, looked at without changing anything."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from gateway.cli.findings import Finding
from gateway.cli.table import table
from gateway.config import Config, load_certificate
from gateway.http import descriptors
from gateway.kept_turns import database_file, kind_of, place_in_words, try_store
from gateway.ledger.opening import accounts_path
from gateway.ledger.trial import try_accounts
from gateway.private_files.looking import nearest_folder
from gateway.upstream.certificates import certificate_end
from gateway.upstream.client import has_proxy
from translators.errors import FailedError

Status: TypeAlias = Literal["ok", "warning", "failed", "skipped"]

_HEADINGS: Final = ("what", "", "found")
_DAY: Final = 86_400.0
_SOON_SECONDS: Final = 14 * _DAY
# Signed requests (AWS) are refused from five minutes on; windows of money and certificates go by the clock as well.
_SKEW_SECONDS: Final = 10.0
_MOST_SKEW_SECONDS: Final = 300.0
_GIB: Final = 1024**3
_LITTLE_BYTES: Final = _GIB
_TOO_LITTLE_BYTES: Final = 64 * 1024**2
_FEW_CONNECTIONS: Final = 500
_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    status: Status
    words: str


async def look_around(config: Config, findings: Sequence[Finding]) -> list[Check]:
    """All checks, in the order in which they are shown."""
    trial = await try_store(config.store)
    is_well, words = await asyncio.to_thread(try_accounts, config.accounts)
    return [
        Check("store", "ok" if trial.is_well else "failed", f"{place_in_words(config.store)}: {trial.words}"),
        Check("accounts", "ok" if is_well else "failed", words),
        *_clock(findings),
        *[check async for check in _certificates(config)],
        *_disks(_folders(config)),
        _open_files(config.server.max_connections, descriptors.limit()),
    ]


def report(checks: Iterable[Check]) -> str:
    """The checks as a table."""
    return table([_HEADINGS, *((check.name, check.status, check.words) for check in checks)])


def until_its_end(name: str, seconds: float) -> Check:
    """A check of a certificate that expires in so many seconds."""
    if seconds <= 0:
        return Check("certificate", "failed", f"{name}: expired {-seconds / _DAY:.0f} days ago")
    return Check(
        "certificate", "ok" if seconds > _SOON_SECONDS else "warning", f"{name}: {seconds / _DAY:.0f} days left"
    )


def _clock(findings: Sequence[Finding]) -> Iterator[Check]:
    """This machine's clock, compared with the upstream that has answered fastest."""
    known = [finding for finding in findings if finding.clock_ahead_seconds is not None]
    if not known:
        yield Check("clock", "skipped", "upstream has not told its time")
        return
    best = min(known, key=lambda finding: finding.milliseconds)
    ahead = best.clock_ahead_seconds or 0.0
    skew = abs(ahead) - best.milliseconds / 1000
    status: Status = "failed" if skew > _MOST_SKEW_SECONDS else "warning" if skew > _SKEW_SECONDS else "ok"
    yield Check("clock", status, f"{abs(ahead):.1f} s {'ahead of' if ahead >= 0 else 'behind'} {best.host}")


async def _certificates(config: Config) -> AsyncIterator[Check]:
    """Our own certificate, and that of each host that is reached by https."""
    if (tls := config.server.tls) is not None:
        yield until_its_end(tls.certificate, load_certificate(tls).end - time.time())
    for base_url in sorted({key.base_url for key in config.keys}):
        if config.upstream.client != "direct" and has_proxy(base_url):
            yield Check("certificate", "skipped", f"{base_url}: behind a proxy")
            continue
        try:
            end = await certificate_end(base_url, config.upstream.ca_file, limit_seconds=_PATIENCE_SECONDS)
        except FailedError as error:
            yield Check("certificate", "failed", f"{base_url}: {error.failure.detail or error.failure.message}")
            continue
        if end is not None:
            yield until_its_end(base_url, end - time.time())


def _folders(config: Config) -> Iterator[Path]:
    """The folders in which the gateway keeps files."""
    if kind_of(config.store) == "sqlite":
        yield database_file(config.store).parent
    if (accounts := accounts_path(config.accounts)) is not None:
        yield accounts.parent


def _disks(folders: Iterable[Path]) -> Iterator[Check]:
    """The free space where files are kept; a disk is told once."""
    seen = set()
    for folder in folders:
        try:
            found = nearest_folder(folder)
            device, free = found.stat().st_dev, shutil.disk_usage(found).free
        except (OSError, ValueError) as error:
            yield Check("disk", "failed", f"{folder}: {getattr(error, 'strerror', None) or error}")
            continue
        if device not in seen:
            seen.add(device)
            yield _space(folder, free)


def _space(folder: Path, free: int) -> Check:
    status: Status = "failed" if free < _TOO_LITTLE_BYTES else "warning" if free < _LITTLE_BYTES else "ok"
    return Check("disk", status, f"{folder}: {free / _GIB:.1f} GiB free")


def _open_files(wanted: int | None, limit: int | None) -> Check:
    """How many connections of clients the limit of open files allows each process."""
    possible = descriptors.connections_for(limit)
    if wanted is not None and wanted > possible:
        words = f"{limit} allow {possible} connections, server.max_connections is {wanted}"
        return Check("open files", "warning", words)
    status: Status = "ok" if possible >= _FEW_CONNECTIONS else "warning"
    return Check("open files", status, f"{limit or 'any number'}, enough for {wanted or possible} connections")
