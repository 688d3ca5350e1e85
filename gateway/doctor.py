"""`dragoman doctor`: asks upstream what each key may do. Nothing it asks costs anything."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.proxy.catalogue import fetch_models
from gateway.proxy.ports import Call, Upstream
from gateway.proxy.routing import HAIKU
from gateway.table import table
from gateway.upstream.hosts import HostEndpoint
from translators.errors import FailedError
from translators.upstream_errors import answered_failure

_HEADINGS: Final = ("key", "host", "models", "messages", "organisation", "time")
_QUESTION: Final = {"messages": [{"role": "user", "content": "Hello"}]}
_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """What one key may do; texts begin with `ok` where all is well."""

    key: str
    host: str
    models: str
    messages: str
    organisation: str
    milliseconds: float

    @property
    def is_well(self) -> bool:
        """Whether requests with this key can be answered."""
        return self.messages == "ok"

    @property
    def cells(self) -> tuple[str, ...]:
        """One row of the table."""
        return (self.key, self.host, self.models, self.messages, self.organisation, f"{self.milliseconds:.0f} ms")


async def examine(upstream: Upstream, endpoints: list[HostEndpoint]) -> list[Finding]:
    """One finding a key, in their order, asked at the same time."""
    return list(await asyncio.gather(*(_examine_one(upstream, endpoint) for endpoint in endpoints)))


def report(findings: list[Finding]) -> str:
    """The findings as a table."""
    return table([_HEADINGS, *(finding.cells for finding in findings)])


async def _examine_one(upstream: Upstream, endpoint: HostEndpoint) -> Finding:
    began_at = time.perf_counter()
    model = HAIKU
    try:
        models = await fetch_models(upstream, endpoint)
        listed = f"ok, {len(models)}"
        model = next((entry.id for entry in models if "haiku" in entry.id), models[0].id if models else HAIKU)
    except FailedError as error:
        # Some hosts have no Models API; that alone does not hinder anybody.
        listed = _trouble(error)
    messages, organisation = await _count(upstream, endpoint, model)
    seconds = time.perf_counter() - began_at
    return Finding(endpoint.name, endpoint.base_url, listed, messages, organisation, seconds * 1000)


async def _count(upstream: Upstream, endpoint: HostEndpoint, model: str) -> tuple[str, str]:
    """Count the tokens of a greeting, which needs the same rights as sending it but is free."""
    body = orjson.dumps({"model": model, **_QUESTION})
    call = Call(endpoint.profile.version, body, path="/v1/messages/count_tokens")
    try:
        async with upstream.open(endpoint, call) as answer:
            organisation = answer.headers.get("anthropic-organization-id", "unknown")
            content = await answer.read(_MAX_BYTES)
            if answer.status != 200:
                raise FailedError(answered_failure(answer.status, content))
            return "ok", organisation
    except FailedError as error:
        return _trouble(error), "unknown"


def _trouble(error: FailedError) -> str:
    return error.failure.in_full
