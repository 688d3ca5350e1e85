"""What upstream has used to summarize a conversation is counted, apart from the message."""

from typing import Any

import msgspec
import pytest

from translators.usage import Usage
from translators.wire.messages import UsageCounts

COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500, "cache_read_input_tokens": 7}
MESSAGE = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}


def counts(iterations: Any) -> UsageCounts:
    given = {"input_tokens": 23_000, "output_tokens": 1_000, "iterations": iterations}
    return msgspec.json.decode(msgspec.json.encode(given), type=UsageCounts)


def test_summaries_are_counted_apart() -> None:
    usage = Usage()

    usage.update(counts([COMPACTION, MESSAGE]))
    # Counts are cumulative.
    usage.update(counts([COMPACTION, MESSAGE, COMPACTION, MESSAGE]))

    assert (usage.prompt_tokens, usage.output_tokens) == (23_000, 1_000)
    assert usage.summaries is not None
    assert (usage.summaries.prompt_tokens, usage.summaries.output_tokens) == (360_014, 7_000)
    assert usage.parts == (usage, usage.summaries)


def test_those_of_a_continued_answer_are_added() -> None:
    usage = Usage()
    usage.update(counts([COMPACTION]))
    usage.begin_another()

    usage.update(counts([COMPACTION]))

    assert usage.summaries is not None
    assert usage.summaries.output_tokens == 7_000


@pytest.mark.parametrize(
    "iterations", [None, [], [MESSAGE], "compaction", {"type": "compaction"}, [["compaction"]], [{"type": 5}]]
)
def test_what_tells_of_no_summary_counts_none(iterations: Any) -> None:
    usage = Usage()

    usage.update(counts(iterations))

    assert usage.parts == (usage,)
