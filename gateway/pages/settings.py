"""`/admin/settings`: the configuration as it is understood, without secrets, and the mistakes of a draft of another."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.accounts.pace import Pace
from gateway.edge.requests import read_body
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import AdminKeys, check_admin
from translators.reading import checked_body, decode

# YAML is read slowly, about 100 KB a second.
_MOST_BYTES: Final = 64 * 1024


class _Draft(Struct, forbid_unknown_fields=True):
    yaml: str


_DRAFT: Final = msgspec.json.Decoder(_Draft)


@dataclass(frozen=True, slots=True)
class SettingsParts:
    """What the pages share: the sections, and what finds the mistakes of a text as `dragoman check` does."""

    keys: AdminKeys
    guesses: Guesses
    pace: Pace
    sections: Callable[[], Sequence[dict[str, object]]]
    mistakes_in: Callable[[str], list[dict[str, object]]]


class SettingsPage:
    """The sections of the running configuration."""

    def __init__(self, parts: SettingsParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_admin(scope, self._parts.keys, self._parts.guesses)
        await responder_of(scope).send_json(200, orjson.dumps({"sections": self._parts.sections()}), NEVER_KEPT)


class DraftPage:
    """The mistakes of a draft. For administrators only: a draft may ask whether variables are set."""

    def __init__(self, parts: SettingsParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._parts
        check_admin(scope, parts.keys, parts.guesses, writes=True)
        parts.pace.take()
        draft = decode(_DRAFT, checked_body(await read_body(scope, receive, _MOST_BYTES)))
        mistakes = await asyncio.to_thread(parts.mistakes_in, draft.yaml)
        body = orjson.dumps({"mistakes": mistakes})
        await responder_of(scope).send_json(200, body, NEVER_KEPT)
