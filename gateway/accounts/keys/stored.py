"""A stored key as administrators see it, and what they may set of it."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import replace

from gateway.accounts.keys.form import ID_LENGTH, PREFIX, prefix_of
from gateway.accounts.keys.limits import NO_LIMITS, Limits, MaxTokens, Patterns, checked
from translators.errors import TranslationError

MOST_KEYS: Final = 50_000
# The old secret of a rotated key lives this long, unless somebody says otherwise, and never longer than that.
GRACE_SECONDS: Final = 86_400.0
MOST_GRACE_SECONDS: Final = 90 * 86_400.0
# Seconds since 1970 up to the year 3000: more is most likely milliseconds.
_LATEST: Final = 32_503_680_000.0

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Moment = Annotated[float, Meta(ge=0, le=_LATEST)]
Metadata = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Tags = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=20)]


class Draft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set of a new key; `expires_at` is Unix time, `expires_in` seconds from now."""

    name: Name
    group: Name | None = None
    limits: Limits = NO_LIMITS
    metadata: Metadata = {}
    tags: Tags = ()
    sees_key: bool = False
    expires_at: Moment | None = None
    expires_in: Annotated[float, Meta(gt=0, le=_LATEST)] | None = None


class LimitsEdit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What changes of a key's limits; what is unset stays, and null or an empty list removes."""

    models: Patterns | UnsetType | None = UNSET
    endpoints: Patterns | UnsetType | None = UNSET
    networks: Patterns | UnsetType | None = UNSET
    max_tokens: MaxTokens | UnsetType | None = UNSET
    needs_end_user: bool | UnsetType = UNSET

    def applied(self, before: Limits) -> Limits:
        """The limits with these changes; raises `TranslationError`."""
        empty: dict[str, object] = {"models": (), "endpoints": (), "networks": ()}
        changed = {
            name: empty.get(name) if value is None else value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not UNSET
        }
        return checked_limits(replace(before, **changed))


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What changes of a key; what is unset stays, and null removes."""

    name: Name | UnsetType = UNSET
    group: Name | UnsetType | None = UNSET
    limits: LimitsEdit | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    sees_key: bool | UnsetType = UNSET
    expires_at: Moment | UnsetType | None = UNSET


class Query(Struct, frozen=True, kw_only=True):
    """Which keys are wanted: those of a group, or with a tag, or with a name, after the key with an id."""

    after: str | None = None
    limit: int = 20
    group: str | None = None
    tag: str | None = None
    name: str | None = None
    with_deleted: bool = False


class StoredKey(Struct, frozen=True, kw_only=True):
    """A key, without its secret. Times are Unix seconds."""

    id: str
    name: str
    group: str | None
    prefix: str
    created_at: float
    expires_at: float | None
    disabled_at: float | None
    deleted_at: float | None
    old_until: float | None
    limits: Limits
    metadata: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    sees_key: bool = False

    def state(self, now: float) -> str:
        """`active`, or why it is not."""
        if self.deleted_at is not None:
            return "deleted"
        if self.disabled_at is not None:
            return "disabled"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def as_json(self, now: float) -> dict[str, object]:
        """The key as `/admin/keys` and the command line show it."""
        is_rotating = self.old_until is not None and self.old_until > now
        return {
            "object": "key",
            "id": self.id,
            "name": self.name,
            "group": self.group,
            "prefix": self.prefix,
            "state": self.state(now),
            "source": "store",
            "created_at": int(self.created_at),
            "expires_at": None if self.expires_at is None else int(self.expires_at),
            "disabled_at": None if self.disabled_at is None else int(self.disabled_at),
            "old_secret_until": int(self.old_until) if is_rotating and self.old_until is not None else None,
            "limits": limits_json(self.limits),
            "metadata": self.metadata,
            "tags": list(self.tags),
            "sees_key": self.sees_key,
        }


def limits_json(limits: Limits) -> dict[str, object]:
    """Limits with every field, since a missing one could be mistaken for one that is not supported."""
    return {
        "models": list(limits.models),
        "endpoints": list(limits.endpoints),
        "networks": list(limits.networks),
        "max_tokens": limits.max_tokens,
        "needs_end_user": limits.needs_end_user,
    }


def checked_name(name: str) -> str:
    """A name without spaces around it; raises `TranslationError`."""
    shown = name.strip()
    if not shown or not shown.isprintable():
        raise TranslationError("The name of a key has to be a text that can be printed.", param="name")
    if shown.startswith(PREFIX):
        raise TranslationError(f"The name of a key does not begin with {PREFIX}, as keys do.", param="name")
    return shown


def checked_limits(limits: Limits) -> Limits:
    """Limits in their usual spelling; raises `TranslationError`."""
    try:
        return checked(limits)
    except ValueError as problem:
        raise TranslationError(f"{problem}.", param="limits", code="invalid_value") from None


def id_in(text: str) -> str | None:
    """The id in an id, a visible prefix or a whole key; None if it is none of these."""
    if text.startswith(PREFIX):
        text = text[len(PREFIX) :][:ID_LENGTH]
    return text if len(text) == ID_LENGTH and prefix_of(text).isascii() else None
