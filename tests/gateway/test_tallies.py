"""Counts of several workers are added up, whatever each of them counts, and within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.workers.tallies import Tally, total

NAMES = st.sampled_from(["requests", "tokens", "a", "b"])
TALLIES = st.dictionaries(
    st.sampled_from(["shop", "batch", "idle"]), st.dictionaries(NAMES, st.integers(0, 1000), max_size=4), max_size=3
)


def numbers(tally: Tally) -> int:
    return sum(numbers(value) if isinstance(value, dict) else 1 for value in tally.values())


def at(tally: Tally, group: str, name: str) -> int:
    found: int = tally.get(group, {}).get(name, 0)
    return found


@given(st.lists(TALLIES, max_size=5))
def test_each_count_is_the_sum_of_all_and_nothing_is_changed(tallies: list[Tally]) -> None:
    before = [{group: dict(counts) for group, counts in tally.items()} for tally in tallies]
    summed = total(tallies)

    for group in ("shop", "batch", "idle"):
        for name in ("requests", "tokens", "a", "b"):
            assert at(summed, group, name) == sum(at(tally, group, name) for tally in tallies)
    assert tallies == before


@given(st.lists(TALLIES, max_size=5), st.data())
def test_how_they_are_grouped_makes_no_difference(tallies: list[Tally], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(tallies)))

    assert total([total(tallies[:cut]), total(tallies[cut:])]) == total(tallies)


@given(st.lists(TALLIES, max_size=5), st.integers(0, 10))
def test_a_sum_has_at_most_so_many_numbers_and_goes_on_counting_those(tallies: list[Tally], most: int) -> None:
    bounded, whole = total(tallies, most), total(tallies)

    assert numbers(bounded) == min(most, numbers(whole))
    for group, counts in bounded.items():
        for name, count in counts.items():
            assert count == whole[group][name]


def test_what_does_not_fit_together_is_left_out() -> None:
    assert total([{"a": 1}, {"a": {"b": 2}}, {"a": 3}]) == {"a": 4}
    assert total([{"a": {"b": 2}}, {"a": 1}]) == {"a": {"b": 2}}
