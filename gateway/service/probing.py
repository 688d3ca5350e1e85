"""Probes that cost nothing: whether a rejected or doubted key is accepted, which organization an unused key belongs to,
and whether a host is back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from gateway.keypool import Host
from gateway.service.dispatch import Dispatcher
from gateway.service.ports import Call, Endpoint, Upstream, UpstreamAnswer
from translators.errors import ErrorKind, FailedError, Failure
from translators.hosts import CURRENT_VERSION
from translators.upstream_errors import answered_failure

PROBE_PATH: Final = "/v1/models?limit=1"
_INTERVAL_SECONDS: Final = 1.0
# Repeat a probe that takes longer: its connection may have begun while the host was down.
HOST_PROBE_SECONDS: Final = 2.0
_MAX_BYTES: Final = 64 * 1024
# The maximum number of concurrent requests that ask for keys' organizations.
_MOST_INTRODUCTIONS: Final = 4
# Any other status means that the key works, or says nothing about the key.
_REFUSALS: Final = frozenset({401, 402, 403})

_NO_SUCH_KEY: Final = 401

_log: Final = logging.getLogger("dragoman")


class Prober:
    """Requests the list of models with each rejected or doubted key, when the pool says that a probe is due.

    Keys of unknown organization are asked for it once: signed thinking and rate limits are shared by an organization's
    keys. Hosts with an open breaker are probed while requests wait.

    `on_refused` is called with the name of a key that upstream still rejects: its secret may have been rotated.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        endpoints: Callable[[], Mapping[str, Endpoint]],
        on_refused: Callable[[str], object] = lambda key: None,
    ) -> None:
        self._dispatcher = dispatcher
        self._endpoints = endpoints
        self._on_refused = on_refused
        self._introductions = asyncio.Semaphore(_MOST_INTRODUCTIONS)

    async def run(self, upstream: Callable[[], Upstream]) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for name in self._dispatcher.pool.strangers():
                    group.create_task(self.introduce(name, upstream()))
                for name in self._dispatcher.pool.due_probes(self._dispatcher.clock()):
                    group.create_task(self.probe(name, upstream()))
                for host, name in self._dispatcher.down_hosts():
                    group.create_task(self.probe_host(host, name, upstream()))
                await asyncio.sleep(_INTERVAL_SECONDS)

    async def introduce(self, name: str, upstream: Upstream) -> None:
        """Ask once for the organization of a key; if that fails, its first answer will tell."""
        endpoint = self._endpoints().get(name)
        if endpoint is None:
            return
        try:
            async with self._introductions, _asked(upstream, endpoint) as (answer, body):
                # The name may belong to another key by now.
                if self._endpoints().get(name) != endpoint:
                    return
                if answer.status == 200:
                    self._dispatcher.introduced(name, answer.headers)
                elif answer.status == _NO_SUCH_KEY and is_of_key(answered_failure(_NO_SUCH_KEY, body)):
                    self._dispatcher.refused(name)
                    self._on_refused(name)
        except FailedError:
            pass
        except Exception:
            _log.exception("The organization of a key could not be determined. key=%s", name)

    async def probe_host(self, host: Host, name: str, upstream: Upstream) -> None:
        """Probe a host once, with this key, and tell the pool the result."""
        endpoint = self._endpoints().get(name)
        is_well = False
        try:
            if endpoint is not None:
                async with asyncio.timeout(HOST_PROBE_SECONDS), _asked(upstream, endpoint) as (answer, _):
                    is_well = answer.status < 500
        except (FailedError, TimeoutError):
            pass
        except Exception:
            _log.exception("A host could not be probed. key=%s", name)
        finally:
            self._dispatcher.host_probed(host, is_well=is_well)

    async def probe(self, name: str, upstream: Upstream) -> None:
        """Probe a key once, and tell the pool the result."""
        endpoint = self._endpoints().get(name)
        is_well: bool | None = None
        try:
            if endpoint is not None:
                is_well = await _is_accepted(upstream, endpoint)
        except FailedError:
            # Upstream could not be asked: that says nothing about the key.
            pass
        except Exception:
            # A failing probe must not keep the other keys from being probed.
            _log.exception("A refused key could not be probed. key=%s", name)
        finally:
            self._dispatcher.probed(name, is_well=is_well)
        if is_well is False:
            self._on_refused(name)


def is_of_key(failure: Failure) -> bool:
    """Whether upstream says explicitly that the key is invalid; hosts without this endpoint may refuse it otherwise."""
    return failure.kind is ErrorKind.KEY_REJECTED and failure.upstream_type == "authentication_error"


async def _is_accepted(upstream: Upstream, endpoint: Endpoint) -> bool:
    async with _asked(upstream, endpoint) as (answer, _):
        return answer.status not in _REFUSALS


@asynccontextmanager
async def _asked(upstream: Upstream, endpoint: Endpoint) -> AsyncIterator[tuple[UpstreamAnswer, bytes]]:
    """The answer to a request that costs nothing, and its body."""
    call = Call(endpoint.profile.version or CURRENT_VERSION, method="GET", path=PROBE_PATH)
    async with upstream.open(endpoint, call) as answer:
        yield answer, await answer.read(_MAX_BYTES)
