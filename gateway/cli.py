"""The command line: `dragoman serve`, `demo`, `check`, `doctor` and `pool`."""

import argparse
import asyncio
import dataclasses
import logging
import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import orjson
from msgspec.structs import replace

from gateway import banner, overview
from gateway.app import Gateway, endpoints_of
from gateway.config import (
    Config,
    ConfigError,
    KeyConfig,
    Loaded,
    ServerConfig,
    Source,
    StoreConfig,
    as_base_url,
    config_path,
    config_schema,
    describe_config,
    environment_base_url,
    load,
    load_config,
)
from gateway.demo import ORDERS, run_simulated_upstream
from gateway.doctor import examine, report
from gateway.reloading import Reloader, reloading
from gateway.secret import Secret
from gateway.serving import CannotListenError, check_exposure, listen, run, serve, url_of
from gateway.store import how_to_share, is_shared, place_in_words, try_store
from gateway.telemetry.logs import announce, is_json, log_event, set_up_logging
from gateway.upstream.client import upstream_client
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.upstream.limits import TimeLimits

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

_WATCH_SECONDS = 2.0
_POOL_LIMITS = TimeLimits(connect_seconds=5.0, first_byte_seconds=10.0, idle_seconds=10.0)
# Terminal control: move to the upper left corner, and clear from there.
_CLEAR = "\x1b[H\x1b[J"
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class UsageError(Exception):
    """The command cannot be carried out; the text is for the operator."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 success, 1 failure, 2 wrong usage)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return int(_COMMANDS[options.command](options))
    except ConfigError as error:
        print(f"The configuration has mistakes:\n{_indented(str(error))}", file=sys.stderr)
    except (CannotListenError, UsageError, overview.NotSeenError) as error:
        announce(logging.ERROR, str(error), str(error))
    return 1


def _parser() -> argparse.ArgumentParser:
    command = _command()
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
    check = commands.add_parser(
        "check", parents=[configured], help="check the configuration and print the effective settings"
    )
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration, for editors")
    commands.add_parser("doctor", parents=[configured], help="test each key against upstream (free of charge)")
    pool = commands.add_parser("pool", parents=[configured], help="show the state of the running gateway's keys")
    pool.add_argument("--url", help="the gateway to ask, instead of server.host and server.port")
    pool.add_argument("--json", action="store_true", help="print the answer as it is, for programs")
    pool.add_argument("--watch", action="store_true", help=f"ask again every {_WATCH_SECONDS:g} seconds, until Ctrl-C")
    return parser


def _serve(options: argparse.Namespace) -> int:
    loaded = _loaded(options)
    _begin_log(loaded)
    check_exposure(loaded.config)
    if loaded.config.server.workers == 1:
        return run(_serve_alone(loaded, lambda: _loaded(options)))
    if sys.platform == "win32":
        raise UsageError("On Windows there is only one process: leave out --workers, or set server.workers to 1.")
    return run(_serve_with_workers(loaded, lambda: _loaded(options)))


def _demo(options: argparse.Namespace) -> int:
    loaded = _loaded(options)
    config = loaded.config
    _begin_log(loaded)
    check_exposure(config)
    # The answers of the simulated upstream are not worth keeping.
    store = StoreConfig(kind="memory", memory_bytes=config.store.memory_bytes)
    return run(_serve_demo(replace(config, server=replace(config.server, workers=1), store=store)))


def _check(options: argparse.Namespace) -> int:
    if options.schema:
        print(orjson.dumps(config_schema(), option=orjson.OPT_INDENT_2).decode())
        return 0
    loaded = load(options.config, os.environ)
    config = loaded.config
    check_exposure(config)
    print("\n".join(describe_config(config)))
    trial = run(try_store(config.store))
    print(f"the store: {place_in_words(config.store)}")
    print(f"the store: {trial.words}" if trial.is_well else f"WARNING: the store cannot be used now: {trial.words}")
    for notice in loaded.notices:
        print(f"WARNING: {notice}")
    print(f"OK: {config_path(options.config, os.environ) or 'the environment; there is no configuration file'}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
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


def _pool(options: argparse.Namespace) -> int:
    config = load_config(options.config, os.environ)
    if config.admin.api_key is None:
        raise UsageError(
            "There is no admin key: set admin.api_key in the configuration, "
            "or DRAGOMAN_ADMIN_KEY for the gateway and for this command."
        )
    try:
        url = _own_url(config.server) if options.url is None else as_base_url(options.url)
    except ValueError as error:
        raise UsageError(f"--url: {error}") from error
    try:
        return run(_show_pool(endpoint("admin", config.admin.api_key, url), options))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe; without this, Python would print an error at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


_COMMANDS = {"serve": _serve, "demo": _demo, "check": _check, "doctor": _doctor, "pool": _pool}


def _loaded(options: argparse.Namespace) -> Loaded:
    """The configuration, with the options of the command line applied."""
    loaded = load(options.config, os.environ, host=options.host)
    server = loaded.config.server
    if options.host is not None:
        server = replace(server, host=options.host)
    if options.port is not None:
        if not 0 <= options.port <= 65535:
            raise UsageError(f"--port must be a number from 0 to 65535, not {options.port}.")
        server = replace(server, port=options.port)
    if (workers := getattr(options, "workers", None)) is not None:
        if not 1 <= workers <= 64:
            raise UsageError(f"--workers must be a number from 1 to 64, not {workers}.")
        server = replace(server, workers=workers)
    return dataclasses.replace(loaded, config=replace(loaded.config, server=server))


async def _serve_alone(loaded: Loaded, read: Callable[[], Loaded]) -> int:
    """Serve from this process, following changes of the configuration."""
    gateway = _gateway(loaded.config, loaded.key_sources)

    def apply(config: Config, key_sources: Mapping[str, Source]) -> None:
        set_up_logging(config.log.level, config.log.format)
        gateway.reload(config, key_sources)

    async with reloading(Reloader(loaded, read, apply)):
        return await _serve_until_stopped(gateway, file=loaded.path)


async def _serve_until_stopped(gateway: Gateway, notice: str = "", file: str | None = None) -> int:
    config = gateway.config
    with listen(config.server.host, config.server.port) as listener:
        is_orderly = await serve(gateway, listener, _greeting(gateway, listener, notice, file))
    return 0 if is_orderly else 1


async def _serve_with_workers(loaded: Loaded, read: Callable[[], Loaded]) -> int:
    # Imported here because Windows lacks modules that it needs.
    from gateway.workers.supervisor import Supervisor

    config = loaded.config
    if not is_shared(config.store) and config.store.kind != "off":
        message = "Workers do not share kept turns: each has its own in memory"
        log_event(logging.WARNING, message, advice=how_to_share(config.store))
    # Does not serve: it provides the banner, and finds mistakes before any process is started.
    gateway = _gateway(config)
    with listen(config.server.host, config.server.port) as listener:
        supervisor = Supervisor(
            config,
            loaded.key_sources,
            environment_base_url(os.environ),
            listener,
            on_ready=_greeting(gateway, listener, file=loaded.path),
        )

        def apply(config: Config, key_sources: Mapping[str, Source]) -> None:
            set_up_logging(config.log.level, config.log.format)
            supervisor.reload(config, key_sources)

        async with reloading(Reloader(loaded, read, apply)):
            return 0 if await supervisor.run() else 1


def _begin_log(loaded: Loaded) -> None:
    """Set up the log, and write the notices of the configuration to it."""
    set_up_logging(loaded.config.log.level, loaded.config.log.format)
    for notice in loaded.notices:
        log_event(logging.WARNING, notice)


def _greeting(
    gateway: Gateway, listener: socket.socket, notice: str = "", file: str | None = None
) -> Callable[[], None]:
    """A function that announces the gateway: on standard output, or in the log if that is JSON."""
    url, release = url_of(listener), version("dragoman")
    if is_json():
        about = banner.fields(gateway, url, release, file=file)
        return lambda: log_event(logging.INFO, "The gateway listens", **about)
    colour = banner.takes_colour(sys.stdout)
    words = notice + banner.banner(gateway, url, release, file=file, in_colour=colour)
    return lambda: print(words, flush=True)


def _own_url(server: ServerConfig) -> str:
    """The URL of a gateway with this configuration, on this machine."""
    if not server.port:
        raise UsageError("server.port is 0, which means any free port: name the gateway's address with --url.")
    host = _LOOPBACK_OF.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


async def _show_pool(gateway: HostEndpoint, options: argparse.Namespace) -> int:
    """Print the gateway's pool, once or until interrupted."""
    # Never use the environment's proxy for this machine.
    upstream = upstream_client(_POOL_LIMITS, "direct" if options.url is None else "auto")
    has_seen = False
    try:
        while True:
            try:
                body = await overview.fetch(upstream, gateway)
                has_seen = True
                text = body.decode() if options.json else overview.report(overview.read(body), gateway.base_url)
            except overview.NotSeenError as error:
                # With --watch, wait for a gateway that is being restarted.
                if not (has_seen and options.watch and error.is_passing):
                    raise
                text = str(error)
            print(f"{_CLEAR}{text}" if options.watch and sys.stdout.isatty() else text, flush=True)
            if not options.watch:
                return 0
            await asyncio.sleep(_WATCH_SECONDS)
    finally:
        await upstream.close()


def _gateway(config: Config, key_sources: Mapping[str, Source] | None = None) -> Gateway:
    try:
        return Gateway(config, callers_base_url=environment_base_url(os.environ), key_sources=key_sources or {})
    except ValueError as error:
        raise UsageError(f"ANTHROPIC_BASE_URL: {error}") from error


async def _serve_demo(config: Config) -> int:
    async with run_simulated_upstream() as upstream:
        key = KeyConfig(name="simulated", api_key=Secret("sk-ant-simulated"), base_url=upstream.base_url)
        return await _serve_until_stopped(_gateway(replace(config, keys=(key,))), _demo_notice())


def _demo_notice() -> str:
    words = " ".join(ORDERS)
    return (
        "This is the demo: a simulated upstream in this process answers, not Claude.\n"
        f"For the real thing: export ANTHROPIC_API_KEY=sk-ant-... and run `{_command()} serve`.\n"
        f"Words in your last message that it obeys (docs/tour.md):\n  {words}\n\n"
    )


def _command() -> str:
    """The command as the user can type it again."""
    given = Path(sys.argv[0])
    if given.name != "dragoman":
        # Started as a module, which has its folder's name.
        return f"python -m {given.parent.name}" if given.name == "__main__.py" else "dragoman"
    found = shutil.which("dragoman")
    if found is not None and Path(found).resolve() == given.resolve():
        return "dragoman"
    try:
        return str(given.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(given)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
