"""Token counts of both protocols: Anthropic's parts, OpenAI's sums."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from translators.message_usage import MOST_TOKENS, MessageUsage, Report, bounded_count, messages_of
from translators.wire.messages import UsageCounts

# `standard_only` and `auto` become `standard`, which OpenAI calls `default`; strict clients reject other values.
_SERVICE_TIERS: Final = {"standard": "default", "priority": "priority"}
_OPENAI_USAGE: Final = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)
_RESPONSES_USAGE: Final = (
    b'{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d},'
    b'"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
)


class Usage(Struct):
    """The tokens of one message so far; `prompt_tokens` includes cache reads and writes, as in OpenAI's usage."""

    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    service_tier: str | None = None
    # What upstream has reported of each of its messages.
    _reports: list[Report] = []
    _earlier: "Usage | None" = None

    def begin_another(self) -> None:
        """From now on counts are those of another message in the same turn, and are added to the current ones."""
        self._earlier = replace(self)
        self._reports.append(Report())

    def begin(self, model: str, counts: UsageCounts) -> None:
        """A message begins, made by that model: its first counts, which are not final."""
        self._report().begin(model, counts)
        self._count(counts)

    def update(self, counts: UsageCounts, model: str | None = None) -> None:
        """Take over the final counts of a message; `model` is given where it has arrived as a whole.

        Within one message counts are cumulative: each that is present overwrites the last.
        """
        self._report().update(model, counts)
        self._count(counts)

    @property
    def messages(self) -> tuple[MessageUsage, ...]:
        """What is paid for, call by call."""
        if len(self._reports) == 1:
            return messages_of(self._reports[0])
        return tuple(message for report in self._reports for message in messages_of(report))

    def let_go(self) -> None:
        """Forget the reports, which may hold a whole body of upstream: only the sums are left."""
        self._reports.clear()

    @property
    def is_final(self) -> bool:
        """Whether upstream has reported the final counts of each message that it has begun."""
        return all(report.is_final for report in self._reports)

    def _report(self) -> Report:
        if not self._reports:
            self._reports.append(Report())
        return self._reports[-1]

    def _count(self, counts: UsageCounts) -> None:
        before = self._earlier or _NOTHING
        if (count := counts.input_tokens) is not None:
            self.input_tokens = before.input_tokens + (count if 0 <= count <= MOST_TOKENS else bounded_count(count))
        if (count := counts.cache_creation_input_tokens) is not None:
            self.cache_write_tokens = before.cache_write_tokens + (
                count if 0 <= count <= MOST_TOKENS else bounded_count(count)
            )
        if (count := counts.cache_read_input_tokens) is not None:
            self.cache_read_tokens = before.cache_read_tokens + (
                count if 0 <= count <= MOST_TOKENS else bounded_count(count)
            )
        if (count := counts.output_tokens) is not None:
            self.output_tokens = before.output_tokens + (count if 0 <= count <= MOST_TOKENS else bounded_count(count))
        details = counts.output_tokens_details
        if details is not None and details.thinking_tokens is not None:
            self.thinking_tokens = before.thinking_tokens + bounded_count(details.thinking_tokens)
        if counts.service_tier is not None:
            self.service_tier = _SERVICE_TIERS.get(counts.service_tier)

    def add_choice(self, other: "Usage") -> None:
        """Add another choice for the same prompt: its output only."""
        self.output_tokens += other.output_tokens
        self.thinking_tokens += other.thinking_tokens

    def add(self, other: "Usage") -> None:
        """Add everything that another message has used."""
        self.add_choice(other)
        self.input_tokens += other.input_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.cache_read_tokens += other.cache_read_tokens

    def within(self, prompt_tokens: int, output_tokens: int) -> "Usage":
        """The same counts, bounded by the possible sizes of prompt and output."""
        return Usage(
            min(self.input_tokens, prompt_tokens),
            min(self.cache_write_tokens, prompt_tokens),
            min(self.cache_read_tokens, prompt_tokens),
            min(self.output_tokens, output_tokens),
            min(self.thinking_tokens, output_tokens),
            self.service_tier,
        )

    @property
    def prompt_tokens(self) -> int:
        """All input tokens: uncached, written to a cache, and read from one."""
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens

    def as_json(self) -> bytes:
        """The `usage` object of a completion."""
        prompt_tokens = self.prompt_tokens
        return _OPENAI_USAGE % (
            prompt_tokens,
            self.output_tokens,
            prompt_tokens + self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.thinking_tokens,
        )

    def as_responses_json(self) -> bytes:
        """The `usage` object of a response."""
        prompt_tokens = self.prompt_tokens
        return _RESPONSES_USAGE % (
            prompt_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            # A part of the output, which clients subtract.
            min(self.thinking_tokens, self.output_tokens),
            prompt_tokens + self.output_tokens,
        )


_NOTHING = Usage()
