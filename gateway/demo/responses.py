"""HTTP answers with Anthropic's headers, sent in one piece or over time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import msgspec
from starlette.responses import Response

from gateway.demo.errors import MessagesError, error_body, error_type
from gateway.demo.events import Event, first_half, server_sent
from gateway.demo.names import new_id
from gateway.demo.orders import Orders
from gateway.demo.playing import Performance
from gateway.demo.received import Ending, ReceivedRequest

_ALLOWANCES = {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
_MESSAGES_OF_STATUSES = {
    401: "invalid x-api-key",
    402: "Your credit balance is too low.",
    403: "Your API key does not have permission to use the specified resource.",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your organization's rate limit.",
    500: "Internal server error",
    504: "The request timed out.",
    529: "Overloaded",
}


def answer(
    value: Any, received: ReceivedRequest | None = None, *, status: int = 200, request_id: str | None = None
) -> Response:
    """A JSON answer in one piece."""
    if received is not None:
        received.answered(status, value)
        received.finish(Ending.COMPLETE)
    headers = _headers(request_id or new_id("req"), received)
    return Response(msgspec.json.encode(value), status, media_type="application/json", headers=headers)


def refusal(error: MessagesError, received: ReceivedRequest | None) -> Response:
    """The answer for an error."""
    request_id = new_id("req")
    response = answer(error_body(error, request_id), received, status=error.status, request_id=request_id)
    if error.status == 401 and "anthropic-workspace-id" in response.headers:
        del response.headers["anthropic-workspace-id"]
    if error.status == 429:
        response.headers["retry-after"] = "1"
        response.headers["anthropic-ratelimit-requests-remaining"] = "0"
    return response


def streamed(stream: list[Event], orders: Orders, received: ReceivedRequest, *, pause_seconds: float) -> Response:
    """A streamed answer, up to where the orders interrupt it."""
    request_id = new_id("req")
    if orders.cut or orders.error_status:
        stream = first_half(stream)
    if orders.error_status:
        stream = [*stream, error_body(ordered_error(orders.error_status), request_id)]
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    return Performance(
        server_sent(stream),
        headers=headers | _headers(request_id, received),
        request=received,
        lead_seconds=0,
        pause_seconds=pause_seconds,
        cut=orders.cut,
    )


def at_once(body: bytes, orders: Orders, received: ReceivedRequest, *, lead_seconds: float) -> Response:
    """An unstreamed answer, after the time that generating it takes; half of it if a cut is ordered."""
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    return Performance(
        [body[: len(body) // 2] if orders.cut else body],
        headers=headers | _headers(new_id("req"), received),
        request=received,
        lead_seconds=lead_seconds,
        pause_seconds=0,
        cut=orders.cut,
    )


def ordered_error(status: int) -> MessagesError:
    """An error that was ordered."""
    kind = error_type(status).replace("_", " ")
    return MessagesError(status, _MESSAGES_OF_STATUSES.get(status, f"Simulated {kind}"))


def _headers(request_id: str, received: ReceivedRequest | None) -> dict[str, str]:
    """The headers of every answer. The rate limits are always those of an account without earlier requests."""
    reset = datetime.fromtimestamp(int(time.time()) + 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "date": formatdate(usegmt=True),
        "request-id": request_id,
    }
    if received is not None and received.account is not None:
        headers["anthropic-organization-id"] = received.account.organization_id
        headers["anthropic-workspace-id"] = received.account.workspace_id
    for bucket, limit in _ALLOWANCES.items():
        headers[f"anthropic-ratelimit-{bucket}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{bucket}-remaining"] = str(limit - (1 if bucket == "requests" else 1000))
        headers[f"anthropic-ratelimit-{bucket}-reset"] = reset
    return headers
