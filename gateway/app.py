"""Builds the gateway from its parts; imported by the command line only."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.accounts.opening import KeysOfProcess, authenticator_of
from gateway.accounts.rules.authority import Authority
from gateway.accounts.ruling import RulesOfProcess
from gateway.accounts.visits import Accounts
from gateway.alerts.pool import log_outage
from gateway.alerts.watch import Alerts
from gateway.config import Changes, Config, Source, changes_between
from gateway.doors.table import GatewayParts, assemble
from gateway.edge.interrupts import Interrupts
from gateway.kept_turns import Storage
from gateway.keypool import RetryBudget
from gateway.ledger.opening import accounts_file
from gateway.ledger.reading import LedgerReading
from gateway.ledger.storage import Ledger
from gateway.pages.health import Readiness
from gateway.pages.overviews import overviews
from gateway.process.observing import Observed, Observing
from gateway.process.parts import (
    background_settings,
    dispatcher_of,
    endpoints_of,
    pool_key,
    pool_settings,
    redactor_of,
    tables_of,
    upstream_of,
)
from gateway.process.rotation import Rotation
from gateway.secret import Secret
from gateway.service.background import Background
from gateway.service.catalogue import Catalogue, ModelEntry, fetch_models
from gateway.service.conversations import Conversations
from gateway.service.kept import KeptTurns
from gateway.service.lessons import Lessons
from gateway.service.outages import Outages
from gateway.service.own_keys import OwnLimits
from gateway.service.probing import Prober, is_of_key
from gateway.service.responses import StoredResponses
from gateway.service.retry import RetryPolicy
from gateway.service.services import Services
from gateway.service.sightings import Sightings
from gateway.service.signers import Signers
from gateway.service.times import REAL_TIMES, Times
from gateway.service.totals import Totals
from gateway.telemetry.logs import log_event
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.workers.views import Views
from translators.errors import FailedError
from translators.models import ModelTable
from translators.prices import prices_of

# After a failure the list of models is fetched again after this time, or after the configured interval if shorter.
_RETRY_LIST_SECONDS: Final = 60.0
# After the grace period, what runs in the background has this long to write how it has ended.
_FAREWELL_SECONDS: Final = 5.0
_NO_SOURCES: Final[Mapping[str, Source]] = MappingProxyType({})


class Switch:
    """A single ASGI application for the server that delegates to the current one; each request keeps the one it got."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    # Not a coroutine: that would add a frame around every event of a stream.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.app(scope, receive, send)


class Gateway:
    """The whole gateway as one ASGI application, with what the command line needs.

    `key_sources` maps key names to where their secrets can be read again; `worker` is the number of this process.
    `times` are the sources of time for requests; `authority` gives out the meters of rules, if not this process.
    """

    def __init__(
        self,
        config: Config,
        *,
        callers_base_url: str,
        key_sources: Mapping[str, Source] = _NO_SOURCES,
        worker: int = 1,
        times: Times = REAL_TIMES,
        authority: Authority | None = None,
    ) -> None:
        self.config, self._times = config, times
        self.views = Views(worker, config.server.workers)
        self.interrupts = Interrupts()
        self._callers_base_url = callers_base_url
        self._key_sources = key_sources
        self._rotation = Rotation(self._use_secret)
        self._upstream = upstream_of(config)
        self._alerts = Alerts(config, now=times.now)
        self._ledger_reading = LedgerReading(config.accounts)
        # One pool for all endpoints: what one of them learns about a key applies to the others.
        self._dispatcher = dispatcher_of(config, times.clock, self._alerts.on_change)
        self._budget = RetryBudget(config.retries.budget_percent)
        self._endpoints = endpoints_of(config)
        self._redactor = redactor_of(config)
        self._lessons = Lessons(times.clock)
        self._kept = Storage(config)
        self.readiness = Readiness({"store": lambda: self._kept.is_well, "ledger": lambda: self.ledger.is_well})
        self.ledger = Ledger(config.accounts, clock=times.clock)
        self._turns = KeptTurns(self._kept.store)
        self.background = Background(self._kept.records, now=times.now)
        self._signers = Signers(self._kept.store)
        self.sightings = Sightings()
        self._totals, self._guesses, self._own_limits = Totals(), Guesses(), OwnLimits()
        self._accounts_file = accounts_file(config.accounts)
        self.keys = KeysOfProcess(lambda: self.config, times.now, self._accounts_file)
        self.rules = RulesOfProcess(config, times.now, self._accounts_file, authority)
        models, self.aliases = tables_of(config)
        self._catalogue = Catalogue(self.aliases, models)
        self._wants_catalogue = asyncio.Event()
        observed = self._observed()
        self.observing = Observing(config, models, observed, times.now)
        self.app = Switch(self._assembled(models))

    def _observed(self) -> Observed:
        return Observed(
            self._dispatcher,
            self.interrupts,
            self.background,
            self._kept,
            self._turns,
            self.ledger,
            self.rules.rules,
        )

    def reload(self, config: Config, key_sources: Mapping[str, Source] = _NO_SOURCES) -> Changes:
        """Serve new requests with this configuration, and running ones with the old one; returns the changes.

        What was learned about keys, models and hosts is kept.
        """
        old, self.config, self._key_sources = self.config, config, key_sources
        self._rotation.keep_only(key_sources)
        if (old.upstream, old.timeouts) != (config.upstream, config.timeouts):
            self._upstream.retire()
            self._upstream = upstream_of(config)
        self._kept.reload(config)
        self.ledger.reload(config.accounts)
        self._alerts.reload(config)
        self._ledger_reading.reload(config.accounts)
        self._dispatcher.update(
            map(pool_key, config.keys),
            pool_settings(config),
            queue_size=config.pool.queue_size,
            queue_timeout_seconds=config.pool.queue_timeout_seconds,
        )
        if old.retries.budget_percent != config.retries.budget_percent:
            self._budget = RetryBudget(config.retries.budget_percent)
        # A running request may hold a key that was removed, and may continue with a new one.
        gone = {name: found for name, found in self._endpoints.items() if name in self._dispatcher.pool.leaving}
        self._endpoints.clear()
        self._endpoints.update(endpoints_of(config) | gone)
        self._redactor = redactor_of(config)
        models, self.aliases = tables_of(config)
        self._catalogue = self._catalogue.renewed(self.aliases, models)
        self.observing.use(config, models)
        self.app.app = self._assembled(models)
        if {key.base_url for key in old.keys} != {key.base_url for key in config.keys} or old.models != config.models:
            self._wants_catalogue.set()
        return changes_between(old, config)

    def _services_with(self, models: ModelTable) -> Services:
        return Services(
            dispatcher=self._dispatcher,
            endpoints=self._endpoints,
            upstream=self._upstream,
            policy=RetryPolicy(self.config.retries.max_attempts, self.config.retries.deadline_seconds),
            budget=self._budget,
            sleep=self._times.sleep,
            now=self._times.now,
            on_refused=self._on_refused,
            kept_turns=self._turns,
            signers=self._signers,
            models=models,
            prices=prices_of(self.config.models.prices),
            own_limits=self._own_limits,
            responses=StoredResponses(self._kept.records, is_on=self._kept.keeps_responses),
            conversations=Conversations(self._kept.records, is_on=self._kept.keeps_responses),
            background=self.background,
            seals=self._kept.seals,
        )

    def _assembled(self, models: ModelTable) -> ASGIApp:
        config = self.config
        self.background.settings = background_settings(config, is_on=self._kept.keeps_responses)
        self.services = self._services_with(models)
        self.rules.reload(config, models, self.services.prices, self.aliases)
        authenticator = authenticator_of(config, self._guesses, self.keys.book)
        self.views.offer(*overviews(self.services, self._totals, self._kept, self._lessons), *self.observing.views())
        parts = GatewayParts(
            services=self.services,
            aliases=self.aliases,
            models=models,
            catalogue=self._catalogue,
            authenticator=authenticator,
            accounts=Accounts(authenticator, self.rules.rules, self.ledger.check),
            observers=(self._totals, self.ledger, *self.observing.observers, *self._alerts.observers),
            watchers=self.observing.observers,
            trace=self.observing.trace,
            own_endpoint=self._own_endpoint,
            interrupts=self.interrupts,
            lessons=self._lessons,
            views=self.views,
            readiness=self.readiness,
            sightings=self.sightings,
            guesses=self._guesses,
            keys=self.keys,
            rules=self.rules,
            reports=self._ledger_reading.reports,
            now=self._times.now,
            on_answered=self.observing.on_answered,
        )
        return assemble(config, parts, self._lifespan)

    def _own_endpoint(self, secret: Secret) -> HostEndpoint:
        return endpoint("caller", secret, self._callers_base_url, is_callers_own=True, hide_others=self._redactor)

    # Rotated secrets

    def _on_refused(self, key: str) -> "asyncio.Task[bool] | None":
        source = self._key_sources.get(key)
        return None if source is None else self._rotation.ask(key, source)

    def _use_secret(self, name: str, source: Source, secret: Secret) -> bool:
        """Use a secret that was read again, if it is new and from the key's current source; returns whether it is."""
        if self._key_sources.get(name) != source:
            return False
        if any(key.name == name and key.api_key == secret for key in self.config.keys):
            # An unchanged secret must not trigger a reload, which would end the pauses of all keys.
            return False
        keys = tuple(replace(key, api_key=secret) if key.name == name else key for key in self.config.keys)
        if not self.reload(replace(self.config, keys=keys), self._key_sources):
            return False
        log_event(logging.INFO, "A rejected key has a new secret", key=name)
        return True

    # Background tasks, and the list of models

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        await self.keys.start()
        await self.rules.start()
        prober = Prober(self._dispatcher, lambda: self._endpoints, self._on_refused)
        chores = [
            asyncio.create_task(self.keys.watch()),
            asyncio.create_task(self.rules.watch()),
            asyncio.create_task(self._keep_catalogue_fresh()),
            asyncio.create_task(prober.run(lambda: self._upstream)),
            asyncio.create_task(Outages(self._dispatcher, log_outage).run()),
            asyncio.create_task(self._alerts.watch_budgets(self.rules.meters)),
            asyncio.create_task(self.readiness.follow(self._kept.start())),
            asyncio.create_task(self.ledger.run()),
        ]
        self.observing.start()
        try:
            yield
        finally:
            self.observing.stop()
            await self.background.close(self.config.server.shutdown_grace_seconds + _FAREWELL_SECONDS)
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            self.rules.close()
            parts = (self._alerts, self.observing, self._ledger_reading, self._kept, self._accounts_file, self.ledger)
            for part in (*parts, self._upstream):
                if part is not None:
                    await part.close()

    async def _keep_catalogue_fresh(self) -> None:
        """Fetch upstream's list of models periodically; the last list is kept while upstream cannot be reached."""
        while True:
            self._wants_catalogue.clear()
            is_complete = await self._refresh_catalogue()
            interval = self.config.models.refresh_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval if is_complete else min(_RETRY_LIST_SECONDS, interval)):
                    await self._wants_catalogue.wait()

    async def _refresh_catalogue(self) -> bool:
        entries: dict[str, ModelEntry] = {}
        is_complete = True
        for host in {found.base_url: found for found in endpoints_of(self.config).values()}.values():
            try:
                entries |= {entry.id: entry for entry in await fetch_models(self._upstream, host)}
            except FailedError as error:
                is_complete = False
                if is_of_key(error.failure):
                    # Reported as a change of the key, so that requests with other keys are not affected.
                    self._dispatcher.refused(host.name)
                    self._on_refused(host.name)
                    continue
                said = "The list of models could not be fetched"
                log_event(logging.WARNING, said, key=host.name, why=error.failure.in_full)
        if entries:
            self._catalogue.update(entries.values())
        return is_complete
