"""What the gateway says when it starts, in at most ten lines: where it listens, whose keys it uses, what to paste."""

import os
from collections.abc import Mapping
from typing import Final, TextIO

from gateway.accounts.opening import has_stored_keys
from gateway.app import Gateway
from gateway.cli.console import console_link
from gateway.cli.pool import LOOPBACK_OF
from gateway.kept_turns import place_in_words

# More would make lines of them that nobody reads.
_MOST_NAMED: Final = 2
_BOLD: Final = "\x1b[1m"
_PLAIN: Final = "\x1b[0m"


def takes_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is a terminal whose user has not declined colour (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def banner(
    gateway: Gateway,
    url: str,
    version: str,
    *,
    file: str | None = None,
    in_colour: bool = False,
    in_terminal: bool = False,
) -> str:
    """The text for standard output, once the gateway can be reached; `file` is the configuration's.

    The link that signs in at the console is for a terminal only: what is written to a file is read by others too.
    """
    workers = gateway.config.server.workers
    base_url = f"{_BOLD}{url}/v1{_PLAIN}" if in_colour else f"{url}/v1"
    facts = _facts(gateway, file)
    if gateway.config.console.enabled:
        facts["console"] = _console(gateway, url, in_terminal=in_terminal)
    return "\n".join(
        [
            f"Dragoman {version} listens on {base_url}" + (f" with {workers} workers" if workers > 1 else ""),
            "",
            *(f"  {name:<8} {words}" for name, words in facts.items()),
            "",
            f'Use it: OpenAI(base_url="{base_url}", api_key="{_api_key(gateway)}"). Stop it with Ctrl-C.',
        ]
    )


def _console(gateway: Gateway, url: str, *, in_terminal: bool) -> str:
    """Where the console is, for a browser: it cannot open the address that stands for every network."""
    for everywhere, here in LOOPBACK_OF.items():
        url = url.replace(f"//{everywhere}:", f"//{here}:").replace(f"//[{everywhere}]:", f"//[{here}]:")
    return console_link(gateway.config, url) if in_terminal else f"{url}/console"


def fields(gateway: Gateway, url: str, version: str, *, file: str | None = None) -> dict[str, object]:
    """The same for a line of the log."""
    return {"url": f"{url}/v1", "version": version, "workers": gateway.config.server.workers, **_facts(gateway, file)}


def _facts(gateway: Gateway, file: str | None) -> dict[str, str]:
    return {
        **({"config": file} if file else {}),
        "keys": _keys(gateway),
        "callers": _callers(gateway),
        "models": _models(gateway),
        "store": place_in_words(gateway.config.store),
    }


def _keys(gateway: Gateway) -> str:
    keys = gateway.config.keys
    if not keys:
        return "none; callers send their own Anthropic key (sk-ant-...), which is used for their requests only"
    return f"{len(keys)}: " + _some([f"{key.name} ({key.base_url})" for key in keys])


def _callers(gateway: Gateway) -> str:
    clients = gateway.config.clients
    if has_stored_keys(gateway.config.accounts):
        others = f"; {len(clients)} from the configuration: {_some([each.name for each in clients])}" if clients else ""
        return f"each with a key, see `dragoman keys list`{others}"
    if not clients:
        return "anybody on this machine, until there are clients or keys for callers"
    return f"{len(clients)}, each with a key: " + _some([client.name for client in clients])


def _models(gateway: Gateway) -> str:
    configured = gateway.config.models.aliases
    aliases = {**configured, **gateway.aliases.table}
    named = [f"{alias} -> {model}" for alias, model in aliases.items()]
    return "; ".join([*([_some(named)] if named else []), "claude-... by its own name"])


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f", {more} more" if more > 0 else "")


def _api_key(gateway: Gateway) -> str:
    if gateway.config.clients or has_stored_keys(gateway.config.accounts):
        return "YOUR_CLIENT_KEY"
    return "any-text" if gateway.config.keys else "sk-ant-..."
