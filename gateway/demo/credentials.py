"""What a request must say about itself before it is read: a key, an API version, betas that can be."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.demo.errors import MessagesError, invalid
from gateway.demo.validation import VERSIONS

_BETA = re.compile(r"[a-z0-9-]+-20\d\d-\d\d-\d\d")


def check_key(headers: Mapping[str, str]) -> None:
    """Let in anyone with a key, but for keys that call themselves invalid; of two keys `x-api-key` counts."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    name, key = ("x-api-key", headers["x-api-key"]) if headers.get("x-api-key") else ("bearer token", bearer)
    if not key:
        raise MessagesError(401, "x-api-key header is required")
    if "invalid" in key.lower():
        raise MessagesError(401, f"invalid {name}")


def api_version(headers: Mapping[str, str]) -> str:
    """The API version asked for, which has no default."""
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    return version


def betas(headers: Mapping[str, str]) -> list[str]:
    """The betas asked for; which of them exist is not known here, only what a name looks like."""
    names = [name.strip() for name in headers.get("anthropic-beta", "").split(",") if name.strip()]
    if unknown := [name for name in names if not _BETA.fullmatch(name)]:
        values = ", ".join(f"`{name}`" for name in unknown)
        raise invalid(f"Unexpected value(s) {values} for the `anthropic-beta` header.")
    return names
