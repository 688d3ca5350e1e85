"""Which error a caller gets when upstream's answer cannot be used, or when no key can be asked."""

import asyncio
import math
from dataclasses import replace
from typing import Final

from gateway.keypool import LeaseRequest
from gateway.service.dispatch import WORTH_WAITING
from gateway.service.ports import Endpoint, UpstreamAnswer
from gateway.service.services import Services
from translators.errors import Blame, ErrorKind, FailedError, Failure
from translators.upstream_errors import answered_failure

MAX_ERROR_BYTES: Final = 64 * 1024
# After `message_stop` only the end of the body is missing; without reading it the connection cannot be reused.
DRAIN_SECONDS: Final = 0.25
# What callers are told to wait when all keys are at their concurrency limit.
_BUSY_SECONDS: Final = 1.0
# Never tell a caller to come back sooner than this.
_SOONEST_SECONDS: Final = 0.1

# Failures that the requested model might not have had: they may occur only because a fallback model was asked.
NOT_FOR_THIS_MODEL: Final = frozenset(
    {
        ErrorKind.INVALID_REQUEST,
        ErrorKind.CONTEXT_TOO_LONG,
        ErrorKind.MODEL_REFUSED,
        ErrorKind.MODEL_NOT_FOUND,
        ErrorKind.NOT_PERMITTED,
        ErrorKind.NOT_FOUND,
    }
)
# The kinds that mean an unknown model; not every host names the model.
UNKNOWN_MODEL: Final = frozenset({ErrorKind.MODEL_REFUSED, ErrorKind.NOT_FOUND})
# Conditions that end by themselves, although perhaps too late to wait for them.
_TEMPORARY: Final = WORTH_WAITING | {
    ErrorKind.SPEND_LIMIT,
    ErrorKind.WORKSPACE_LIMIT,
    ErrorKind.WORKSPACE_UNAVAILABLE,
}
_NO_KEY: Final = {
    ErrorKind.RATE_LIMITED: "Every upstream key of the gateway is at its rate limit.",
    ErrorKind.OVERLOADED: "Upstream is overloaded for the model `{model}`, on every key of the gateway.",
    ErrorKind.UNREACHABLE: "Upstream cannot be reached at the moment.",
    ErrorKind.MODEL_REFUSED: "The model `{model}` does not exist or you do not have access to it.",
    ErrorKind.SPEND_LIMIT: "The gateway's upstream account is at its spend limit, out of funds, or on hold.",
    ErrorKind.WORKSPACE_LIMIT: "The gateway's upstream workspace is at its spend limit.",
    ErrorKind.WORKSPACE_UNAVAILABLE: "The gateway's upstream workspace cannot be used at the moment.",
    ErrorKind.KEY_REJECTED: "Every upstream key of the gateway was refused lately, or taken out; its log names them. "
    "Your key is fine.",
}
_OWN_KEY_IS_LIMITED: Final = "Your key is at its rate limit, as upstream has just reported."


def no_key(services: Services, model: str, lease_request: LeaseRequest, exclude: frozenset[str]) -> Failure:
    """Why no attempt could be made."""
    kind, seconds = services.pool.why_none(services.dispatcher.clock(), lease_request, exclude)
    message = _NO_KEY[kind].format(model=model)
    if kind is ErrorKind.RATE_LIMITED and any(found.is_callers_own for found in services.endpoints.values()):
        message = _OWN_KEY_IS_LIMITED
    is_passing = kind in _TEMPORARY and seconds < math.inf
    return Failure(kind, message, retry_after_seconds=seconds if is_passing else None)


def with_wait(services: Services, failure: Failure, lease_request: LeaseRequest) -> Failure:
    """The failure; if it is a rate limit of the whole pool, with the time until a key is ready, also in the message."""
    if failure.rule.blame is not Blame.KEY_LIMIT:
        return failure
    kind, seconds = services.pool.why_none(services.dispatcher.clock(), lease_request)
    if kind is not ErrorKind.RATE_LIMITED:
        return failure
    if seconds == math.inf:
        # All keys are busy: one is free as soon as an answer ends.
        seconds = _BUSY_SECONDS
    elif services.dispatcher.has_queue(lease_request):
        # Waiting requests are served first.
        seconds = max(seconds, _BUSY_SECONDS)
    seconds = max(seconds, _SOONEST_SECONDS)
    # Some clients parse the time in the message; the Python SDK ignores headers above 120 seconds.
    message = f"{failure.message} Please try again in {math.ceil(seconds * 10) / 10:g}s."
    return replace(failure, message=message, retry_after_seconds=seconds)


def more_telling(last: Failure | None, failure: Failure) -> Failure:
    """The more helpful one of two failures: a limit passes, a refused key of the pool does not."""
    return last if last is not None and failure.kind is ErrorKind.KEY_REJECTED else failure


def is_stream(answer: UpstreamAnswer) -> bool:
    """Whether an answer is an event stream."""
    return answer.headers.get("content-type", "").lower().startswith("text/event-stream")


async def refusal_of(answer: UpstreamAnswer, endpoint: Endpoint, model: str) -> Failure:
    """The failure of an answer that is not what was asked for."""
    if answer.status != 200:
        try:
            body = await answer.read(MAX_ERROR_BYTES)
        except FailedError:
            # The status is sufficient.
            body = b""
        return answered_failure(
            answer.status, body, answer.headers, model=model, is_callers_key=endpoint.is_callers_own
        )
    content_type = answer.headers.get("content-type") or "no content type"
    message = f"Upstream answered with {content_type} instead of an event stream."
    return Failure(ErrorKind.PROTOCOL_ERROR, message)


async def drain(answer: UpstreamAnswer) -> None:
    """Read the end of a finished body, so that its connection can be reused."""
    if answer.is_complete:
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await answer.receive():
                pass
    except (TimeoutError, FailedError):
        # The answer is complete; only the connection is lost.
        return
