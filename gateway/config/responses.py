"""The settings of what `/v1/responses` and `/v1/conversations` keep."""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.config.checks import Seconds
from gateway.secret import Secret


class ResponsesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What /v1/responses and /v1/conversations keep, where `store` says, and what seals reasoning for clients."""

    store: Annotated[
        bool,
        Meta(description="Whether responses can be kept: for previous_response_id, retrieval and conversations."),
    ] = True
    keep_seconds: Annotated[
        Seconds, Meta(description="How long a response or a conversation is kept after it was last continued.")
    ] = 2592000.0
    memory_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="Without a database or server: the most that each process keeps.")
    ] = 64 * 1024 * 1024
    disk_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="The maximum size of their database's files, besides store.disk_bytes.")
    ] = 1024 * 1024 * 1024
    background_tasks: Annotated[
        int, Meta(ge=0, description="How many responses each worker makes in the background at the same time.")
    ] = 100
    background_per_client: Annotated[int, Meta(ge=0, description="How many of them may be of one client.")] = 50
    encryption_key: Annotated[
        Secret | None,
        Meta(
            description="Seals encrypted_content, on all machines the same: 16 characters or more; null is "
            "store.encryption_key, the key beside the database, or else one that is made at each start."
        ),
    ] = None
    old_encryption_key: Annotated[
        Secret | None, Meta(description="The key before encryption_key: what it has sealed can still be opened.")
    ] = None
