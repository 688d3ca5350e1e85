"""What a request wants of upstream, and what it may do."""

from typing import Final

from msgspec import Struct


class Wish(Struct, frozen=True):
    """What a request wants of upstream, known before anything is sent.

    `model` is the id that upstream knows, `asked_model` the name that the caller used; `is_alias` says that it is a
    name by the table of aliases, not only another spelling of the id. `max_tokens` is the caller's own: None if it set
    no limit, 0 if nothing is generated. `input_bytes` is the size of the text that goes upstream, without images and
    files in base64; `has_media` says that there are some.
    """

    model: str
    asked_model: str
    max_tokens: int | None = None
    input_bytes: int = 0
    has_media: bool = False
    end_user: str | None = None
    choices: int = 1
    is_alias: bool = False


class Admission(Struct, frozen=True):
    """What a request may do: with another model, or with no more than `max_tokens`; None is as it asked.

    `adjusted` names what was asked otherwise, in the form of `x-gateway-adjusted`; it is refused where the caller takes
    no adjustments.
    """

    model: str | None = None
    max_tokens: int | None = None
    adjusted: str | None = None


AS_ASKED: Final = Admission()
