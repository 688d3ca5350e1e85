"""What a client is told whose request never reaches an endpoint."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from gateway.api.middleware import new_request_id
from gateway.api.responder import retry_headers
from gateway.api.shapes import OPENAI, ErrorShape, shape_for
from translators.errors import Failure


def refusal(failure: Failure, url: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """A whole answer, the last one of its connection, in the form of the address, as far as it has arrived."""
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
