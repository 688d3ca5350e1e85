"""The settings of accounts: the file for callers' keys, rules and the ledger, and how long the ledger is kept."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.config.checks import Name, Seconds
from gateway.secret import Secret


class AccountsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where callers' keys, rules and the ledger of what was spent are, and what of the ledger is kept."""

    kind: Annotated[
        Literal["auto", "sqlite", "off"],
        Meta(description="Where accounts are kept; auto is sqlite. off: no keys but those in clients, and no ledger."),
    ] = "auto"
    path: Annotated[
        Name | None,
        Meta(description="Their database; null is dragoman/accounts.db in $XDG_STATE_HOME or ~/.local/state."),
    ] = None
    secret: Annotated[
        Secret | None,
        Meta(
            description="What keys and names of end users are hashed with: any text of 16 characters or more; "
            "null creates one, in a file beside the database."
        ),
    ] = None
    on_ledger_failure: Annotated[
        Literal["serve", "refuse"],
        Meta(description="While the ledger cannot be written: serve and write it later, or refuse requests with 503."),
    ] = "serve"
    keep_days: Annotated[
        float, Meta(gt=0, description="How long the ledger keeps the row of each call; its sums stay longer.")
    ] = 90.0
    keep_totals_days: Annotated[
        float, Meta(gt=0, description="How long it keeps the sums by day; those by hour stay for a quarter of it.")
    ] = 1200.0
    max_bytes: Annotated[
        int,
        Meta(
            ge=16 * 1024 * 1024, description="The size of the database from which on the oldest rows are deleted early."
        ),
    ] = 2 * 1024 * 1024 * 1024
    anthropic_admin_key: Annotated[
        Secret | None,
        Meta(
            description="An Admin API key of the Anthropic organization, for `dragoman usage --check`; "
            "null is the environment's ANTHROPIC_ADMIN_API_KEY."
        ),
    ] = None
    hold: Annotated[
        Literal["expected", "strict"],
        Meta(
            description="What a running request holds of a budget: what it will probably cost, or (strict) "
            "the most that it can cost, so that no budget is ever passed."
        ),
    ] = "expected"
    queue_size: Annotated[
        int, Meta(ge=0, description="Requests that may wait for rules with over: queue, per process; 0 is none.")
    ] = 1000
    queue_timeout_seconds: Annotated[
        Seconds, Meta(description="How long a request waits for rules, in all, before it is answered with 429.")
    ] = 30.0
