"""Keys, and the accounts that they belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from gateway.demo.errors import MessagesError

_SHARING_KEY = re.compile(r"sk-ant-demo-(?P<account>[^-]+)-(?P<workspace>[^-]+)(-.*)?")


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


def _digest(*names: str) -> bytes:
    return blake2b("/".join(names).encode(), digest_size=16).digest()
