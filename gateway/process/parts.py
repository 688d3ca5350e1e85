"""What a configuration becomes: endpoints, keys of the pool, limits, tables of models."""

import hashlib
from collections.abc import Callable
from typing import Final

from msgspec.structs import asdict

from gateway.config import Config, KeyConfig
from gateway.keypool import Key, KeyPool, KeyState, PoolSettings
from gateway.secret import Redactor
from gateway.service.background import BackgroundSettings
from gateway.service.dispatch import Change, Dispatcher
from gateway.service.routing import Aliases
from gateway.upstream.client import UpstreamClient, upstream_client
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.upstream.limits import TimeLimits
from translators.models import ModelTable, model_table

# Shorter keys, which are only allowed on loopback addresses, may occur as words in any text.
_SHORTEST_HIDDEN: Final = 8


def endpoints_of(config: Config) -> dict[str, HostEndpoint]:
    """The endpoints of all configured keys, by name."""
    hide = redactor_of(config)
    return {
        key.name: endpoint(key.name, key.api_key, key.base_url, api_version=key.api_version, hide_others=hide)
        for key in config.keys
    }


def redactor_of(config: Config) -> Redactor:
    """Hides the keys of the pool, clients, admin and alerts, which hosts or callers may have put into a text."""
    secrets = [key.api_key for key in config.keys] + [client.api_key for client in config.clients]
    more = (config.admin.api_key, config.admin.viewer_key, config.metrics.api_key)
    secrets += [secret for secret in (*more, config.alerts.url, config.alerts.secret) if secret is not None]
    return Redactor(secrets, shortest=_SHORTEST_HIDDEN)


def dispatcher_of(config: Config, clock: Callable[[], float], report: Callable[[Change, KeyState], None]) -> Dispatcher:
    pool, limits = KeyPool(map(pool_key, config.keys), pool_settings(config)), config.pool
    size, seconds = limits.queue_size, limits.queue_timeout_seconds
    return Dispatcher(pool, queue_size=size, queue_timeout_seconds=seconds, clock=clock, report=report)


def pool_key(key: KeyConfig) -> Key:
    return Key(
        key.name,
        key.weight,
        host=key.base_url,
        organization=key.organization,
        workspace=key.workspace,
        max_concurrency=key.max_concurrency,
        priority=key.priority,
        mark=hashlib.sha256(key.api_key.reveal().encode()).digest(),
    )


def pool_settings(config: Config) -> PoolSettings:
    return PoolSettings(config.pool.strategy, share=1 / config.server.workers)


def background_settings(config: Config, *, is_on: bool) -> BackgroundSettings:
    limits = config.responses
    return BackgroundSettings(is_on, limits.background_tasks, limits.background_per_client, config.server.workers)


def upstream_of(config: Config) -> UpstreamClient:
    return upstream_client(TimeLimits(**asdict(config.timeouts)), config.upstream.client, config.upstream.ca_file)


def tables_of(config: Config) -> tuple[ModelTable, Aliases]:
    """What the models can do, and which of them a name means."""
    models, settings = model_table(), config.models
    for model, abilities in settings.abilities.items():
        models.override(model, {name: value for name, value in asdict(abilities).items() if value is not None})
    return models, Aliases(settings.aliases, with_builtin=settings.builtin_aliases, knows=models.knows)
