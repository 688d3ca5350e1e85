"""What has been seen lately: for five minutes, and not more of it than fits."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.sightings import WINDOW_SECONDS, Sightings


def test_a_beginning_is_known_from_the_second_time_on() -> None:
    sightings = Sightings()
    asked = [("a", "ab", "abc"), ("a", "ab", "abd"), ("a", "ab", "abc", "abcd")]

    assert [sightings.sight(beginnings, 0) for beginnings in asked] == [0, 2, 3]


def test_it_is_forgotten_five_minutes_after_it_was_seen_last() -> None:
    sightings = Sightings()
    sightings.sight("ab", 0)
    sightings.sight("ac", WINDOW_SECONDS - 1)

    assert sightings.sight("ab", WINDOW_SECONDS) == 1
    assert sightings.sight("ab", 3 * WINDOW_SECONDS) == 0


def test_what_goes_on_after_something_new_is_new() -> None:
    """It can be known only where its beginning was driven out, and then upstream does not have it either."""
    sightings = Sightings()
    sightings.sight("b", 0)

    assert sightings.sight("ab", 1) == 0


def test_of_too_many_those_are_dropped_that_were_not_seen_the_longest() -> None:
    sightings = Sightings(max_beginnings=3)
    for at, beginning in enumerate("abcad"):
        sightings.sight(beginning, at)

    assert len(sightings) == 3
    assert [sightings.sight(beginning, 9) for beginning in "acd"] == [1, 1, 1]
    assert sightings.sight("b", 9) == 0


@given(asked=st.lists(st.tuples(st.text("ab", max_size=4), st.integers(0, 400)), max_size=30))
def test_it_knows_what_the_last_five_minutes_had_in_common(asked: list[tuple[str, int]]) -> None:
    """Beginnings hold all that stands before them, as the fingerprints of requests do."""
    sightings = Sightings()
    history: list[tuple[str, int]] = []
    now = 0
    for text, seconds in asked:
        now += seconds
        beginnings = [text[: length + 1] for length in range(len(text))]
        recent = [known for known, at in history if now - at < WINDOW_SECONDS]
        common = [start for start in beginnings if any(known.startswith(start) for known in recent)]

        assert sightings.sight(beginnings, now) == len(common)
        history.append((text, now))
