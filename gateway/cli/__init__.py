"""The command line: `dragoman serve` and `demo`, and what an operator asks them or changes."""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Final

from gateway.cli import (
    alerts,
    check,
    console,
    demo,
    doctor,
    key_options,
    keys,
    pool,
    requests,
    rules,
    serve,
    store,
    usage_report,
)
from gateway.cli.overview import NotSeenError
from gateway.cli.usage import UsageError, typed_command
from gateway.config import ConfigError
from gateway.process.serving import CannotListenError
from gateway.telemetry.logs import announce

_DESCRIPTION = """\
Dragoman is an OpenAI-compatible gateway in front of Anthropic's Messages API:
your application keeps the OpenAI SDK, only its base_url changes.

  export ANTHROPIC_API_KEY=sk-ant-...   # your key, or several in ANTHROPIC_API_KEYS
  {command} serve   # now use http://127.0.0.1:8080/v1

No key at hand? `{command} demo` answers from a simulated upstream.
"""

_EPILOG = """\
Without a configuration file the environment is enough: ANTHROPIC_API_KEY or
ANTHROPIC_API_KEYS (comma separated), and ANTHROPIC_BASE_URL for another host.
With one (--config, DRAGOMAN_CONFIG, ./dragoman.yaml or ./config.yaml) everything
can be set; config.example.yaml shows every setting, and `{command} check` prints the
effective ones.
"""

_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "serve": serve.command,
    "demo": demo.command,
    "check": check.command,
    "doctor": doctor.command,
    "pool": pool.command,
    "keys": keys.command,
    "rules": rules.command,
    "usage": usage_report.command,
    "alerts": alerts.command,
    "requests": requests.command,
    "store": store.command,
    "console": console.command,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 success, 1 failure, 2 wrong usage)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return _COMMANDS[options.command](options)
    except ConfigError as error:
        print(f"The configuration has mistakes:\n{_indented(str(error))}", file=sys.stderr)
    except (CannotListenError, UsageError, NotSeenError) as error:
        announce(logging.ERROR, str(error), str(error))
    return 1


def _parser() -> argparse.ArgumentParser:
    command = typed_command()
    parser = argparse.ArgumentParser(
        prog=command,
        description=_DESCRIPTION.format(command=command),
        epilog=_EPILOG.format(command=command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dragoman {version('dragoman')}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    serving = argparse.ArgumentParser(add_help=False)
    serving.add_argument("--host", help="address to listen on, instead of server.host")
    serving.add_argument("--port", type=int, help="port to listen on, instead of server.port (0: any free one)")
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("--config", metavar="FILE", help="the configuration file (or set DRAGOMAN_CONFIG)")
    serve_parser = commands.add_parser("serve", parents=[configured, serving], help="start the gateway")
    serve_parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that serve, instead of server.workers"
    )
    commands.add_parser(
        "demo", parents=[configured, serving], help="start it against a simulated upstream, no key needed"
    )
    checking = commands.add_parser(
        "check", parents=[configured], help="check the configuration and print the effective settings"
    )
    checking.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of the configuration, for editors"
    )
    examining = commands.add_parser(
        "doctor",
        parents=[configured],
        help="test each key against upstream (free of charge), and what else the gateway needs",
        epilog="Exit codes: 0 all is well, 1 something does not work, 2 wrong usage, 3 something needs attention soon.",
    )
    examining.add_argument("--json", action="store_true", help="print what was found for programs")
    asking = commands.add_parser("pool", parents=[configured], help="show the state of the running gateway's keys")
    asking.add_argument("--url", help="the gateway to ask, instead of server.host and server.port")
    asking.add_argument("--json", action="store_true", help="print the answer as it is, for programs")
    asking.add_argument(
        "--watch", action="store_true", help=f"ask again every {pool.WATCH_SECONDS:g} seconds, until Ctrl-C"
    )
    for each in (requests, key_options, rules, usage_report, alerts, store, console):
        each.add_to(commands, configured)
    return parser


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
