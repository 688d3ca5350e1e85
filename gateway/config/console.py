"""The settings of the console."""

from typing import Annotated

from msgspec import Meta, Struct


class ConsoleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pages for people at /console."""

    enabled: Annotated[bool, Meta(description="Whether there is /console, and sessions for it.")] = True
