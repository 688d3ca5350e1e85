"""`dragoman console`: a link that signs in at the console of a running gateway, once."""

import argparse
import os
import time
from typing import Any, Final

from gateway.accounts.opening import has_stored_keys
from gateway.cli.pool import gateway_url
from gateway.cli.usage import UsageError
from gateway.config import Config, is_loopback, load_config
from gateway.pages.sessions import LINK_SECONDS, Role, Signing

_NO_KEY: Final = (
    "There is no admin key, so nobody can sign in at the console: set admin.api_key in the configuration, "
    "or DRAGOMAN_ADMIN_KEY for the gateway and for this command."
)
_OFF: Final = "The console is switched off: console.enabled is false in the configuration."


def add_to(commands: Any, configured: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    linking = commands.add_parser(
        "console", parents=[configured], help="print a link that signs you in at the running gateway's console"
    )
    linking.add_argument("--url", help="the gateway's address, instead of server.host and server.port")
    linking.add_argument("--viewer", action="store_true", help="a link for somebody who may look and change nothing")


def command(options: argparse.Namespace) -> int:
    """Print the link; nothing is sent, since the gateway knows the key that signs it."""
    config = load_config(options.config, os.environ)
    if not config.console.enabled:
        raise UsageError(_OFF)
    role: Role = "viewer" if options.viewer else "admin"
    key = config.admin.api_key or (config.admin.viewer_key if options.viewer else None)
    if key is None and (config.admin.viewer_key is not None or not _is_open(config)):
        raise UsageError(_NO_KEY)
    print(console_link(config, gateway_url(config, options.url), role))
    return 0


def console_link(config: Config, url: str, role: Role = "admin") -> str:
    """The address of the console; where somebody has to sign in, it does so once, within ten minutes.

    The token is in the fragment, which browsers neither send nor tell the next page.
    """
    try:
        token = Signing(config.admin, time.time).token("link", role, LINK_SECONDS)
    except ValueError:
        return f"{url}/console"
    return f"{url}/console#enter={token}"


def _is_open(config: Config) -> bool:
    """Whether the gateway is open to its own machine, so that nobody has to sign in."""
    return is_loopback(config.server.host) and not config.clients and not has_stored_keys(config.accounts)
