"""`GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape or, when asked with its header, in Anthropic's.

With `client_version` in the query, OpenAI's list also has what Codex reads: `models`.
"""

from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Authenticator, Caller
from gateway.accounts.visits import no_model
from gateway.edge.requests import header
from gateway.edge.responder import responder_of
from gateway.service.catalogue import Catalogue, ModelEntry
from translators.wire.shared import MAX_MODEL_NAME

# Codex says its version when it wants its own list.
_CODEX: Final = b"client_version="


class Models:
    """The list of models, or one model if the path has an id."""

    def __init__(self, authenticator: Authenticator, catalogue: Catalogue) -> None:
        self._authenticator = authenticator
        self._catalogue = catalogue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._authenticator.caller(scope)
        for_anthropic = header(scope, b"anthropic-version") is not None
        model = scope["path_params"].get("model")
        shown = self._list(scope, caller, for_anthropic) if model is None else self._one(model, caller, for_anthropic)
        await responder_of(scope).send_value(shown)

    def _list(self, scope: Scope, caller: Caller, for_anthropic: bool) -> object:
        entries = [entry for entry in self._catalogue.all() if _may_use(caller, entry)]
        if not for_anthropic:
            shown: dict[str, object] = {"object": "list", "data": [entry.as_openai() for entry in entries]}
            if _CODEX in scope.get("query_string", b""):
                shown["models"] = self._catalogue.for_codex(entries)
            return shown
        return {
            "data": [entry.as_anthropic() for entry in entries],
            "has_more": False,
            "first_id": entries[0].id if entries else None,
            "last_id": entries[-1].id if entries else None,
        }

    def _one(self, model: str, caller: Caller, for_anthropic: bool) -> object:
        # Look-ups are cached by name, so bound its length.
        entry = self._catalogue.find(model) if len(model) <= MAX_MODEL_NAME else None
        if entry is None or not _may_use(caller, entry):
            raise no_model(model)
        return entry.as_anthropic() if for_anthropic else entry.as_openai()


def _may_use(caller: Caller, entry: ModelEntry) -> bool:
    if caller.limits is None:
        return True
    if entry.target is None:
        return caller.limits.allows_model(entry.id)
    return caller.limits.allows_model(entry.target, None if entry.is_dateless else entry.id)
