"""What each call of a model has used, as far as prices depend on it, from what upstream reports of a message."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from translators.wire.messages import Iteration, UsageCounts

# Far more than any message has; larger counts are invalid.
MOST_TOKENS: Final = 10**12
# Steps of one message, and kinds of server tools: far more than there are. Where there are more, the list is not read.
_MOST_STEPS: Final = 1_000
_MOST_TOOLS: Final = 20
_LONGEST_WORD: Final = 64
_NULL: Final = b"null"
_OBJECT: Final = b"{"
_COMMA: Final = b","

_FALLBACK: Final = "fallback_message"
_STEP: Final = "message"
# Steps that the counts of their message do not include.
_APART: Final = frozenset({"compaction", "advisor_message"})

_T = TypeVar("_T")


class _CacheCreation(Struct):
    ephemeral_1h_input_tokens: int | None = None
    ephemeral_5m_input_tokens: int | None = None


_STEPS_DECODER: Final = msgspec.json.Decoder(list[Iteration])
_CREATION_DECODER: Final = msgspec.json.Decoder(_CacheCreation)
_TOOLS_DECODER: Final = msgspec.json.Decoder(dict[str, int | None])
_WORD_DECODER: Final = msgspec.json.Decoder(str)


class Terms(NamedTuple):
    """What a request asks for that changes its price; None where it says nothing."""

    speed: str | None = None
    inference_geo: str | None = None


STANDARD: Final = Terms()


def terms_of(speed: Raw, inference_geo: Raw) -> Terms:
    """The terms in a body's fields; upstream refuses a value that is no text."""
    return Terms(_word(speed), _word(inference_geo))


class MessageUsage(Struct, frozen=True):
    """One call of a model: its tokens in classes that do not overlap, and what else its price depends on.

    `thinking_tokens` are a part of the output. `model`, `service_tier`, `inference_geo` and `speed` are in upstream's
    words, None where it says nothing. `server_tools` are the uses of upstream's own tools by counter, as
    `web_search_requests`.
    """

    model: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    server_tools: tuple[tuple[str, int], ...] = ()
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None

    @property
    def cache_write_tokens(self) -> int:
        """What was written to a cache, for whatever time."""
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def prompt_tokens(self) -> int:
        """The length of the prompt: uncached, written to a cache, and read from one."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens

    @property
    def server_tool_uses(self) -> int:
        """How often upstream's own tools were used."""
        return sum(count for _, count in self.server_tools)


class Report(Struct):
    """What upstream has reported of one message: its first counts, and the latest ones."""

    model: str | None = None
    is_final: bool = True
    _first: UsageCounts | None = None
    _latest: UsageCounts | None = None

    @property
    def counts(self) -> UsageCounts | None:
        """The latest of each count; None before there is any."""
        if self._first is None or self._latest is None:
            return self._first or self._latest
        return _merged(self._first, self._latest)

    def begin(self, model: str, counts: UsageCounts) -> None:
        """Take the first counts, which are not final; a second beginning is none."""
        if self._first is None:
            self.model, self._first, self.is_final = model, counts, False

    def update(self, model: str | None, counts: UsageCounts) -> None:
        """Take final counts."""
        self.is_final = True
        self.model = self.model or model
        self._latest = counts if self._latest is None else _merged(self._latest, counts)


def bounded_count(count: int) -> int:
    """A reported count, bounded: sums are computed from it, and JSON readers have to accept them."""
    if 0 <= count <= MOST_TOKENS:
        return count
    return 0 if count < 0 else MOST_TOKENS


def total_of(messages: Sequence[MessageUsage]) -> MessageUsage:
    """The sums of several calls; what is no number is that of the last."""
    if len(messages) == 1:
        return messages[0]
    tools: dict[str, int] = {}
    for message in messages:
        for name, count in message.server_tools:
            tools[name] = tools.get(name, 0) + count
    last = messages[-1] if messages else MessageUsage()
    return replace(
        last,
        input_tokens=sum(message.input_tokens for message in messages),
        cache_read_tokens=sum(message.cache_read_tokens for message in messages),
        cache_write_5m_tokens=sum(message.cache_write_5m_tokens for message in messages),
        cache_write_1h_tokens=sum(message.cache_write_1h_tokens for message in messages),
        output_tokens=sum(message.output_tokens for message in messages),
        thinking_tokens=sum(message.thinking_tokens for message in messages),
        server_tools=tuple(tools.items()),
    )


def with_seen(messages: tuple[MessageUsage, ...], output_tokens: int) -> tuple[MessageUsage, ...]:
    """The calls, the last of which was cut off after about so many tokens, if upstream has reported fewer."""
    if not messages or messages[-1].output_tokens >= output_tokens:
        return messages
    return (*messages[:-1], replace(messages[-1], output_tokens=output_tokens))


def messages_of(report: Report) -> tuple[MessageUsage, ...]:
    """The calls that one message of upstream has taken: usually one.

    Summaries and advice come besides (`compaction`, `advisor_message`), and so does the part of an answer that a model
    wrote before it declined and another took over. What a model declines before it has written anything is free.
    """
    counts = report.counts
    if counts is None:
        return ()
    message = _usage_of(counts, report.model)
    if counts.iterations is UNSET or not (steps := _steps_of(counts.iterations)):
        return (message,)
    served, apart = _parted(steps, message)
    return (*_divided(message, served), *(_beside(message, step) for step in apart))


def _parted(steps: list[Iteration], message: MessageUsage) -> tuple[list[Iteration], list[Iteration]]:
    """The steps that a message's counts cover, and those that they leave out.

    After a fallback they cover the model that took over, whose earlier steps are of the same type as those of a model
    that has declined.
    """
    apart = [step for step in steps if step.type in _APART]
    own = [step for step in steps if step.type == _STEP or step.type == _FALLBACK]
    server = next((step.model for step in reversed(own) if step.type == _FALLBACK), None)
    if server is None:
        return own, apart
    served = [step for step in own if (step.model or message.model) == server]
    declined = [step for step in own if (step.model or message.model) != server and step.output_tokens]
    return served, apart + declined


def _divided(message: MessageUsage, steps: list[Iteration]) -> Iterable[MessageUsage]:
    """The calls of a message's own steps, or the message as one where these do not add up to it.

    Prices depend on the length of a prompt, and each step has its own.
    """
    if not steps:
        return (message,)
    parts = [_step(message, step) for step in steps]
    total = total_of(parts)
    if len(parts) == 1 or _tokens(total) != _tokens(message):
        return (replace(message, model=parts[-1].model, speed=parts[-1].speed),)
    # Upstream divides neither thinking nor the uses of tools.
    thinking = message.thinking_tokens - total.thinking_tokens + parts[-1].thinking_tokens
    return (*parts[:-1], replace(parts[-1], thinking_tokens=max(0, thinking), server_tools=message.server_tools))


def _tokens(usage: MessageUsage) -> tuple[int, int, int, int]:
    return usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens


def _step(message: MessageUsage, step: Iteration) -> MessageUsage:
    """One step, with what its message says where the step says nothing."""
    usage = _usage_of(step, step.model or message.model)
    return replace(
        usage,
        service_tier=usage.service_tier or message.service_tier,
        inference_geo=usage.inference_geo or message.inference_geo,
        speed=usage.speed or message.speed,
    )


def _beside(message: MessageUsage, step: Iteration) -> MessageUsage:
    usage = _step(message, step)
    # Another model's speed is its own.
    is_other = usage.model != message.model and isinstance(step.speed, UnsetType)
    return replace(usage, speed=None) if is_other else usage


def _usage_of(counts: UsageCounts, model: str | None) -> MessageUsage:
    written, creation = counts.cache_creation_input_tokens, counts.cache_creation
    short = long = 0
    if written or (written is None and creation is not UNSET):
        short, long = _written(written, creation)
    details = counts.output_tokens_details
    return MessageUsage(
        model,
        bounded_count(counts.input_tokens or 0),
        bounded_count(counts.cache_read_input_tokens or 0),
        short,
        long,
        bounded_count(counts.output_tokens or 0),
        bounded_count(details.thinking_tokens or 0) if details is not None else 0,
        _tools_of(counts.server_tool_use),
        counts.service_tier,
        _word(counts.inference_geo),
        _word(counts.speed),
    )


def _written(total: int | None, creation: Raw | UnsetType) -> tuple[int, int]:
    """What was written to a cache for five minutes, and for an hour; the total counts where they differ.

    The division is told at a message's start; what is written later has the one lifetime that is there, or the shorter.
    """
    known = _read(_CREATION_DECODER, creation) or _CacheCreation()
    short = bounded_count(known.ephemeral_5m_input_tokens or 0)
    long = bounded_count(known.ephemeral_1h_input_tokens or 0)
    whole = short + long if total is None else bounded_count(total)
    if long and not short:
        return 0, whole
    long = min(long, whole)
    return whole - long, long


def _tools_of(raw: Raw | UnsetType) -> tuple[tuple[str, int], ...]:
    if raw is UNSET or (text := bytes(raw)) == _NULL or text.count(_COMMA) >= _MOST_TOOLS:
        return ()
    used = _read(_TOOLS_DECODER, raw) or {}
    return tuple((name[:_LONGEST_WORD], bounded_count(count)) for name, count in used.items() if count and count > 0)


def _steps_of(raw: Raw | UnsetType) -> list[Iteration]:
    if raw is UNSET or bytes(raw).count(_OBJECT) > 2 * _MOST_STEPS:
        return []
    return _read(_STEPS_DECODER, raw) or []


def _word(raw: Raw | UnsetType) -> str | None:
    if raw is UNSET:
        return None
    try:
        return _WORD_DECODER.decode(raw)[:_LONGEST_WORD] or None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(decoder: "msgspec.json.Decoder[_T]", raw: Raw | UnsetType) -> _T | None:
    """The value; None for anything else, which is no reason to lose an answer."""
    if raw is UNSET:
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _merged(first: UsageCounts, later: UsageCounts) -> UsageCounts:
    """The later of each count that is there."""
    for name in _FIELDS:
        value = getattr(later, name)
        if value is not None and not isinstance(value, UnsetType):
            setattr(first, name, value)
    return first


_FIELDS: Final = UsageCounts.__struct_fields__
