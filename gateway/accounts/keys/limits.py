"""What a key may be used for: models, endpoints, source networks, a largest `max_tokens`, named end users."""

import ipaddress
import re
from fnmatch import translate
from functools import cached_property
from typing import Annotated, Final

from msgspec import Meta, Struct

# The endpoints that a key may be limited to, as they are called below /v1. Each includes the paths below it.
ENDPOINTS: Final = (
    "chat/completions",
    "completions",
    "responses",
    "responses/compact",
    "responses/input_tokens",
    "messages",
    "messages/count_tokens",
    "conversations",
    "models",
)
# A caller may always ask what its own key may do.
ALWAYS: Final = "/v1/key"
_VERSIONED: Final = "/v1/"
# Answers that are remembered for one key; what does not fit is found out again.
_MOST_REMEMBERED: Final = 64

Patterns = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=100)]
MaxTokens = Annotated[int, Meta(ge=1, le=10_000_000)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, dict=True):
    """The limits of one key; an empty list allows everything, and `max_tokens: null` any number.

    `models` are patterns for the ids of models, and for the names that the table of aliases gives them.
    """

    models: Patterns = ()
    endpoints: Patterns = ()
    networks: Patterns = ()
    max_tokens: MaxTokens | None = None
    needs_end_user: bool = False

    def allows_model(self, model: str, alias: str | None = None) -> bool:
        """Whether a model may be used, by its id or by the alias that it was asked by."""
        if not self.models:
            return True
        return self._model.fullmatch(model) is not None or (
            alias is not None and self._model.fullmatch(alias) is not None
        )

    def allows_endpoint(self, path: str) -> bool:
        """Whether a path may be used, with /v1 or without."""
        if not self.endpoints:
            return True
        path = path if path.startswith(_VERSIONED) else f"/v1{path}"
        return path == ALWAYS or any(
            path == f"/v1/{name}" or path.startswith(f"/v1/{name}/") for name in self.endpoints
        )

    def allows_address(self, address: str | None) -> bool:
        """Whether requests may come from an address; an unknown one is outside of every network."""
        if not self.networks:
            return True
        if address is None:
            return False
        known = self._addresses.get(address)
        if known is None:
            known = self._is_inside(address)
            if len(self._addresses) < _MOST_REMEMBERED:
                self._addresses[address] = known
        return known

    def _is_inside(self, address: str) -> bool:
        try:
            read = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(read in network for network in self._networks)

    # Made when they are first needed: of many keys few are in use.

    @cached_property
    def _model(self) -> re.Pattern[str]:
        return re.compile("|".join(map(translate, self.models)))

    @cached_property
    def _networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(map(ipaddress.ip_network, self.networks))

    @cached_property
    def _addresses(self) -> dict[str, bool]:
        return {}


NO_LIMITS: Final = Limits()


def checked(limits: Limits) -> Limits:
    """The limits in their usual spelling; a `ValueError` says what is wrong with them."""
    return Limits(
        models=tuple(dict.fromkeys(name.strip() for name in limits.models)),
        endpoints=tuple(dict.fromkeys(map(_endpoint, limits.endpoints))),
        networks=tuple(dict.fromkeys(map(_network, limits.networks))),
        max_tokens=limits.max_tokens,
        needs_end_user=limits.needs_end_user,
    )


def _endpoint(text: str) -> str:
    name = text.strip().strip("/").removeprefix("v1/")
    if name not in ENDPOINTS:
        raise ValueError(f"'{text[:50]}' is no endpoint that a key can be limited to: use {', '.join(ENDPOINTS)}")
    return name


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError(f"'{text[:50]}' is neither an address nor a network, like 10.0.0.7 or 10.0.0.0/8") from None
