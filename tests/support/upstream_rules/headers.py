"""The headers that are checked before a body is read: the API version, and the betas."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.demo.errors import invalid
from tests.support.upstream_rules.validation import VERSIONS

_BETA = re.compile(r"[a-z0-9-]+-20\d\d-?\d\d-?\d\d")


def api_version(headers: Mapping[str, str]) -> str:
    """The requested API version; there is no default."""
    version = headers.get("anthropic-version")
    if version is None:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')
    return version


def betas(headers: Mapping[str, str]) -> list[str]:
    """The requested betas; only the form of their names is checked."""
    names = [name.strip() for name in headers.get("anthropic-beta", "").split(",") if name.strip()]
    if unknown := [name for name in names if not _BETA.fullmatch(name)]:
        values = ", ".join(f"`{name}`" for name in unknown)
        raise invalid(f"Unexpected value(s) {values} for the `anthropic-beta` header.")
    return names
