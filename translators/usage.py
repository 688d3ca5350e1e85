"""Token counts of both worlds: Anthropic's parts, OpenAI's sums."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from translators.wire.messages import UsageCounts

# `standard_only` and `auto` end as `standard`, which OpenAI calls `default`; strict clients refuse other words.
_SERVICE_TIERS: Final = {"standard": "default", "priority": "priority"}
# No message has so many; what says so is broken.
_MOST_TOKENS: Final = 10**12
_OPENAI_USAGE: Final = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)


class Usage(Struct):
    """What one message has cost in tokens so far; `prompt_tokens` counts cache reads and writes, as OpenAI does."""

    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    service_tier: str | None = None
    _earlier: "Usage | None" = None

    def begin_another(self) -> None:
        """What comes from now on is of another message of the same turn, and is added to what there was."""
        self._earlier = replace(self)

    def update(self, counts: UsageCounts) -> None:
        """Take over the counts that are there: within one message each overwrites (they are cumulative)."""
        before = self._earlier or _NOTHING
        if counts.input_tokens is not None:
            self.input_tokens = before.input_tokens + _possible(counts.input_tokens)
        if counts.cache_creation_input_tokens is not None:
            self.cache_write_tokens = before.cache_write_tokens + _possible(counts.cache_creation_input_tokens)
        if counts.cache_read_input_tokens is not None:
            self.cache_read_tokens = before.cache_read_tokens + _possible(counts.cache_read_input_tokens)
        if counts.output_tokens is not None:
            self.output_tokens = before.output_tokens + _possible(counts.output_tokens)
        if counts.output_tokens_details is not None and counts.output_tokens_details.thinking_tokens is not None:
            self.thinking_tokens = before.thinking_tokens + _possible(counts.output_tokens_details.thinking_tokens)
        if counts.service_tier is not None:
            self.service_tier = _SERVICE_TIERS.get(counts.service_tier)

    def add_choice(self, other: "Usage") -> None:
        """Count another choice for the same prompt: what it answered."""
        self.output_tokens += other.output_tokens
        self.thinking_tokens += other.thinking_tokens

    def add(self, other: "Usage") -> None:
        """Count everything that another message has cost."""
        self.add_choice(other)
        self.input_tokens += other.input_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.cache_read_tokens += other.cache_read_tokens

    def within(self, prompt_tokens: int, output_tokens: int) -> "Usage":
        """The same counts, each no higher than can be: of what is read, and of what is written."""
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
        """Everything that was read: uncached, written to a cache, read from one."""
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens

    def as_json(self) -> bytes:
        """The `usage` object of a completion."""
        return _OPENAI_USAGE % (
            self.prompt_tokens,
            self.output_tokens,
            self.prompt_tokens + self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.thinking_tokens,
        )


def _possible(count: int) -> int:
    """A count as it is told, within what can be: everything is reckoned with it, and written for any reader of JSON."""
    if 0 <= count <= _MOST_TOKENS:
        return count
    return 0 if count < 0 else _MOST_TOKENS


_NOTHING = Usage()
