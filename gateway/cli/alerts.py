"""`dragoman alerts test`: sends one alert, to see whether it arrives."""

import argparse
import os
import secrets
import time
from typing import TYPE_CHECKING

from gateway.alerts.alert import Alert
from gateway.alerts.posting import NotPostedError, post
from gateway.alerts.watch import target_of
from gateway.cli.usage import UsageError
from gateway.config import load_config
from gateway.process.serving import run
from translators.moments import iso_text

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: "Commands", configured: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("alerts", parents=[configured], help="send a test alert to alerts.url")
    parser.add_argument("action", choices=["test"], help="send one alert now, without trying again")


def command(options: argparse.Namespace) -> int:
    """Send an alert, and print how it went; 1 if it was not taken."""
    config = load_config(options.config, os.environ)
    target = target_of(config)
    if target is None:
        raise UsageError("There is nowhere to send an alert to: set alerts.url in the configuration.")
    now = time.time()
    name = f"test/{iso_text(now)}/{secrets.token_hex(4)}"
    alert = Alert(name, "test", now, "This is a test: alerts of the gateway arrive here", {})
    try:
        run(post(target, alert, now))
    except NotPostedError as error:
        print(f"The alert was not taken: {error}")
        return 1
    signed = "signed" if target.secret is not None else "without a signature, since alerts.secret is not set"
    print(f"The alert was taken, {signed}: {name}")
    return 0
