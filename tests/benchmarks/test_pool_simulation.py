"""Simulations come out the same for the same seed, and what they say of simple cases can be worked out by hand."""

import pytest

from benchmarks.pool.buckets import Limits
from benchmarks.pool.caches import Usage
from benchmarks.pool.command import main
from benchmarks.pool.report import row
from benchmarks.pool.scenario import Scenario
from benchmarks.pool.tally import dollars, quantile
from benchmarks.pool.workloads import WORKLOADS, Workload, most_per_minute
from benchmarks.pool.world import Fault

SHORT = 0.15


def figures(strategy: str = "random", **scenario: object) -> tuple[str, ...]:
    simulated = Scenario(**{"minutes": SHORT, "workload": "single", **scenario})  # type: ignore[arg-type]
    return row(strategy, simulated, simulated.run(strategy))


def test_the_same_seed_gives_the_same_figures() -> None:
    seventh, again, eighth = (figures(seed=seed, organizations=(("start", 2),), minutes=0.2) for seed in (7, 7, 8))

    assert seventh == again
    assert seventh != eighth


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_conversation_grows_turn_by_turn(name: str) -> None:
    conversations = Workload(name, seed=1).conversations()
    for turns in (next(conversations) for _ in range(50)):
        tokens = [turn.call.tokens for turn in turns]
        assert tokens == sorted(tokens)
        assert {turn.prefix for turn in turns} == {turns[0].prefix}
        assert all(0 < turn.ideal_tokens <= turn.call.tokens for turn in turns)
        assert all(turn.call.parts[-1].tokens <= turn.call.tokens for turn in turns)


def test_the_most_is_what_the_scarcest_limit_allows() -> None:
    needs = {"sonnet": Limits(0.5, 1_000, 100), "haiku": Limits(0.5, 100, 400)}

    assert most_per_minute(Limits(1_000, 2_000_000, 400_000), needs) == 1_000
    assert most_per_minute(Limits(1_000, 500_000, 400_000), needs) == 500


def test_what_is_within_the_limits_of_one_organization_meets_none() -> None:
    simulation = Scenario((("start", 1),), "single", load=0.5, minutes=SHORT).run("round_robin")

    assert simulation.tally.limited_upstream == 0
    assert simulation.tally.attempts == simulation.tally.requests


def test_what_is_beyond_the_limits_is_refused_and_the_rest_is_served() -> None:
    scenario = Scenario((("start", 1),), "single", load=1.5, minutes=2)
    tally = scenario.run("round_robin").tally

    assert tally.answers / tally.minutes == pytest.approx(scenario.traffic[1], rel=0.03)
    assert tally.limited_callers == pytest.approx(tally.requests / 3, rel=0.1)


def test_random_choice_among_three_workspaces_finds_the_cache_one_time_in_three() -> None:
    tally = Scenario((("start", 2),) * 3, "chat", load=0.5, minutes=1).run("random").tally

    assert tally.later_turns_at_home / tally.later_turns == pytest.approx(1 / 3, abs=0.03)


def test_affinity_finds_the_caches_of_long_prompts_up_to_the_limits_and_asks_for_nothing_beyond_them() -> None:
    """Where turns spill to cold caches this collapses: each costs twenty times the input, which makes more of them."""
    tally = Scenario((("start", 2),) * 3, "agents", load=0.95, minutes=0.25).run("affinity").tally

    assert tally.later_turns_at_home / tally.later_turns >= 0.99
    assert (tally.limited_upstream, tally.limited_callers) == (0, 0)


def test_a_revoked_key_of_two_is_met_by_every_second_request_when_chosen_at_random() -> None:
    scenario = Scenario((("start", 1), ("start", 1)), "single", load=0.4, minutes=3, faults=(Fault.REVOKED,))
    simulation = scenario.run("random")

    assert len(simulation.troubled) == pytest.approx(0.4 * scenario.traffic[1] / 2, rel=0.15)
    assert simulation.tally.failed_callers == 0


def test_an_answers_price_is_that_of_the_table() -> None:
    usage = Usage(input_tokens=1_000, cache_write_tokens=2_000, cache_read_tokens=10_000, output_tokens=500)

    assert dollars("claude-sonnet-5-5", usage) == pytest.approx(
        (1_000 * 2 + 2_000 * 2.5 + 10_000 * 0.1 + 500 * 10) / 1e6
    )
    assert dollars("claude-haiku-5-5", Usage(input_tokens=100_001)) == pytest.approx(100_001 * 0.5 / 1e6)


def test_quantiles() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(value) for value in range(100)], 0.99) == 99.0


def test_the_command_prints_a_row_for_each_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--workload", "single", "--minutes", "0.2", "--strategy", "random", "--organizations", "start:1,start:2"])
    printed = capsys.readouterr().out

    assert printed.startswith("3 keys (start:1, start:2), workload single, 95% of at most 2,000 requests/min")
    assert "| random " in printed


def test_signed_conversations_stay_with_their_account_whatever_the_strategy() -> None:
    free, signed = (
        Scenario((("start", 2),) * 3, "chat", load=0.5, minutes=SHORT, signed=share).run("least_busy").tally
        for share in (0.0, 1.0)
    )

    assert free.later_turns_at_home < 0.5 * free.later_turns
    assert signed.later_turns_at_home > 0.99 * signed.later_turns
    assert signed.limited_callers == signed.failed_callers == 0
