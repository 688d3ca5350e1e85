"""Puts the rooms together; only the command line imports it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import TypeVar

from msgspec.structs import asdict
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from gateway.api.auth import Authenticator, Caller
from gateway.api.chat import ChatCompletions
from gateway.api.completions import Completions
from gateway.api.generation import GenerationSettings, Generator
from gateway.api.interrupts import Interrupts
from gateway.api.messages import COUNT_TOKENS, MESSAGES, Messages, NativeRoute, NativeSettings
from gateway.api.middleware import Edge
from gateway.api.models import Models
from gateway.api.pages import FrontDoor, Health, Shortcut, unknown_url
from gateway.config import Config, KeyConfig
from gateway.keypool import Key, KeyPool, PoolSettings, RetryBudget
from gateway.proxy.catalogue import Catalogue, ModelEntry, fetch_models
from gateway.proxy.dispatch import Dispatcher
from gateway.proxy.exchange import Services
from gateway.proxy.lessons import Lessons
from gateway.proxy.probing import Prober
from gateway.proxy.retry import RetryPolicy
from gateway.proxy.routing import Aliases
from gateway.secret import Secret
from gateway.telemetry.logs import log_event
from gateway.upstream.client import upstream_client
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.upstream.limits import TimeLimits
from translators.chat.request import Options
from translators.errors import FailedError
from translators.models import model_table

# After a failure the list of models is asked for again sooner than the configured interval.
_RETRY_LIST_SECONDS = 60.0

G = TypeVar("G", bound=Generator)


class Gateway:
    """The whole gateway as one ASGI application, with what the command line needs to know of it."""

    def __init__(self, config: Config, *, callers_base_url: str) -> None:
        self.config = config
        self.aliases = Aliases(config.models.aliases, with_builtin=config.models.builtin_aliases)
        self.interrupts = Interrupts()
        self._callers_base_url = callers_base_url
        self._endpoints = endpoints_of(config)
        self._upstream = upstream_client(
            TimeLimits(**asdict(config.timeouts)), config.upstream.client, config.upstream.ca_file
        )
        # One pool for all endpoints: what one of them learns about a key holds for the others.
        self.services = Services(
            dispatcher=Dispatcher(
                KeyPool(map(_pool_key, config.keys), PoolSettings(config.pool.strategy, 1 / config.server.workers)),
                queue_size=config.pool.queue_size,
                queue_timeout_seconds=config.pool.queue_timeout_seconds,
            ),
            endpoints=self._endpoints,
            upstream=self._upstream,
            policy=RetryPolicy(config.retries.max_attempts, config.retries.deadline_seconds),
            budget=RetryBudget(config.retries.budget_percent),
        )
        self._lessons = Lessons()
        self._models = model_table()
        for model, abilities in config.models.abilities.items():
            given = {name: value for name, value in asdict(abilities).items() if value is not None}
            self._models.override(model, given)
        self._catalogue = Catalogue(self.aliases, self._models)
        self._authenticator = Authenticator(
            ((Caller(client.name, sees_key=client.sees_key), client.api_key) for client in config.clients),
            has_keys=bool(config.keys),
        )
        self.app = self._assemble()

    def _assemble(self) -> ASGIApp:
        """The routes, each with and without /v1, inside the layers that every request passes."""
        chat = self._generator(ChatCompletions)
        completions = self._generator(Completions)
        messages, count_tokens = self._native(MESSAGES), self._native(COUNT_TOKENS)
        models = Models(self._authenticator, self._catalogue)
        routes: list[BaseRoute] = [
            Route("/", FrontDoor(version("dragoman")), methods=["GET"]),
            Route("/health", Health(), methods=["GET"]),
        ]
        for prefix in ("/v1", ""):
            routes += [
                Route(f"{prefix}/chat/completions", chat, methods=["POST"]),
                Route(f"{prefix}/completions", completions, methods=["POST"]),
                Route(f"{prefix}/messages", messages, methods=["POST"]),
                Route(f"{prefix}/messages/count_tokens", count_tokens, methods=["POST"]),
                Route(f"{prefix}/models", models, methods=["GET"]),
                Route(f"{prefix}/models/{{model:path}}", models, methods=["GET"]),
            ]
        router = Router(routes, default=unknown_url, redirect_slashes=False, lifespan=self._lifespan)
        hot: dict[str, ASGIApp] = {f"{prefix}/chat/completions": chat for prefix in ("/v1", "")}
        hot |= {f"{prefix}/messages": messages for prefix in ("/v1", "")}
        origins = self.config.server.cors_origins
        edge = Edge(Shortcut(hot, router), guards_loopback=not self._authenticator.needs_key, allowed_origins=origins)
        if not origins:
            return edge
        return CORSMiddleware(
            edge,
            allow_origins=origins,
            allow_methods=["GET", "POST", "OPTIONS"],
            allow_headers=["*"],
            expose_headers=["*"],
            max_age=3600,
        )

    def _generator(self, kind: type[G]) -> G:
        """An endpoint that generates text."""
        config = self.config
        options = Options(
            max_output_tokens=config.models.max_output_tokens,
            always_show_reasoning=config.translation.show_reasoning == "always",
            reject_unsupported=config.translation.on_unsupported == "reject",
            always_cache=config.translation.prompt_caching == "always",
            allowed_fields=frozenset(config.translation.allow_native),
            max_choices=config.translation.max_choices,
        )
        return kind(
            authenticator=self._authenticator,
            services=self.services,
            own_endpoint=self._own_endpoint,
            aliases=self.aliases,
            models=self._models,
            settings=GenerationSettings(
                options, config.server.max_body_bytes, config.streaming.keepalive_seconds, config.models.fallbacks
            ),
            interrupts=self.interrupts,
            lessons=self._lessons,
        )

    def _native(self, route: NativeRoute) -> Messages:
        """An endpoint for callers who speak Messages."""
        config = self.config
        return Messages(
            route,
            authenticator=self._authenticator,
            services=self.services,
            own_endpoint=self._own_endpoint,
            aliases=self.aliases,
            settings=NativeSettings(
                config.server.max_body_bytes,
                config.streaming.keepalive_seconds,
                frozenset(config.translation.allow_native),
                config.models.fallbacks,
            ),
            interrupts=self.interrupts,
        )

    def _own_endpoint(self, secret: Secret) -> HostEndpoint:
        return endpoint("caller", secret, self._callers_base_url, is_callers_own=True)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        prober = Prober(self.services.dispatcher, lambda: self._endpoints)
        chores = [
            asyncio.create_task(self._keep_catalogue_fresh()),
            asyncio.create_task(prober.run(lambda: self._upstream)),
        ]
        try:
            yield
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self._upstream.close()

    async def _keep_catalogue_fresh(self) -> None:
        """Ask upstream for its models now and then; what was known stays while it cannot be reached."""
        while self._endpoints:
            is_complete = await self._refresh_catalogue()
            interval = self.config.models.refresh_seconds
            await asyncio.sleep(interval if is_complete else min(_RETRY_LIST_SECONDS, interval))

    async def _refresh_catalogue(self) -> bool:
        entries: dict[str, ModelEntry] = {}
        is_complete = True
        for host in {found.base_url: found for found in self._endpoints.values()}.values():
            try:
                entries |= {entry.id: entry for entry in await fetch_models(self._upstream, host)}
            except FailedError as error:
                is_complete = False
                log_event(
                    logging.WARNING,
                    "The list of models could not be fetched",
                    key=host.name,
                    why=error.failure.detail or str(error),
                )
        if entries:
            self._catalogue.update(entries.values())
        return is_complete


def _pool_key(key: KeyConfig) -> Key:
    """A key as the pool knows it."""
    return Key(
        key.name,
        key.weight,
        host=key.base_url,
        organization=key.organization,
        workspace=key.workspace,
        max_concurrency=key.max_concurrency,
        priority=key.priority,
    )


def endpoints_of(config: Config) -> dict[str, HostEndpoint]:
    """An endpoint for each configured key, by its name."""
    return {key.name: endpoint(key.name, key.api_key, key.base_url, api_version=key.api_version) for key in config.keys}
