"""Rules about network exposure: keys that can be guessed, and keys sent without TLS."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from gateway.config.mistakes import WRONG, Mistakes
from gateway.config.settings import Config, KeyConfig
from gateway.secret import Secret

ALLOW_HTTP_VARIABLE: Final = "DRAGOMAN_ALLOW_HTTP"
SHORTEST_KEY: Final = 16


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_guessable(config: Config, host: str, admin_path: str, mistakes: Mistakes) -> None:
    """Report keys that are too short, if other machines can reach `host`."""
    if is_loopback(host):
        return
    # A client, or its key, can be `WRONG`.
    keys = {
        f"clients[{place}].api_key": getattr(client, "api_key", WRONG) for place, client in enumerate(config.clients)
    }
    keys[admin_path] = config.admin.api_key
    keys["admin.viewer_key"] = config.admin.viewer_key
    keys["metrics.api_key"] = config.metrics.api_key
    for path, key in keys.items():
        if isinstance(key, Secret) and len(key.reveal()) < SHORTEST_KEY:
            mistakes.add(
                path,
                f"expected at least {SHORTEST_KEY} characters, since the gateway listens on {host}, for others too",
            )


def check_overhearing(config: Config, mistakes: Mistakes) -> None:
    """Report keys that would be sent over a network without TLS, unless `allow_http` permits it."""
    for place, key in enumerate(config.keys):
        if isinstance(key, KeyConfig) and not key.allow_http and is_open_to_all(key.base_url):
            mistakes.add(
                f"keys[{place}].base_url",
                "http:// to another machine would send the key where others can read it: use https://, "
                "or set allow_http: true for this key",
            )


def is_open_to_all(base_url: str) -> bool:
    """Whether requests to this URL cross a network unencrypted."""
    url = urlsplit(base_url)
    return url.scheme == "http" and not is_loopback(url.hostname or "")
