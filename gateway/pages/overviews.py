"""The views behind `/admin/...`: what this process shows, and how the views of all workers become one."""

from dataclasses import asdict
from typing import Any

from gateway.kept_turns import Storage, merged_databases
from gateway.keypool import PoolView, merged
from gateway.service.services import Services
from gateway.service.totals import Totals, clients_of
from gateway.workers.views import View

POOL = "pool"
CLIENTS = "clients"
STORE = "store"


def overviews(services: Services, totals: Totals, storage: Storage) -> tuple[View[Any], ...]:
    """All of them, for one configuration."""
    return (
        View(POOL, PoolView, services.dispatcher.snapshot, lambda values, _: {"pool": merged(values)}),
        View(
            CLIENTS,
            type(None),
            lambda: None,
            lambda _, tally: {"clients": clients_of(tally)},
            totals.tally,
        ),
        View(
            STORE,
            dict[str, dict[str, Any]],
            storage.databases,
            merged_databases,
            lambda: {"turns": asdict(services.kept_turns.counts), **storage.tally()},
        ),
    )
