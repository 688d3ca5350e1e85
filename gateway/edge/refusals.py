"""Writes the errors for requests that the server refuses before they reach an endpoint."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.edge.outermost import new_request_id
from gateway.edge.responder import retry_headers
from gateway.edge.shapes import OPENAI, ErrorShape, shape_for
from gateway.http.refusals import Refusal
from translators.errors import ErrorKind, Failure

# The server knows HTTP's statuses only.
KINDS: Final[Mapping[HTTPStatus, ErrorKind]] = {
    HTTPStatus.BAD_REQUEST: ErrorKind.INVALID_REQUEST,
    HTTPStatus.METHOD_NOT_ALLOWED: ErrorKind.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_TIMEOUT: ErrorKind.TOO_SLOW,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ErrorKind.HEAD_TOO_LARGE,
    HTTPStatus.INTERNAL_SERVER_ERROR: ErrorKind.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorKind.GATEWAY_BUSY,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: ErrorKind.UNSUPPORTED_VERSION,
}


def refuse(refusal: Refusal, url: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """The whole response, the last one of its connection; the path decides its format, OpenAI's if none has arrived."""
    failure = Failure(KINDS[refusal.status], refusal.message, retry_after_seconds=refusal.retry_after_seconds)
    request_id = new_request_id()
    answer = _shape(url, headers).answer(failure, request_id)
    more = {**answer.headers, **retry_headers(failure)}
    head = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in more.items()),
        f"x-request-id: {request_id}",
        "connection: close",
        "\r\n",
    ]
    return "\r\n".join(head).encode() + answer.body


def _shape(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> ErrorShape:
    try:
        path = urlsplit(url.decode("latin-1")).path
    except ValueError:
        return OPENAI
    return shape_for({"path": unquote(path), "headers": headers})
