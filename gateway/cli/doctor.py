"""`dragoman doctor`: a test of each key, and of what else the gateway needs."""

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import Final

import orjson

from gateway.cli import findings, machine
from gateway.cli.findings import Finding, examine
from gateway.cli.machine import Check, look_around
from gateway.config import Config, load_config
from gateway.process.parts import endpoints_of
from gateway.process.serving import run
from gateway.upstream.client import upstream_client
from gateway.upstream.limits import TimeLimits

WELL: Final = 0
FAILED: Final = 1
# Not 2, which says that the command was typed wrongly.
WARNED: Final = 3
_IN_WORDS: Final = {WELL: "ok", FAILED: "failed", WARNED: "warning"}


def command(options: argparse.Namespace) -> int:
    """Print what was found; 1 if something does not work, 3 if something will not work for long."""
    config = load_config(options.config, os.environ)
    keys, checks = run(_examined(config))
    code = _code(keys, checks)
    if options.json:
        print(orjson.dumps({"status": _IN_WORDS[code], "keys": list(map(_plain, keys)), "checks": checks}).decode())
    else:
        print(f"{machine.report(checks)}\n\n{findings.report(keys)}")
    return code


async def _examined(config: Config) -> tuple[list[Finding], list[Check]]:
    limits = TimeLimits(config.timeouts.connect_seconds, first_byte_seconds=30.0, idle_seconds=30.0)
    upstream = upstream_client(limits, config.upstream.client, config.upstream.ca_file)
    try:
        keys = await examine(upstream, list(endpoints_of(config).values()))
    finally:
        await upstream.close()
    return keys, await look_around(config, keys)


def _code(keys: Sequence[Finding], checks: Sequence[Check]) -> int:
    statuses = {check.status for check in checks}
    if "failed" in statuses or not all(key.is_well for key in keys):
        return FAILED
    return WARNED if "warning" in statuses or not keys else WELL


def _plain(key: Finding) -> dict[str, object]:
    return {"status": "ok" if key.is_well else "failed", **dataclasses.asdict(key)}
