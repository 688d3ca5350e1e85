"""Everything one process has that outlives a request: kept turns, stored responses, and the seals for callers."""

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict

from gateway.config import Config
from gateway.kept_turns.caller_seals import CallerSeals
from gateway.kept_turns.opening import kind_of, open_records, open_store
from gateway.kept_turns.seal_keys import SealKeys
from gateway.kept_turns.shown import Databases
from gateway.kept_turns.switch import StoreSwitch


class Storage:
    """Opens nothing until it is started or used. A reload replaces only what the new configuration changes."""

    def __init__(self, config: Config) -> None:
        self.store = StoreSwitch(open_store(config.store))
        self.records = open_records(config)
        self._config = config
        self._keys = SealKeys()
        self.seals = CallerSeals(lambda: self._keys.of(self._config))
        self._work: set[asyncio.Task[None]] = set()

    @property
    def keeps_responses(self) -> bool:
        """Whether responses and conversations are kept at all."""
        return self._config.responses.store and kind_of(self._config.store) != "off"

    def reload(self, config: Config) -> None:
        """Use another configuration, also in running requests. What is replaced completes its pending writes."""
        old, self._config = self._config, config
        if old.store != config.store:
            store = self.store.replace(open_store(config.store))
            self._do(store.close())
            self._do(self.store.current.start())
        if (old.store, old.responses) != (config.store, config.responses):
            records = self.records.replace_by(open_records(config))
            self.seals.ask_again()
            self._do(records.close())
            self._do(self.records.start())

    async def start(self) -> None:
        """Open databases and connections, so that the log reports failures before the first request meets them."""
        await asyncio.gather(self.store.current.start(), self.records.start())

    async def close(self) -> None:
        """Complete pending writes, then close."""
        await asyncio.gather(*self._work)
        await self.store.close()
        await self.records.close()

    def databases(self) -> Databases:
        """Where each database is, and what of it is in memory now."""
        shown = {"store": asdict(self.store.current.view()), "responses": asdict(self.records.view())}
        return {name: {what: value for what, value in view.items() if what != "counts"} for name, view in shown.items()}

    def tally(self) -> dict[str, dict[str, int]]:
        """What was counted since the start."""
        return {
            "store": asdict(self.store.current.counts),
            "responses": asdict(self.records.counts),
            "seals": asdict(self.seals.counts),
        }

    @property
    def is_well(self) -> bool:
        """Whether the last use of the database or server succeeded; True without one."""
        return self.store.current.is_well and self.records.is_well

    def _do(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
