"""The forms that errors can have: OpenAI's, and Anthropic's for those who speak Messages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Scope

from gateway.api.requests import header
from translators.errors import Failure
from translators.native.errors import error_answer, error_event

# With any number of /v1 before it: who has it in the base URL twice has to understand the answer, too.
_NATIVE_PATH: Final = re.compile(r"(/v1)*/messages(/|$)")
_MODELS_PATH: Final = re.compile(r"(/v1)*/models(/|$)")


@dataclass(frozen=True, slots=True)
class WrittenError:
    """An error as an answer in JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ErrorShape(Protocol):
    """How a failure is told, before a stream and inside of one; `request_id` is the gateway's own."""

    def answer(self, failure: Failure, request_id: str) -> WrittenError:
        """A whole answer."""
        ...

    def event(self, failure: Failure, request_id: str) -> bytes:
        """The last event of a stream."""
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
    """The form for a request, by its address alone: it has to be known before anything can go wrong."""
    path = scope["path"]
    if _NATIVE_PATH.match(path):
        return ANTHROPIC
    # The list of models is at the same address in both worlds, and told apart as its answers are.
    if _MODELS_PATH.match(path) and header(scope, b"anthropic-version") is not None:
        return ANTHROPIC
    return OPENAI
