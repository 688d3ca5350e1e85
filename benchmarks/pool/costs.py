"""`python -m benchmarks pool --caching`: what each setting of `prompt_caching` costs, by workload."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, get_args

from benchmarks.pool.scenario import Scenario
from translators.messages.marking import Caching

# Where everything fits into the limits without any cache: it is the price that is looked at.
LOAD: Final = 0.03
ORGANIZATIONS: Final = (("scale", 1),)
WORKLOADS: Final = ("unshared", "single", "hot", "chat", "agents")
CACHING: Final[tuple[Caching, ...]] = get_args(Caching)
HEADINGS: Final = (
    "workload",
    "prompt_caching",
    "requests/min",
    "input",
    "read",
    "written",
    "$ of input",
    "$ of all",
    "against off",
)


def costs(scenario: Scenario) -> Iterator[tuple[str, ...]]:
    """A row for each setting; tokens and dollars are those of a request on average, dollars of a thousand."""
    off = 0.0
    for caching in CACHING:
        tally = replace(scenario, caching=caching).run("affinity").tally
        answers = max(1, tally.answers)
        # Conversations that end a little sooner or later: it is requests that are compared, not sums.
        each = tally.cost / answers
        off = off or each
        tokens = (tally.input_tokens, tally.read_tokens, tally.written_tokens)
        yield (
            scenario.workload,
            caching,
            f"{tally.answers / tally.minutes:,.0f}",
            *(f"{count / answers:,.0f}" for count in tokens),
            f"{tally.input_cost / answers * 1000:.2f}",
            f"{each * 1000:.2f}",
            f"{each / off - 1:+.1%}" if each != off else "",
        )
