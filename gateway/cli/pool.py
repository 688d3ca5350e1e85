"""`dragoman pool`: the keys of a running gateway, once or again and again."""

import argparse
import asyncio
import os
import sys
from typing import Final

from gateway.cli import overview
from gateway.cli.usage import UsageError
from gateway.config import Config, ServerConfig, TlsConfig, as_base_url, load_config
from gateway.process.serving import run
from gateway.upstream.client import UpstreamClient, upstream_client
from gateway.upstream.dialing import pinned_context
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.upstream.limits import TimeLimits

WATCH_SECONDS: Final = 2.0
LIMITS: Final = TimeLimits(connect_seconds=5.0, first_byte_seconds=10.0, idle_seconds=10.0)
# Terminal control: move to the upper left corner, and clear from there.
_CLEAR: Final = "\x1b[H\x1b[J"
LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def command(options: argparse.Namespace) -> int:
    """Print the pool of the gateway that this configuration, or `--url`, names."""
    config = load_config(options.config, os.environ)
    try:
        return run(show_pool(admin_endpoint(config, options.url), options, tls=config.server.tls))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe; without this, Python would print an error at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def admin_endpoint(config: Config, url: str | None) -> HostEndpoint:
    """The gateway of this configuration, or at `url`, with the admin key."""
    if config.admin.api_key is None:
        raise UsageError(
            "There is no admin key: set admin.api_key in the configuration, "
            "or DRAGOMAN_ADMIN_KEY for the gateway and for this command."
        )
    return endpoint("admin", config.admin.api_key, gateway_url(config, url))


def gateway_url(config: Config, url: str | None) -> str:
    """The URL of the gateway of this configuration, or `url` if it is one."""
    try:
        return _own_url(config.server) if url is None else as_base_url(url)
    except ValueError as error:
        raise UsageError(f"--url: {error}") from error


def _own_url(server: ServerConfig) -> str:
    """The URL of a gateway with this configuration, on this machine."""
    if not server.port:
        raise UsageError("server.port is 0, which means any free port: name the gateway's address with --url.")
    host = LOOPBACK_OF.get(server.host, server.host)
    scheme = "http" if server.tls is None else "https"
    return f"{scheme}://[{host}]:{server.port}" if ":" in host else f"{scheme}://{host}:{server.port}"


def admin_client(tls: TlsConfig | None, url: str | None, ca_file: str | None = None) -> UpstreamClient:
    """The client for the gateway at `url`, or for this machine's own, with these settings."""
    if url is not None:
        return upstream_client(LIMITS, "auto", ca_file)
    # Never use the environment's proxy for this machine, which goes by another name than its certificate's.
    return upstream_client(LIMITS, "direct", None if tls is None else tls.certificate, pinned_context)


async def show_pool(
    gateway: HostEndpoint,
    options: argparse.Namespace,
    *,
    tls: TlsConfig | None = None,
    watch_seconds: float = WATCH_SECONDS,
) -> int:
    """Print the gateway's pool, once or until interrupted."""
    upstream = admin_client(tls, options.url)
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
            await asyncio.sleep(watch_seconds)
    finally:
        await upstream.close()
