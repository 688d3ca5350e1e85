"""What the scenarios of native requests share."""

import json
from typing import Any

import httpx2
from starlette.routing import Route, Router

from gateway.doors.messages import Messages
from tests.support.gateway import RunningGateway

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def asking_natively(text: str = "Hi", *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A native request."""
    return {
        "model": "claude-sonnet-5-5",
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
        **more,
    }


def messages_of(running: RunningGateway, path: str = PATH) -> Messages:
    """The endpoint of a running gateway."""
    app: Any = running.gateway.app
    while not isinstance(app, Router):
        app = app._app if hasattr(app, "_app") else app.app
    endpoint: Any = next(route.endpoint for route in app.routes if isinstance(route, Route) and route.path == path)
    assert isinstance(endpoint, Messages)
    return endpoint


def assert_native_error(response: httpx2.Response, status: int, type_: str) -> dict[str, Any]:
    """An error answer of the gateway's own in Anthropic's shape; gives its object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["type", "error", "request_id"]
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    assert list(error) == ["type", "message"]
    assert error["type"] == type_
    assert error["message"]
    return error


def last_event(body: bytes) -> tuple[str, Any]:
    """Name and data of the last event of a stream, which has to be whole."""
    assert body.endswith(b"\n\n")
    name, data = body.removesuffix(b"\n\n").split(b"\n\n")[-1].split(b"\n")
    return name.decode().removeprefix("event: "), json.loads(data.removeprefix(b"data: "))
