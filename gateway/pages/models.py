"""`GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape or, when asked with its header, in Anthropic's.

With `client_version` in the query, OpenAI's list also has what Codex reads: `models`.
"""

from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Authenticator
from gateway.edge.requests import header
from gateway.edge.responder import responder_of
from gateway.service.catalogue import Catalogue
from translators.errors import ErrorKind, FailedError, Failure
from translators.wire.shared import MAX_MODEL_NAME

# Codex says its version when it wants its own list.
_CODEX: Final = b"client_version="


class Models:
    """The list of models, or one model if the path has an id."""

    def __init__(self, authenticator: Authenticator, catalogue: Catalogue) -> None:
        self._authenticator = authenticator
        self._catalogue = catalogue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._authenticator.caller(scope)
        for_anthropic = header(scope, b"anthropic-version") is not None
        model = scope["path_params"].get("model")
        shown = self._list(scope, for_anthropic) if model is None else self._one(model, for_anthropic)
        await responder_of(scope).send_value(shown)

    def _list(self, scope: Scope, for_anthropic: bool) -> object:
        entries = self._catalogue.all()
        if not for_anthropic:
            shown: dict[str, object] = {"object": "list", "data": [entry.as_openai() for entry in entries]}
            if _CODEX in scope.get("query_string", b""):
                shown["models"] = self._catalogue.for_codex()
            return shown
        return {
            "data": [entry.as_anthropic() for entry in entries],
            "has_more": False,
            "first_id": entries[0].id if entries else None,
            "last_id": entries[-1].id if entries else None,
        }

    def _one(self, model: str, for_anthropic: bool) -> object:
        # Look-ups are cached by name, so bound its length.
        entry = self._catalogue.find(model) if len(model) <= MAX_MODEL_NAME else None
        if entry is None:
            message = f"The model `{model[:MAX_MODEL_NAME]}` does not exist or you do not have access to it."
            raise FailedError(Failure(ErrorKind.MODEL_NOT_FOUND, message))
        return entry.as_anthropic() if for_anthropic else entry.as_openai()
