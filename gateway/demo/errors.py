"""The simulated upstream's errors: a status, a type and a message, in Anthropic's error body."""

from __future__ import annotations

from typing import Any

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesError(Exception):
    """The request gets an error body instead of a message."""

    def __init__(self, status: int, message: str, *, error_code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_code = error_code


def error_type(status: int) -> str:
    """The `error.type` of a status; unknown ones have the general type of a client or server error."""
    return ERROR_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def error_body(error: MessagesError, request_id: str) -> dict[str, Any]:
    """The body of an error answer, which is also the data of an `error` event."""
    details = {"error_code": error.error_code} if error.error_code else None
    return {
        "type": "error",
        "error": {"details": details, "type": error_type(error.status), "message": error.message},
        "request_id": request_id,
    }


def invalid(message: str, *, error_code: str | None = None) -> MessagesError:
    """A 400 with this message."""
    return MessagesError(400, message, error_code=error_code)
