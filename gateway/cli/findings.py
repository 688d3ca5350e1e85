"""`dragoman doctor`: asks upstream what each key may do, with requests that cost nothing: it sends no message."""

import asyncio
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import orjson

from gateway.cli.table import shortened, table
from gateway.service.catalogue import fetch_models
from gateway.service.ports import Call, Upstream
from gateway.service.routing import HAIKU
from gateway.upstream.hosts import HostEndpoint
from translators.errors import FailedError
from translators.upstream_errors import answered_failure

_HEADINGS: Final = ("key", "host", "models", "tokens counted", "organization", "time")
# A row fits into 120 columns; what is cut is printed in full below the table.
_WIDTHS: Final = (20, 32, 8, 14, 28, 8)
_NOT_TESTED: Final = (
    "Not tested, since it would cost money: sending a message, each model by itself, the limits and the credit left."
)
_NO_KEY: Final = (
    "There is no key to test, callers have to bring their own: set ANTHROPIC_API_KEY, or list keys in a "
    "configuration file."
)
_OK: Final = "ok"
_FAILED: Final = "failed"
_QUESTION: Final = {"messages": [{"role": "user", "content": "Hello"}]}
_MAX_BYTES: Final = 64 * 1024
_HALF_A_SECOND: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """What one key may do; `models` and `messages` begin with `ok` if the request succeeded."""

    key: str
    host: str
    models: str
    messages: str
    organization: str
    milliseconds: float
    # How much further this machine's clock is than upstream's; None if upstream has not told its time.
    clock_ahead_seconds: float | None = None

    @property
    def is_well(self) -> bool:
        """Whether requests with this key will be answered, as far as free requests can tell."""
        return self.messages == _OK

    @property
    def cells(self) -> tuple[str, ...]:
        """One row of the table."""
        models, messages = (what if what.startswith(_OK) else _FAILED for what in (self.models, self.messages))
        whole = (self.key, self.host, models, messages, self.organization, f"{self.milliseconds:.0f} ms")
        return tuple(shortened(cell, width) for cell, width in zip(whole, _WIDTHS, strict=True))

    @property
    def troubles(self) -> list[str]:
        """What did not work, in full, without repetitions."""
        return [f"{self.key}: {why}" for why in dict.fromkeys((self.models, self.messages)) if not why.startswith(_OK)]


async def examine(upstream: Upstream, endpoints: list[HostEndpoint]) -> list[Finding]:
    """One finding for each key, in their order; all keys are tested concurrently."""
    return list(await asyncio.gather(*(_examine_one(upstream, endpoint) for endpoint in endpoints)))


def report(findings: list[Finding]) -> str:
    """The findings as a table, then what did not work, then what was not tested."""
    if not findings:
        return _NO_KEY
    rows = table([_HEADINGS, *(finding.cells for finding in findings)])
    troubles = [trouble for finding in findings for trouble in finding.troubles]
    return "\n".join([rows, *(["", *troubles] if troubles else []), "", _NOT_TESTED])


async def _examine_one(upstream: Upstream, endpoint: HostEndpoint) -> Finding:
    began_at = time.perf_counter()
    model = HAIKU
    try:
        models = await fetch_models(upstream, endpoint)
        listed = f"{_OK}, {len(models)}"
        model = next((entry.id for entry in models if "haiku" in entry.id), models[0].id if models else HAIKU)
    except FailedError as error:
        # Some hosts have no Models API and still answer messages.
        listed = _trouble(error)
    messages, organization, ahead = await _count(upstream, endpoint, model)
    seconds = time.perf_counter() - began_at
    return Finding(endpoint.name, endpoint.base_url, listed, messages, organization, seconds * 1000, ahead)


async def _count(upstream: Upstream, endpoint: HostEndpoint, model: str) -> tuple[str, str, float | None]:
    """Count the tokens of a greeting: that takes the same permissions as sending it, and is free."""
    body = orjson.dumps({"model": model, **_QUESTION})
    call = Call(endpoint.profile.version, body, path="/v1/messages/count_tokens")
    ahead = None
    try:
        async with upstream.open(endpoint, call) as answer:
            ahead = _clock_ahead(answer.headers.get("date"), time.time())
            organization = answer.headers.get("anthropic-organization-id", "unknown")
            content = await answer.read(_MAX_BYTES)
            if answer.status != 200:
                raise FailedError(answered_failure(answer.status, content))
            return _OK, organization, ahead
    except FailedError as error:
        return _trouble(error), "unknown", ahead


def _clock_ahead(date: str | None, now: float) -> float | None:
    """How much further this machine's clock is than that of a `date`, which leaves out fractions of a second."""
    try:
        return None if date is None else now - (parsedate_to_datetime(date).timestamp() + _HALF_A_SECOND)
    except ValueError:
        return None


def _trouble(error: FailedError) -> str:
    """Upstream's own words, or, if upstream did not answer, what failed on the way to it."""
    failure = error.failure
    if failure.upstream_type is not None:
        return failure.in_full
    return f"{failure.message.rstrip('.')}: {failure.detail}." if failure.detail else failure.message
