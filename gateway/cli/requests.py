"""`dragoman requests`: the last requests of a running gateway, as they come, or one of them with its timeline."""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from gateway.cli import overview, timeline
from gateway.cli.pool import admin_client, admin_endpoint
from gateway.config import TlsConfig, load_config
from gateway.process.serving import run
from gateway.service.ports import Upstream
from gateway.telemetry.requests.contents import Content
from gateway.telemetry.requests.entries import Entry
from gateway.upstream.hosts import HostEndpoint

T = TypeVar("T")

FOLLOW_SECONDS: Final = 1.0
_PATH: Final = "/admin/requests"
_FILTERS: Final = ("caller", "model", "status", "slower_than", "limit")
# Workers are asked one after another: what ended a little before the latest one may be seen only the next time.
_OVERLAP_SECONDS: Final = 5.0
_MOST_SHOWN: Final = 10_000


class _Listed(msgspec.Struct):
    requests: list[Entry]
    missing: list[int] = []


class _One(msgspec.Struct):
    request: Entry
    content: Content | None = None


def add_to(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    asking = commands.add_parser("requests", parents=[configured], help="show the running gateway's last requests")
    asking.add_argument("id", nargs="?", metavar="ID", help="one request, with its timeline")
    asking.add_argument("--follow", action="store_true", help="show further ones as they end, until Ctrl-C")
    asking.add_argument("--caller", help="those of this client or key")
    asking.add_argument("--model", help="those that asked for this model, or that it answered")
    asking.add_argument("--status", help="those with this status (429, 5xx), or those that failed (failed)")
    asking.add_argument("--slower-than", type=float, metavar="SECONDS", help="those that took longer")
    asking.add_argument("--limit", type=int, metavar="N", help="how many, 50 if not said")
    asking.add_argument("--url", help="the gateway to ask, instead of server.host and server.port")
    asking.add_argument("--json", action="store_true", help="print them as they are, one a line, for programs")


def command(options: argparse.Namespace) -> int:
    """Print requests of the gateway that this configuration, or `--url`, names."""
    config = load_config(options.config, os.environ)
    gateway = admin_endpoint(config, options.url)
    try:
        return run(show_requests(gateway, options, tls=config.server.tls))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # As for `dragoman pool`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


async def show_requests(
    gateway: HostEndpoint,
    options: argparse.Namespace,
    *,
    tls: TlsConfig | None = None,
    follow_seconds: float = FOLLOW_SECONDS,
) -> int:
    """Print one request, or those that match, and with `--follow` those that come."""
    upstream = admin_client(tls, options.url)
    try:
        if options.id is not None:
            await _show_one(upstream, gateway, options)
            return 0
        listed = await _fetch(upstream, gateway, _query(options))
        if not options.json:
            print(timeline.HEADINGS)
        _print(reversed(listed.requests), options)
        if listed.missing:
            raise overview.NotSeenError(f"No answer in time from the workers {', '.join(map(str, listed.missing))}.")
        if options.follow:
            await _follow(upstream, gateway, options, listed.requests, follow_seconds)
        return 0
    finally:
        await upstream.close()


async def _show_one(upstream: Upstream, gateway: HostEndpoint, options: argparse.Namespace) -> None:
    body = await overview.fetch(upstream, gateway, f"{_PATH}/{quote(options.id, safe='')}")
    found = _decode(body, _One)
    print(body.decode() if options.json else timeline.told(found.request, found.content))


async def _follow(
    upstream: Upstream, gateway: HostEndpoint, options: argparse.Namespace, seen: list[Entry], seconds: float
) -> None:
    shown = dict.fromkeys(entry.id for entry in seen)
    after = max((entry.ended_at for entry in seen), default=0.0)
    while True:
        await asyncio.sleep(seconds)
        query = {**_query(options), "limit": 1_000, "after": max(0.0, after - _OVERLAP_SECONDS)}
        try:
            found = (await _fetch(upstream, gateway, query)).requests
        except overview.NotSeenError as error:
            # Wait for a gateway that is being restarted.
            if not error.is_passing:
                raise
            continue
        fresh = [entry for entry in reversed(found) if entry.id not in shown]
        _print(fresh, options)
        shown.update(dict.fromkeys(entry.id for entry in fresh))
        for old in [*shown][:-_MOST_SHOWN]:
            del shown[old]
        after = max([after, *(entry.ended_at for entry in fresh)])


async def _fetch(upstream: Upstream, gateway: HostEndpoint, query: dict[str, Any]) -> _Listed:
    return _decode(await overview.fetch(upstream, gateway, f"{_PATH}?{urlencode(query)}"), _Listed)


def _query(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in _FILTERS}
    return {name: value for name, value in given.items() if value is not None}


def _print(entries: Iterable[Entry], options: argparse.Namespace) -> None:
    for entry in entries:
        print(msgspec.json.encode(entry).decode() if options.json else timeline.line(entry), flush=True)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        advice = "Is the gateway of another version than this command? --json shows the answer as it is."
        raise overview.NotSeenError(f"The answer cannot be read: {error}\n{advice}") from error
