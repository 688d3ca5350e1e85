"""Token counts of both protocols: Anthropic's parts, OpenAI's sums."""

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from translators.wire.messages import Iteration, UsageCounts

# `standard_only` and `auto` become `standard`, which OpenAI calls `default`; strict clients reject other values.
_SERVICE_TIERS: Final = {"standard": "default", "priority": "priority"}
# Far more than any message has; larger counts are invalid.
_MOST_TOKENS: Final = 10**12
_COMPACTION: Final = b'"compaction"'
_ITERATIONS_DECODER: Final = msgspec.json.Decoder(list[Iteration])
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
    # What upstream has used besides to summarize the conversation: it is paid for, and no part of the message.
    summaries: "Usage | None" = None
    _earlier: "Usage | None" = None

    def begin_another(self) -> None:
        """From now on counts are those of another message in the same turn, and are added to the current ones."""
        self._earlier = replace(self)

    def update(self, counts: UsageCounts) -> None:
        """Take over the counts that are present: within one message they are cumulative: each overwrites the last."""
        before = self._earlier or _NOTHING
        if (count := counts.input_tokens) is not None:
            self.input_tokens = before.input_tokens + (count if 0 <= count <= _MOST_TOKENS else _bounded(count))
        if (count := counts.cache_creation_input_tokens) is not None:
            self.cache_write_tokens = before.cache_write_tokens + (
                count if 0 <= count <= _MOST_TOKENS else _bounded(count)
            )
        if (count := counts.cache_read_input_tokens) is not None:
            self.cache_read_tokens = before.cache_read_tokens + (
                count if 0 <= count <= _MOST_TOKENS else _bounded(count)
            )
        if (count := counts.output_tokens) is not None:
            self.output_tokens = before.output_tokens + (count if 0 <= count <= _MOST_TOKENS else _bounded(count))
        details = counts.output_tokens_details
        if details is not None and details.thinking_tokens is not None:
            self.thinking_tokens = before.thinking_tokens + _bounded(details.thinking_tokens)
        if counts.service_tier is not None:
            self.service_tier = _SERVICE_TIERS.get(counts.service_tier)
        if not isinstance(counts.iterations, UnsetType) and _COMPACTION in bytes(counts.iterations):
            self._count_summaries(counts.iterations)

    @property
    def parts(self) -> "tuple[Usage, ...]":
        """All that is paid for: the message, and summaries."""
        return (self,) if self.summaries is None else (self, self.summaries)

    def _count_summaries(self, iterations: Raw) -> None:
        try:
            found = _ITERATIONS_DECODER.decode(iterations)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self.summaries = summaries = Usage()
        if self._earlier is not None and self._earlier.summaries is not None:
            summaries.add(self._earlier.summaries)
        for iteration in found:
            if iteration.type == "compaction":
                one = Usage()
                iteration.iterations = UNSET
                one.update(iteration)
                summaries.add(one)

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


def _bounded(count: int) -> int:
    """A reported count, bounded: sums are computed from it, and JSON readers have to accept them."""
    if 0 <= count <= _MOST_TOKENS:
        return count
    return 0 if count < 0 else _MOST_TOKENS


_NOTHING = Usage()
