"""`dragoman serve`: the gateway, in this process or in several."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from gateway.accounts.spending import LedgerSpending
from gateway.cli.starting import begin_log, greeting, load_with_options, new_gateway, serve_until_stopped
from gateway.cli.usage import UsageError
from gateway.config import Config, Loaded, Source, environment_base_url
from gateway.kept_turns import SealKeys, how_to_share, is_shared
from gateway.ledger.opening import accounts_file
from gateway.process.reloading import Reloader, reloading
from gateway.process.serving import check_exposure, listen, run
from gateway.telemetry.logs import log_event, set_up_logging


def command(options: argparse.Namespace) -> int:
    """Serve until a signal comes; 1 if the end was not orderly."""
    loaded = load_with_options(options)
    begin_log(loaded)
    check_exposure(loaded.config)
    if loaded.config.server.workers == 1:
        return run(_serve_alone(loaded, lambda: load_with_options(options)))
    if sys.platform == "win32":
        raise UsageError("On Windows there is only one process: leave out --workers, or set server.workers to 1.")
    return run(_serve_with_workers(loaded, lambda: load_with_options(options)))


async def _serve_alone(loaded: Loaded, read: Callable[[], Loaded]) -> int:
    """Serve from this process, following changes of the configuration."""
    gateway = new_gateway(loaded.config, loaded.key_sources)

    def apply(config: Config, key_sources: Mapping[str, Source]) -> None:
        set_up_logging(config.log.level, config.log.format)
        gateway.reload(config, key_sources)

    async with reloading(Reloader(loaded, read, apply)):
        return await serve_until_stopped(gateway, file=loaded.path)


async def _serve_with_workers(loaded: Loaded, read: Callable[[], Loaded]) -> int:
    # Imported here because Windows lacks modules that it needs.
    from gateway.workers.supervisor import Supervisor

    if not is_shared(loaded.config.store) and loaded.config.store.kind != "off":
        message = "Workers do not share kept turns and stored responses: each has its own in memory"
        log_event(logging.WARNING, message, advice=how_to_share(loaded.config.store))
    seal_keys = SealKeys()
    config = _with_seal_key(loaded.config, seal_keys)
    # Does not serve: it provides the banner, and finds mistakes before any process is started.
    gateway = new_gateway(config)
    # Opened when a rule first asks what was spent before.
    accounts = accounts_file(config.accounts)
    with listen(config.server.host, config.server.port) as listener:
        supervisor = Supervisor(
            config,
            loaded.key_sources,
            environment_base_url(os.environ),
            listener,
            on_ready=greeting(gateway, listener, file=loaded.path),
            spending=None if accounts is None else LedgerSpending(accounts),
        )

        def apply(config: Config, key_sources: Mapping[str, Source]) -> None:
            set_up_logging(config.log.level, config.log.format)
            supervisor.reload(_with_seal_key(config, seal_keys), key_sources)

        async with reloading(Reloader(loaded, read, apply)):
            try:
                return 0 if await supervisor.run() else 1
            finally:
                if accounts is not None:
                    await accounts.close()


def _with_seal_key(config: Config, seal_keys: SealKeys) -> Config:
    """The configuration for workers: what one of them has sealed, all of them can open."""
    return replace(config, responses=replace(config.responses, encryption_key=seal_keys.current(config)))
