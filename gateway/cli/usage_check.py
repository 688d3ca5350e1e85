"""`dragoman usage --check`: the ledger beside Anthropic's own account, by day and model."""

import argparse
import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from gateway.cli.anthropic_reports import COST, TOKENS, Counts, Wanted, paid, plain, used
from gateway.cli.pool import LIMITS
from gateway.cli.table import table
from gateway.cli.usage import UsageError
from gateway.config import Config, as_base_url
from gateway.config.exposure import is_open_to_all
from gateway.config.settings import DEFAULT_BASE_URL
from gateway.ledger.money import dollars
from gateway.ledger.opening import accounts_file
from gateway.ledger.questions import DAY_SECONDS, Question
from gateway.ledger.trouble import AccountsFileError
from gateway.ledger.usage import MOST_LINES, usage_query
from gateway.ledger.usage import UsageError as QueryError
from gateway.secret import Secret
from gateway.upstream.client import upstream_client
from gateway.upstream.hosts import endpoint

KEY_VARIABLE: Final = "ANTHROPIC_ADMIN_API_KEY"
# The exit code if the two differ; 1 is that they could not be compared.
DIFFERS: Final = 3
_NO_KEY: Final = (
    "There is no Admin API key of Anthropic: set accounts.anthropic_admin_key in the configuration, "
    f"or {KEY_VARIABLE} in the environment."
)


class Difference(Struct, frozen=True):
    """What the two say differently of one model on one day; `what` is a class of tokens, or the cost."""

    day: str
    model: str
    what: str
    ledger: int
    anthropic: int

    @property
    def percent(self) -> float:
        """How far apart they are, of the greater one."""
        return abs(self.ledger - self.anthropic) * 100 / max(abs(self.ledger), abs(self.anthropic), 1)


class Comparison(Struct):
    """All that was compared, and what differs by more than the tolerance."""

    since: str
    until: str
    tolerance_percent: float
    compared: int
    differences: list[Difference]


def compared(ours: Counts, theirs: Counts, wanted: Wanted, tolerance_percent: float) -> Comparison:
    """The comparison of two accounts."""
    order = {what: place for place, what in enumerate((*TOKENS, COST))}
    places = sorted(
        (place for place in ours | theirs if wanted.since <= place[0] < wanted.until),
        key=lambda place: (place[0], place[1], order[place[2]]),
    )
    found = [Difference(_day(place[0]), place[1], place[2], ours[place], theirs[place]) for place in places]
    differences = [each for each in found if each.percent > tolerance_percent]
    return Comparison(_day(wanted.since), _day(wanted.until), tolerance_percent, len(places), differences)


async def check(config: Config, options: argparse.Namespace) -> int:
    """Compare, and print what differs; returns the exit code."""
    secret = config.accounts.anthropic_admin_key or _secret_of_environment()
    if secret is None:
        raise UsageError(_NO_KEY)
    base_url = _base_url(options.anthropic_url)
    wanted = _wanted(config, options)
    ours = await _ledger(config, options, wanted, base_url)
    upstream = upstream_client(LIMITS, config.upstream.client, config.upstream.ca_file)
    admin = endpoint("admin", secret, base_url)
    try:
        tokens, costs = await asyncio.gather(used(upstream, admin, wanted), paid(upstream, admin, wanted))
    finally:
        await upstream.close()
    comparison = compared(ours, tokens + costs, wanted, options.tolerance)
    print(_as_json(comparison) if options.json else _in_words(comparison))
    return DIFFERS if comparison.differences else 0


def _wanted(config: Config, options: argparse.Namespace) -> Wanted:
    """Whole days, and none that is not over."""
    now = time.time()
    today = int(now) // DAY_SECONDS * DAY_SECONDS
    try:
        query = usage_query(now, since=options.since, until=options.until)
    except QueryError as error:
        raise UsageError(f"--{error.param}: {error}.") from error
    since, until = query.since // DAY_SECONDS * DAY_SECONDS, min(-(-query.until // DAY_SECONDS) * DAY_SECONDS, today)
    if since >= until:
        raise UsageError("--since: expected a day before today, since only days that are over can be compared.")
    named = options.workspace or sorted({key.workspace for key in config.keys if key.workspace is not None})
    # Keys whose workspace nobody has named may be in any.
    is_known = bool(options.workspace) or all(key.workspace is not None for key in config.keys)
    return Wanted(since, until, tuple(named) if is_known else ())


async def _ledger(config: Config, options: argparse.Namespace, wanted: Wanted, base_url: str) -> Counts:
    """What the ledger has for the keys at this host."""
    file = accounts_file(config.accounts, "usage")
    if file is None or not file.file.exists():
        raise UsageError("There is no ledger to compare with.")
    # SQLite is loaded only where it is used.
    from gateway.ledger.reports import LedgerReports

    reports = LedgerReports(file)
    keys = options.upstream_key or [key.name for key in config.keys if key.base_url == base_url]
    question = Question(wanted.since, wanted.until, ("model",), DAY_SECONDS, {"upstream_key": keys})
    counts: Counts = Counter()
    try:
        for line in await reports.lines(question, MOST_LINES):
            for what in (*TOKENS, COST):
                counts[line.start or 0, plain(line.values[0]), what] += getattr(line.sums, what)
    except AccountsFileError as error:
        raise UsageError(f"The ledger cannot be read: {error}") from error
    finally:
        await reports.close()
    return counts


def _secret_of_environment() -> Secret | None:
    text = os.environ.get(KEY_VARIABLE, "").strip()
    return Secret(text) if text else None


def _base_url(given: str | None) -> str:
    """Anthropic's, whatever the gateway's keys use: an Admin API key can do too much to be sent anywhere else."""
    if given is None:
        return DEFAULT_BASE_URL
    try:
        url = as_base_url(given)
    except ValueError as error:
        raise UsageError(f"--anthropic-url: {error}") from error
    if is_open_to_all(url):
        raise UsageError("--anthropic-url: http:// to another machine would send the key where others can read it.")
    return url


def _in_words(comparison: Comparison) -> str:
    about = f"{comparison.since} to {comparison.until}, {comparison.compared} figures compared"
    differences = comparison.differences
    if not differences:
        return f"{about}: the ledger and Anthropic agree, within {comparison.tolerance_percent:g} %."
    rows = [("day", "model", "what", "ledger", "Anthropic", "difference"), *map(_row, differences)]
    summary = f"{about}: {len(differences)} differ by more than {comparison.tolerance_percent:g} %."
    return f"{table(rows)}\n\n{summary}"


def _row(found: Difference) -> Sequence[str]:
    is_cost = found.what == COST
    ledger, anthropic = (dollars(each) if is_cost else f"{each:,}" for each in (found.ledger, found.anthropic))
    what = "USD" if is_cost else found.what.replace("_", " ")
    return found.day, found.model or "(no model)", what, ledger, anthropic, f"{found.percent:.1f} %"


def _as_json(comparison: Comparison) -> str:
    return msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode()


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
