"""Builds the endpoints of one configuration and the layers around them; a reload builds them again."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from typing import Final, TypeVar

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Scope

from gateway.accounts.auth import Authenticator
from gateway.accounts.guesses import Guesses
from gateway.accounts.opening import KeysOfProcess
from gateway.accounts.ruling import RulesOfProcess
from gateway.accounts.visits import Accounts
from gateway.config import Config, check_draft, config_table
from gateway.doors.chat import ChatCompletions
from gateway.doors.compaction import Compact
from gateway.doors.completions import Completions
from gateway.doors.door import DoorParts, DoorSettings
from gateway.doors.ending import Ending
from gateway.doors.generation import GenerationSettings, TextEndpoint
from gateway.doors.input_tokens import InputTokens
from gateway.doors.messages import COUNT_TOKENS, MESSAGES, Messages
from gateway.doors.responses import Responses
from gateway.edge.addresses import Addresses
from gateway.edge.cors import CrossOrigin
from gateway.edge.interrupts import Interrupts
from gateway.edge.outermost import Edge
from gateway.ledger.questions import Reports
from gateway.pages.admin import AdminView
from gateway.pages.clients import ClientsPage
from gateway.pages.console import WebFiles, console_routes
from gateway.pages.health import Alive, Readiness, Ready
from gateway.pages.keys import KeyParts, key_routes
from gateway.pages.ledger_access import LedgerAccess
from gateway.pages.metrics import MetricsAccess
from gateway.pages.model_table import ModelNames, ModelTablePage
from gateway.pages.models import Models
from gateway.pages.observations import observation_routes
from gateway.pages.organization import organization_pages
from gateway.pages.overviews import CLIENTS, POOL, STANDINGS, STORE, standings_view
from gateway.pages.own_key import KeyFacts, OwnKeyPage
from gateway.pages.pages import IndexPage, NoWebSocket, Shortcut, UnknownUrl, offered_by
from gateway.pages.pool import ORDERS, PoolOrderPage, PoolParts
from gateway.pages.responses import Replays
from gateway.pages.rules import RuleParts, rule_routes
from gateway.pages.sessions import Sessions, Signing
from gateway.pages.settings import DraftPage, SettingsPage, SettingsParts
from gateway.pages.signing_in import SessionPage
from gateway.pages.state import state_routes
from gateway.pages.usage import UsagePage
from gateway.secret import Secret
from gateway.service.catalogue import Catalogue
from gateway.service.lessons import Lessons
from gateway.service.observers import Observer
from gateway.service.routing import Aliases
from gateway.service.services import Services
from gateway.service.sightings import Sightings
from gateway.telemetry.requests.recent import RECENT
from gateway.upstream.hosts import HostEndpoint
from gateway.workers.views import Views
from translators.messages.options import Options
from translators.models import ModelTable
from translators.native.allowed import Allowed

_PREFIXES: Final = ("/v1", "")
G = TypeVar("G", bound=TextEndpoint)


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """The objects that endpoints depend on."""

    services: Services
    aliases: Aliases
    models: ModelTable
    catalogue: Catalogue
    authenticator: Authenticator
    accounts: Accounts
    observers: Sequence[Observer]
    watchers: Sequence[Observer]
    trace: Callable[[Scope], str | None]
    own_endpoint: Callable[[Secret], HostEndpoint]
    interrupts: Interrupts
    lessons: Lessons
    views: Views
    readiness: Readiness
    sightings: Sightings
    guesses: Guesses
    keys: KeysOfProcess
    reports: Callable[[], Reports | None]
    now: Callable[[], float]
    rules: RulesOfProcess
    key_facts: Sequence[KeyFacts] = ()
    on_answered: Callable[[str, int, str | None], None] | None = None


def assemble(
    config: Config, parts: GatewayParts, lifespan: Callable[[object], AbstractAsyncContextManager[None]]
) -> ASGIApp:
    """The routes, each with and without /v1, wrapped in the layers that every request passes."""
    doors, index = _doors(config, parts), IndexPage(_version(), has_console=config.console.enabled)
    routes: list[BaseRoute] = [Route("/", index, methods=["GET"])]
    routes += [Route(prefix + path, door, methods=["POST"]) for prefix in _PREFIXES for path, door in doors.items()]
    routes += _pages(config, parts)
    offered = offered_by(routes)
    index.tell(offered)
    router: ASGIApp = Router(routes, default=UnknownUrl(offered), redirect_slashes=False, lifespan=lifespan)
    if config.console.enabled:
        router = sessions = Sessions(router, Signing(config.admin, parts.now), partial(_is_open, config, parts))
        parts.authenticator.console = sessions.caller
    hot = {prefix + path: door for prefix in _PREFIXES for path, door in doors.items()}
    return _layers(Shortcut(hot, router), config, parts)


def _is_open(config: Config, parts: GatewayParts) -> bool:
    """Whether the console shows everything to anybody on this machine, which may use the gateway anyway."""
    admin = config.admin
    return admin.api_key is None and admin.viewer_key is None and not parts.authenticator.needs_key


def _layers(app: ASGIApp, config: Config, parts: GatewayParts) -> ASGIApp:
    """The layers around all endpoints."""
    origins = config.server.cors_origins

    # The first stored key closes the gateway while it runs.
    def is_open() -> bool:
        return not parts.authenticator.needs_key

    edge = Edge(
        app,
        guards_loopback=is_open,
        allowed_origins=origins,
        allowed_hosts=config.server.allowed_hosts,
        addresses=Addresses(config.server.trusted_proxies),
        on_answered=parts.on_answered,
    )
    return CrossOrigin(edge, origins, allows_local=is_open)


def _pages(config: Config, parts: GatewayParts) -> Iterator[BaseRoute]:
    """Everything that generates no text."""
    for path in ("/health", "/livez"):
        yield Route(path, Alive(), methods=["GET"])
    yield Route("/readyz", Ready(parts.readiness, partial(_condition, config, parts)), methods=["GET"])
    admin = partial(AdminView, config.admin, parts.guesses, parts.views)
    access = LedgerAccess(config.admin, parts.guesses, parts.reports)
    yield Route("/admin/pool", admin(POOL), methods=["GET"])
    yield Route("/admin/clients", ClientsPage(admin(CLIENTS), access), methods=["GET"])
    yield Route("/admin/store", admin(STORE), methods=["GET"])
    pool_parts = PoolParts(config.admin, parts.guesses, parts.keys.pace, parts.views, parts.keys.note)
    for order in ORDERS:
        parts.views.obey(order, partial(parts.services.dispatcher.carry_out, order))
    yield Route("/admin/pool/{key:path}/{order}", PoolOrderPage(pool_parts), methods=["POST"])
    yield from _key_pages(config, parts)
    yield from _usage_pages(access, parts)
    yield from _observation_routes(config, parts)
    yield from _fact_pages(config, parts)
    yield from _console_pages(config, parts)
    models = Models(parts.authenticator, parts.catalogue)
    for prefix in _PREFIXES:
        yield Route(f"{prefix}/responses", NoWebSocket(), methods=["GET"])
        yield Route(f"{prefix}/models", models, methods=["GET"])
        yield Route(f"{prefix}/models/{{model:path}}", models, methods=["GET"])
    replays = Replays(parts.interrupts, config.streaming.keepalive_seconds)
    yield from state_routes(parts.authenticator, parts.services, config.server.max_body_bytes, parts.now, replays)


def _condition(config: Config, parts: GatewayParts) -> dict[str, object]:
    """What /readyz tells beside its status: counts, since anybody may ask."""
    usable = parts.services.dispatcher.usable_keys
    return {"worker": parts.views.number, "keys": {"configured": len(config.keys), "usable": usable}}


def _key_pages(config: Config, parts: GatewayParts) -> Iterator[BaseRoute]:
    """Stored keys for administrators, and each caller's own key."""
    keys = parts.keys
    yield from key_routes(KeyParts(config.admin, parts.guesses, keys.pace, keys.stored, config.clients, parts.now))
    yield from rule_routes(RuleParts(config.admin, parts.guesses, keys.pace, parts.rules.stored, config.rules))
    own_key = OwnKeyPage(parts.authenticator, keys.book, (parts.rules.facts, *parts.key_facts))
    for prefix in _PREFIXES:
        yield Route(f"{prefix}/key", own_key, methods=["GET"])


def _usage_pages(access: LedgerAccess, parts: GatewayParts) -> Iterator[BaseRoute]:
    """What was used, in our form and in OpenAI's."""
    yield Route("/admin/usage", UsagePage(access, parts.now), methods=["GET"])
    for path, page in organization_pages(access, parts.now):
        yield Route(f"/v1{path}", page, methods=["GET"])
        yield Route(path, page, methods=["GET"])


def _observation_routes(config: Config, parts: GatewayParts) -> Iterator[BaseRoute]:
    """What whoever watches the gateway asks for."""
    admin, metrics, authenticator, access = config.admin, config.metrics, parts.authenticator, None
    if metrics.enabled:
        keys = tuple(key for key in (metrics.api_key, admin.api_key, admin.viewer_key) if key is not None)
        access = MetricsAccess(
            keys, lambda: not authenticator.needs_key, metrics.port is not None, metrics.open_telemetry_names
        )
    has_log = config.request_log.size > 0
    return observation_routes(parts.views, parts.guesses, admin, access, has_request_log=has_log)


def _console_pages(config: Config, parts: GatewayParts) -> Iterator[BaseRoute]:
    """The console, who is signed in there, and what it draws when it opens."""
    if not config.console.enabled:
        return

    def about() -> dict[str, object]:
        has_keys = parts.keys.stored is not None
        return {"version": _version(), "workers": parts.views.count, "keeps_keys": has_keys}

    signing = Signing(config.admin, parts.now)
    session = SessionPage(config.admin, signing, parts.guesses, parts.keys.use_once, about)
    yield Route("/admin/session", session, methods=["GET", "POST", "DELETE"])
    yield Route("/admin/overview", AdminView(config.admin, parts.guesses, parts.views, RECENT), methods=["GET"])
    yield from console_routes(WebFiles())


def _fact_pages(config: Config, parts: GatewayParts) -> Iterator[BaseRoute]:
    """What the gateway knows of models, rules and its own settings."""
    admin, guesses, views = config.admin, parts.guesses, parts.views
    names = ModelNames(parts.aliases, parts.catalogue, parts.services.prices)
    yield Route("/admin/models", ModelTablePage(admin, guesses, views, names), methods=["GET"])
    views.offer(standings_view(parts.rules.meters, parts.now))
    yield Route("/admin/rules/standings", AdminView(admin, guesses, views, STANDINGS), methods=["GET"])
    settings = SettingsParts(admin, guesses, parts.keys.pace, partial(config_table, config), _mistakes_in)
    yield Route("/admin/settings", SettingsPage(settings), methods=["GET"])
    yield Route("/admin/settings/check", DraftPage(settings), methods=["POST"])


@cache
def _version() -> str:
    return version("dragoman")


def _mistakes_in(draft: str) -> list[dict[str, object]]:
    return [{"path": each.path, "line": each.line, "text": str(each)} for each in check_draft(draft, os.environ)]


def _doors(config: Config, parts: GatewayParts) -> dict[str, ASGIApp]:
    """The endpoints that generate text, and those that count or compact it, by their paths."""
    shared, allowed = _shared(config, parts), _native_allowed(config)
    return {
        "/chat/completions": _generator(ChatCompletions, config, parts, shared),
        "/completions": _generator(Completions, config, parts, shared),
        "/responses": _generator(Responses, config, parts, shared),
        "/responses/compact": _generator(Compact, config, parts, shared),
        "/responses/input_tokens": _generator(InputTokens, config, parts, shared),
        "/messages": Messages(MESSAGES, shared, allowed),
        "/messages/count_tokens": Messages(COUNT_TOKENS, shared, allowed),
    }


def _shared(config: Config, parts: GatewayParts) -> DoorParts:
    settings = DoorSettings(config.server.max_body_bytes, config.streaming.keepalive_seconds, config.models.fallbacks)
    return DoorParts(
        accounts=parts.accounts,
        services=parts.services,
        own_endpoint=parts.own_endpoint,
        aliases=parts.aliases,
        settings=settings,
        interrupts=parts.interrupts,
        ending=Ending(parts.observers, parts.now, parts.watchers),
        trace=parts.trace,
    )


def _generator(kind: type[G], config: Config, parts: GatewayParts, shared: DoorParts) -> G:
    """Create a translating endpoint."""
    options = Options(
        max_output_tokens=config.models.max_output_tokens,
        always_show_reasoning=config.translation.show_reasoning == "always",
        reject_unsupported=config.translation.on_unsupported == "reject",
        caching=config.translation.prompt_caching,
        allowed_fields=frozenset(config.translation.allow_native),
        max_choices=config.translation.max_choices,
        server_tools=frozenset(config.native.server_tools),
    )
    return kind(
        shared,
        models=parts.models,
        generation=GenerationSettings(options, Allowed(betas=frozenset(config.native.betas))),
        lessons=parts.lessons,
        sightings=parts.sightings,
        now=parts.now,
    )


def _native_allowed(config: Config) -> Allowed:
    """What Messages clients may use with the pool's keys."""
    return Allowed(
        fields=frozenset(config.translation.allow_native) | frozenset(config.native.fields),
        betas=frozenset(config.native.betas),
        server_tools=frozenset(config.native.server_tools),
    )
