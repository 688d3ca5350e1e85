"""The body of a Messages request with all its fields; unknown ones are refused."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from gateway.demo import wire
from gateway.demo.wire import Exact, OutputFormat


class Metadata(Exact):
    user_id: str | None = None


class CountRequest(wire.CountRequest, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/messages/count_tokens`."""

    output_format: OutputFormat | UnsetType | None = UNSET
    context_management: dict[str, Any] | UnsetType | None = UNSET
    mcp_servers: list[dict[str, Any]] | UnsetType = UNSET


class MessagesRequest(wire.MessagesRequest, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/messages`."""

    output_format: OutputFormat | UnsetType | None = UNSET
    context_management: dict[str, Any] | UnsetType | None = UNSET
    mcp_servers: list[dict[str, Any]] | UnsetType = UNSET
    metadata: Metadata | None = None
    service_tier: str = "auto"
    container: str | dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    compaction: dict[str, Any] | UnsetType = UNSET
    fallbacks: str | list[dict[str, Any]] | UnsetType = UNSET
    fallback_credit_token: str | dict[str, Any] | UnsetType = UNSET
    thread: dict[str, Any] | UnsetType = UNSET
    billing_policy: dict[str, Any] | UnsetType = UNSET
