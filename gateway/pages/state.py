"""The routes of what is stored: responses, and conversations with their items."""

from collections.abc import Callable, Iterator

from starlette.routing import BaseRoute, Route

from gateway.accounts.auth import Authenticator
from gateway.pages.conversations import (
    ConversationItem,
    ConversationItems,
    ConversationParts,
    CreateConversation,
    OneConversation,
)
from gateway.pages.responses import CancelPage, InputItemsPage, Replays, StoredResponsePage
from gateway.service.services import Services


def state_routes(
    authenticator: Authenticator,
    services: Services,
    max_body_bytes: int,
    now: Callable[[], float],
    replays: Replays,
) -> Iterator[BaseRoute]:
    """Each route with and without /v1."""
    response = StoredResponsePage(authenticator, services.responses, services.background, replays)
    cancel = CancelPage(authenticator, services.background)
    input_items = InputItemsPage(authenticator, services.responses)
    shared = ConversationParts(authenticator, services.conversations, max_body_bytes, now)
    create, conversation = CreateConversation(shared), OneConversation(shared)
    items, item = ConversationItems(shared), ConversationItem(shared)
    for prefix in ("/v1", ""):
        one = f"{prefix}/conversations/{{conversation_id}}"
        yield Route(f"{prefix}/responses/{{response_id}}", response, methods=["GET", "DELETE"])
        yield Route(f"{prefix}/responses/{{response_id}}/cancel", cancel, methods=["POST"])
        yield Route(f"{prefix}/responses/{{response_id}}/input_items", input_items, methods=["GET"])
        yield Route(f"{prefix}/conversations", create, methods=["POST"])
        yield Route(one, conversation, methods=["GET", "POST", "DELETE"])
        yield Route(f"{one}/items", items, methods=["GET", "POST"])
        yield Route(f"{one}/items/{{item_id}}", item, methods=["GET", "DELETE"])
