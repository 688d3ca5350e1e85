"""What a request asks of the accounts before it is sent, and what their answer makes of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from gateway.accounts.auth import Caller
from gateway.accounts.visits import AS_ASKED, Admission, Visit, Wish
from gateway.edge.slices import LARGE_BYTES, in_slices
from gateway.service.record import Progress
from gateway.service.routing import Aliases
from translators.errors import TranslationError
from translators.intent import Intent
from translators.messages.options import Options
from translators.model_names import Spelling
from translators.native.request import Asked
from translators.server_tools import NAMES_MODELS, narrowed
from translators.steps import in_one_go
from translators.text_size import TextSize, may_read_more_in_steps, text_size, text_size_in_steps

ON_UNSUPPORTED: Final = b"x-gateway-on-unsupported"
NO_TEXT: Final = TextSize(0, False)
# Native fields that name models.
_FALLBACKS: Final = frozenset({"fallbacks"})


class Admitted(NamedTuple):
    """A request after its admission: the model that is to answer, and what the accounts have decided."""

    understood: Spelling
    admission: Admission

    def note(self, progress: Progress) -> None:
        """Say in an exchange's record what is not as it was asked."""
        if self.admission is not AS_ASKED:
            progress.admitted, progress.fallback = self.admission.adjusted, self.admission.model


async def size_of(body: bytes) -> TextSize:
    """The text of a body."""
    return await in_slices(text_size_in_steps(body)) if len(body) > LARGE_BYTES else text_size(body)


async def asked_size(body: bytes, visit: Visit, stored: TextSize = NO_TEXT) -> TextSize:
    """The text that goes upstream: a body's, and what is stored besides. Without rules nobody asks for it.

    For a rule that must not be passed, what upstream may read by itself counts like files.
    """
    if not visit.is_ruled:
        return NO_TEXT
    size = (await size_of(body)).with_more(stored)
    if not visit.needs_sure_size:
        return size
    steps = may_read_more_in_steps(body)
    reads_more = await in_slices(steps) if len(body) > LARGE_BYTES else in_one_go(steps)
    return TextSize(size.bytes, size.has_media or reads_more)


class Named(NamedTuple):
    """The model that a request names: as the caller wrote it, as it is understood, and whether by an alias."""

    asked: str
    understood: Spelling
    is_alias: bool


def named(asked: str, aliases: Aliases) -> Named:
    """The model behind a caller's name."""
    return Named(asked, aliases.resolve(asked), aliases.is_alias(asked))


def wish_of(model: Named, intents: Sequence[Intent], size: TextSize, *, generates: bool = True) -> Wish:
    """What a translated request wants."""
    first = intents[0]
    return Wish(
        model.understood.id,
        model.asked,
        (first.max_tokens or None) if generates else 0,
        size.bytes,
        size.has_media,
        first.user,
        len(intents),
        model.is_alias,
    )


def native_wish(model: Named, asked: Asked, size: TextSize, *, generates: bool) -> Wish:
    """What a native request wants.

    Also one that asks for no tokens (it fills a cache) has to be admitted; upstream refuses it if it asks for less.
    """
    most = asked.max_tokens if asked.max_tokens is None else max(1, asked.max_tokens)
    return Wish(
        model.understood.id,
        model.asked,
        most if generates else 0,
        size.bytes,
        size.has_media,
        asked.user,
        is_alias=model.is_alias,
    )


def as_admitted(understood: Spelling, admission: Admission, *, rejects: bool) -> Admitted:
    """The request after its admission; raises `TranslationError` for an adjustment that the caller does not take."""
    if rejects and admission.adjusted is not None:
        field = admission.adjusted.partition("=")[0]
        raise TranslationError(
            f"'{field}' cannot be honoured as it was sent ({admission.adjusted}), "
            "and adjusting it was not allowed (on_unsupported: reject).",
            param=field,
            code="unsupported_parameter",
        )
    return Admitted(understood if admission.model is None else Spelling(admission.model), admission)


def within(most: int, intents: Sequence[Intent], options: Options) -> Options:
    """Lower the limits of the intents to `most` tokens; the options are for those without a limit."""
    for intent in intents:
        if intent.max_tokens and intent.max_tokens > most:
            intent.max_tokens = most
    return replace(options, max_output_tokens=min(most, options.max_output_tokens or most))


def options_for(caller: Caller, options: Options) -> Options:
    """The options for a caller: one that may use some models only names no other ones by fields and tools."""
    if caller.limits is None or not caller.limits.models:
        return options
    return replace(
        options,
        allowed_fields=options.allowed_fields - _FALLBACKS,
        server_tools=narrowed(options.server_tools, NAMES_MODELS),
    )


def stand_ins(caller: Caller, names: Sequence[str]) -> Sequence[str]:
    """The models that may stand in for the one that was asked, of those that are configured."""
    limits = caller.limits
    return names if limits is None or not names else [name for name in names if limits.allows_model(name)]
