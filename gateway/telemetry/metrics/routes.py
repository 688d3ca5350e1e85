"""The routes that requests are counted by: a few names, whatever path a request has."""

from typing import Final

from gateway.telemetry.metrics.table import OTHER

_VERSION: Final = "/v1"
# Endpoints by their whole path, with and without /v1.
_ENDPOINTS: Final = (
    "/chat/completions",
    "/completions",
    "/responses",
    "/responses/compact",
    "/responses/input_tokens",
    "/messages",
    "/messages/count_tokens",
)
# All others by the first part of their path.
_GROUPS: Final = frozenset(
    ("models", "responses", "conversations", "organization", "key", "admin", "health", "livez", "readyz", "metrics")
)
_BY_PATH: Final = {prefix + path: _VERSION + path for path in _ENDPOINTS for prefix in ("", _VERSION)}


def route_of(path: str) -> str:
    """The route of a path: an endpoint with /v1, the first part of other known paths, or `other`."""
    found = _BY_PATH.get(path)
    if found is not None:
        return found
    first = path.removeprefix(_VERSION).split("/", 2)[1:2]
    return first[0] if first and first[0] in _GROUPS else OTHER
