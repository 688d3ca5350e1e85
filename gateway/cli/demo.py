"""`dragoman demo`: the gateway in front of a simulated upstream."""

import argparse
import os.path
import tempfile

from msgspec.structs import replace

from gateway.cli.starting import begin_log, load_with_options, new_gateway, serve_until_stopped
from gateway.cli.usage import typed_command
from gateway.config import Config, KeyConfig, StoreConfig
from gateway.process.serving import check_exposure, run
from gateway.secret import Secret


def command(options: argparse.Namespace) -> int:
    """Serve, with answers that cost nothing, until a signal comes."""
    loaded = load_with_options(options)
    config = loaded.config
    begin_log(loaded)
    check_exposure(config)
    # The answers of the simulated upstream are not worth keeping.
    store = StoreConfig(kind="memory", memory_bytes=config.store.memory_bytes)
    with tempfile.TemporaryDirectory(prefix="dragoman-demo-", ignore_cleanup_errors=True) as folder:
        # Keys and rules can be tried, and are gone with the demo.
        accounts = replace(config.accounts, path=os.path.join(folder, "accounts.db"))
        return run(
            _serve_demo(replace(config, server=replace(config.server, workers=1), store=store, accounts=accounts))
        )


async def _serve_demo(config: Config) -> int:
    # The simulated upstream is loaded only where it is used: `serve` would carry it along.
    from gateway.demo import run_simulated_upstream

    async with run_simulated_upstream() as upstream:
        key = KeyConfig(name="simulated", api_key=Secret("sk-ant-simulated"), base_url=upstream.base_url)
        return await serve_until_stopped(new_gateway(replace(config, keys=(key,))), _demo_notice())


def _demo_notice() -> str:
    from gateway.demo import ORDERS

    words = " ".join(ORDERS)
    return (
        "This is the demo: a simulated upstream in this process answers, not Claude.\n"
        f"For the real thing: export ANTHROPIC_API_KEY=sk-ant-... and run `{typed_command()} serve`.\n"
        f"Words in your last message that it obeys (docs/tour.md):\n  {words}\n\n"
    )
