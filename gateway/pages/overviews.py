"""The views behind `/admin/...`: what this process shows, and how the views of all workers become one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from msgspec.structs import asdict as asdict_of

from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.standings import RuleStanding, merged_standings, standings
from gateway.kept_turns import Storage, merged_databases
from gateway.keypool import PoolView, merged
from gateway.service.lessons import Lessons
from gateway.service.services import Services
from gateway.service.totals import Totals, clients_of
from gateway.workers.views import View

POOL = "pool"
CLIENTS = "clients"
STORE = "store"
LESSONS = "lessons"
STANDINGS = "standings"


def standings_view(meters: Callable[[], Sequence[Meter]], now: Callable[[], float]) -> View[Any]:
    """How near the rules are to their amounts."""
    return View(
        STANDINGS,
        list[RuleStanding],
        lambda: standings(meters(), now()),
        lambda found, _: {STANDINGS: [asdict_of(each) for each in merged_standings(found)]},
    )


def overviews(services: Services, totals: Totals, storage: Storage, lessons: Lessons) -> tuple[View[Any], ...]:
    """All of them, for one configuration."""
    return (
        View(
            LESSONS,
            list[tuple[str, str, str]],
            lambda: lessons.told(services.models),
            lambda found, _: {LESSONS: sorted(set(chain.from_iterable(found)))},
        ),
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
