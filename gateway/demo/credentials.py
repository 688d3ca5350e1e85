"""The headers that are checked before a body is read: the key and its account, the API version, the betas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from gateway.demo.errors import MessagesError, invalid
from gateway.demo.rules.validation import VERSIONS

_SHARING_KEY = re.compile(r"sk-ant-demo-(?P<account>[^-]+)-(?P<workspace>[^-]+)(-.*)?")
_BETA = re.compile(r"[a-z0-9-]+-20\d\d-?\d\d-?\d\d")


@dataclass(frozen=True, slots=True)
class Account:
    """The organization and the workspace of a key."""

    organization_id: str
    workspace_id: str


def account_of(key: str) -> Account:
    """The account of a key: `sk-ant-demo-<account>-<workspace>-<anything>` shares both, any other key has its own."""
    match = _SHARING_KEY.fullmatch(key)
    account, workspace = (match["account"], match["workspace"]) if match else (key, "")
    return Account(
        str(UUID(bytes=_digest(account), version=4)),
        f"wrkspc_01{_digest(account, workspace).hex()[:22]}",
    )


def account_for(headers: Mapping[str, str]) -> Account:
    """Accept every key except those that call themselves invalid; `x-api-key` takes precedence."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    name, key = ("x-api-key", headers["x-api-key"]) if headers.get("x-api-key") else ("bearer token", bearer)
    if not key:
        raise MessagesError(401, "x-api-key header is required")
    if "invalid" in key.lower():
        raise MessagesError(401, f"invalid {name}")
    return account_of(key)


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


def _digest(*names: str) -> bytes:
    return blake2b("/".join(names).encode(), digest_size=16).digest()
