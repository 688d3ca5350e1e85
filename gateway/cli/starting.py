"""What `serve` and `demo` share: the configuration with their options, the log, the gateway and its greeting."""

import argparse
import dataclasses
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version

from msgspec.structs import replace

from gateway.app import Gateway
from gateway.cli import banner
from gateway.cli.usage import UsageError
from gateway.config import Config, Loaded, Source, environment_base_url, load
from gateway.process.serving import listen, serve, url_of
from gateway.telemetry.logs import is_json, log_event, set_up_logging


def load_with_options(options: argparse.Namespace) -> Loaded:
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


def begin_log(loaded: Loaded) -> None:
    """Set up the log, and write the notices of the configuration to it."""
    set_up_logging(loaded.config.log.level, loaded.config.log.format)
    for notice in loaded.notices:
        log_event(logging.WARNING, notice)


def greeting(
    gateway: Gateway, listener: socket.socket, notice: str = "", file: str | None = None
) -> Callable[[], None]:
    """A function that announces the gateway: on standard output, or in the log if that is JSON."""
    url = url_of(listener, is_secure=gateway.config.server.tls is not None)
    release = version("dragoman")
    if is_json():
        about = banner.fields(gateway, url, release, file=file)
        return lambda: log_event(logging.INFO, "The gateway listens", **about)
    colour = banner.takes_colour(sys.stdout)
    words = notice + banner.banner(gateway, url, release, file=file, in_colour=colour, in_terminal=sys.stdout.isatty())
    return lambda: print(words, flush=True)


def new_gateway(config: Config, key_sources: Mapping[str, Source] | None = None) -> Gateway:
    """A gateway; raises `UsageError` where the environment names a host that is none."""
    try:
        return Gateway(config, callers_base_url=environment_base_url(os.environ), key_sources=key_sources or {})
    except ValueError as error:
        raise UsageError(f"ANTHROPIC_BASE_URL: {error}") from error


async def serve_until_stopped(gateway: Gateway, notice: str = "", file: str | None = None) -> int:
    """Serve in this process; the exit code is 0 if the end was orderly."""
    config = gateway.config
    with listen(config.server.host, config.server.port) as listener:
        is_orderly = await serve(gateway, listener, greeting(gateway, listener, notice, file))
    return 0 if is_orderly else 1
