"""`dragoman usage`: what was used and what it has cost, from the ledger's file or from a running gateway."""

import argparse
import csv
import io
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import msgspec

from gateway.cli import overview
from gateway.cli.pool import admin_client, admin_endpoint
from gateway.cli.table import table
from gateway.cli.usage import UsageError
from gateway.cli.usage_check import DIFFERS, check
from gateway.config import Config, load_config
from gateway.ledger import usage
from gateway.ledger.opening import accounts_file
from gateway.ledger.questions import COLUMNS, TooManyLinesError
from gateway.ledger.trouble import AccountsFileError
from gateway.ledger.usage import BY, MOST_LINES, UsageReport, usage_query, usage_report
from gateway.process.serving import run
from gateway.service.ports import Upstream
from gateway.upstream.hosts import HostEndpoint

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_PATH: Final = "/admin/usage"
# What a table for people shows, and under which heading; CSV and JSON have everything.
_SHOWN: Final = {
    "requests": "requests",
    "errors": "errors",
    "input_tokens": "input",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache write",
    "output_tokens": "output",
    "cost_usd": "USD",
}
_WRITES: Final = ("cache_write_5m_tokens", "cache_write_1h_tokens")


def add_to(commands: "Commands", configured: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "usage", parents=[configured], help="show what was used and what it has cost, by key, model, day and more"
    )
    parser.add_argument("--by", action="append", default=[], help=f"columns, of {','.join(BY)} (default: key,model)")
    parser.add_argument("--since", help="the beginning: 7d (default), 24h, 2026-11-01, 2026-11-01T08:00Z")
    parser.add_argument("--until", help="the end, in the same forms (default: now)")
    for name in COLUMNS:
        parser.add_argument(f"--{name.replace('_', '-')}", action="append", default=[], help=f"only this {_word(name)}")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma separated values")
    form.add_argument("--json", action="store_true", help="print JSON")
    _add_check(parser)
    parser.add_argument("--url", help="ask the gateway at this address, with the admin key, and not the file")


def _add_check(parser: argparse.ArgumentParser) -> None:
    checking = parser.add_argument_group("comparison with Anthropic's account (Usage and Cost API)")
    checking.add_argument("--check", action="store_true", help=f"by day and model; exit code {DIFFERS} if they differ")
    checking.add_argument("--tolerance", type=float, default=0.5, metavar="PERCENT", help="default: 0.5")
    checking.add_argument("--workspace", action="append", default=[], help="only this workspace")
    checking.add_argument("--anthropic-url", metavar="URL", help="another address than Anthropic's")


def command(options: argparse.Namespace) -> int:
    """Print the report."""
    config = load_config(options.config, os.environ)
    if options.check:
        return run(check(config, options))
    report = run(_from_gateway(config, options) if options.url is not None else _from_file(config, options))
    try:
        print(_written(report, options), end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


async def _from_file(config: Config, options: argparse.Namespace) -> UsageReport:
    file = accounts_file(config.accounts, "usage")
    if file is None:
        raise UsageError("No ledger is kept: accounts.kind is off in the configuration.")
    if not file.file.exists():
        raise UsageError(f"There is no ledger yet at {file.file}: a gateway writes it with its first request.")
    # SQLite is loaded only where it is used.
    from gateway.ledger.reports import LedgerReports

    reports = LedgerReports(file)
    filters = {name: values for name in COLUMNS if (values := getattr(options, name))}
    try:
        query = usage_query(time.time(), since=options.since, until=options.until, by=options.by, filters=filters)
        return await usage_report(reports, query)
    except usage.UsageError as error:
        raise UsageError(f"--{error.param}: {error}.") from error
    except TooManyLinesError as error:
        what = f"There are more than {MOST_LINES} lines: ask for less with --by, --since or a filter."
        raise UsageError(what) from error
    except AccountsFileError as error:
        raise UsageError(f"The ledger cannot be read: {error}") from error
    finally:
        await reports.close()


async def _from_gateway(config: Config, options: argparse.Namespace) -> UsageReport:
    upstream = admin_client(config.server.tls, options.url, config.upstream.ca_file)
    try:
        return await fetched(admin_endpoint(config, options.url), options, upstream)
    finally:
        await upstream.close()


async def fetched(gateway: HostEndpoint, options: argparse.Namespace, upstream: Upstream) -> UsageReport:
    """The report of a running gateway; raises `NotSeenError`."""
    asked = [("by", ",".join(options.by)), ("since", options.since or ""), ("until", options.until or "")]
    asked += [(name, value) for name in COLUMNS for value in getattr(options, name)]
    query = urlencode([(name, value) for name, value in asked if value])
    body = await overview.fetch(upstream, gateway, f"{_PATH}?{query}" if query else _PATH)
    try:
        return msgspec.json.decode(body, type=UsageReport)
    except msgspec.MsgspecError as error:
        raise overview.NotSeenError(f"The answer cannot be read: {error}") from error


def _written(report: UsageReport, options: argparse.Namespace) -> str:
    if options.json:
        return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
    return _csv(report) if options.csv else f"{_table(report)}\n"


def _csv(report: UsageReport) -> str:
    written = io.StringIO()
    writer = csv.DictWriter(written, usage.columns_of(report), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(report.data)
    return written.getvalue()


def _table(report: UsageReport) -> str:
    summary = f"{report.since} to {report.until}"
    if not report.data:
        return f"{summary}: nothing was used."
    names = ["key_name" if name == "key" else name for name in report.by]
    rows = [[_word(name) for name in report.by] + list(_SHOWN.values())]
    for entry in (*report.data, report.total):
        values = [str(entry.get(name, "")) or "-" for name in names] if entry is not report.total else _total(names)
        rows.append(values + [_number(entry, name) for name in _SHOWN])
    return f"{summary}\n\n{table(_right_aligned(rows, len(names)))}"


def _total(names: Sequence[str]) -> list[str]:
    return ["total", *[""] * (len(names) - 1)]


def _number(entry: dict[str, object], name: str) -> str:
    if name == "cost_usd":
        return str(entry[name])
    parts = _WRITES if name == "cache_write_tokens" else (name,)
    return f"{sum(int(str(entry[part])) for part in parts):,}"


def _right_aligned(rows: Sequence[Sequence[str]], first: int) -> list[list[str]]:
    """The rows with their numbers, from column `first` on, at the right of their columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [*row[:first], *(cell.rjust(width) for cell, width in zip(row[first:], widths[first:], strict=True))]
        for row in rows
    ]


def _word(name: str) -> str:
    return name.replace("_", " ")
