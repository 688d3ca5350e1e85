"""`dragoman doctor`: a test of each key."""

import argparse
import os

from gateway.app import endpoints_of
from gateway.cli.findings import examine, report
from gateway.cli.usage import UsageError
from gateway.config import load_config
from gateway.process.serving import run
from gateway.upstream.client import upstream_client
from gateway.upstream.limits import TimeLimits


def command(options: argparse.Namespace) -> int:
    """Test the keys against upstream, and print what was found; 1 if one of them is not well."""
    config = load_config(options.config, os.environ)
    endpoints = list(endpoints_of(config).values())
    if not endpoints:
        raise UsageError("There is no key to test: set ANTHROPIC_API_KEY, or list keys in a configuration file.")
    limits = TimeLimits(config.timeouts.connect_seconds, first_byte_seconds=30.0, idle_seconds=30.0)

    async def ask() -> int:
        upstream = upstream_client(limits, config.upstream.client, config.upstream.ca_file)
        try:
            findings = await examine(upstream, endpoints)
        finally:
            await upstream.close()
        print(report(findings))
        return 0 if all(finding.is_well for finding in findings) else 1

    return run(ask())
