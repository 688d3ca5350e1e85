"""Looking after rejected keys: a question that costs nothing tells whether a key is accepted again."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from gateway.proxy.dispatch import Dispatcher
from gateway.proxy.ports import Call, Endpoint, Upstream
from translators.errors import FailedError
from translators.hosts import CURRENT_VERSION

PROBE_PATH: Final = "/v1/models?limit=1"
_INTERVAL_SECONDS: Final = 1.0
_MAX_BYTES: Final = 64 * 1024
# Anything else is an answer to the question, or none of the key's business.
_REFUSALS: Final = frozenset({401, 402, 403})

_log: Final = logging.getLogger("dragoman")


class Prober:
    """Asks upstream for a list of models with each key that was rejected, when the pool says that it is time.

    `on_refused` is told the name of a key that upstream still rejects: its secret may be another one by now.
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

    async def run(self, upstream: Callable[[], Upstream]) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(_INTERVAL_SECONDS)
                for name in self._dispatcher.pool.due_probes(self._dispatcher.clock()):
                    group.create_task(self.probe(name, upstream()))

    async def probe(self, name: str, upstream: Upstream) -> None:
        """Ask once, and tell the pool."""
        endpoint = self._endpoints().get(name)
        is_well: bool | None = None
        try:
            if endpoint is not None:
                is_well = await _is_accepted(upstream, endpoint)
        except FailedError:
            # Upstream could not be asked: that says nothing of the key.
            pass
        except Exception:
            # One that cannot be asked must not keep the others from being asked.
            _log.exception("A rejected key could not be asked about. key=%s", name)
        finally:
            self._dispatcher.probed(name, is_well=is_well)
        if is_well is False:
            self._on_refused(name)


async def _is_accepted(upstream: Upstream, endpoint: Endpoint) -> bool:
    call = Call(endpoint.profile.version or CURRENT_VERSION, method="GET", path=PROBE_PATH)
    async with upstream.open(endpoint, call) as answer:
        await answer.read(_MAX_BYTES)
        return answer.status not in _REFUSALS
