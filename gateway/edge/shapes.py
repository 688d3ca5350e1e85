"""The formats of errors: OpenAI's, and Anthropic's for the Messages endpoints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Scope

from gateway.edge.requests import header
from translators.errors import Failure
from translators.native.errors import error_answer, error_event

# With any number of leading /v1: a client whose base URL has it twice must be able to read the error too.
_NATIVE_PATH: Final = re.compile(r"(/v1)*/messages(/|$)")
_MODELS_PATH: Final = re.compile(r"(/v1)*/models(/|$)")


@dataclass(frozen=True, slots=True)
class WrittenError:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ErrorShape(Protocol):
    """Formats failures, before and inside a stream; `request_id` is the gateway's own."""

    def answer(self, failure: Failure, request_id: str) -> WrittenError:
        """The error as a whole response."""
        ...

    def event(self, failure: Failure, request_id: str) -> bytes:
        """The error as the last event of a stream."""
        ...


class _OpenAI:
    def answer(self, failure: Failure, request_id: str) -> WrittenError:
        return WrittenError(failure.rule.status, failure.as_json())

    def event(self, failure: Failure, request_id: str) -> bytes:
        return failure.as_event()


class _Anthropic:
    def answer(self, failure: Failure, request_id: str) -> WrittenError:
        written = error_answer(failure, request_id)
        return WrittenError(written.status, written.body, {"request-id": written.request_id})

    def event(self, failure: Failure, request_id: str) -> bytes:
        return error_event(failure, request_id)


OPENAI: Final[ErrorShape] = _OpenAI()
ANTHROPIC: Final[ErrorShape] = _Anthropic()


def shape_for(scope: Scope) -> ErrorShape:
    """The format for a request. It depends on the path only, since it must be known before anything can fail."""
    path = scope["path"]
    if _NATIVE_PATH.match(path):
        return ANTHROPIC
    # Both APIs list models at the same path; the header tells them apart, for errors as for answers.
    if _MODELS_PATH.match(path) and header(scope, b"anthropic-version") is not None:
        return ANTHROPIC
    return OPENAI
