"""What is remembered of pure functions, and that it stays within its bound."""

from hypothesis import given
from hypothesis import strategies as st

from translators.remembered import Remembered


def test_what_was_put_is_given_back() -> None:
    remembered = Remembered[str](80)
    remembered.put("a", "A", 10)

    assert remembered.get("a") == "A"
    assert remembered.get("b") is None


def test_what_was_not_asked_for_the_longest_is_forgotten_first() -> None:
    remembered = Remembered[str](24)
    for key in ("a", "b", "c"):
        remembered.put(key, key.upper(), 3)
    remembered.get("a")
    for key in ("d", "e", "f", "g", "h", "i"):
        remembered.put(key, key.upper(), 3)

    assert [key for key in "abcdefghi" if remembered.get(key)] == ["a", *"cdefghi"]


def test_a_single_huge_result_does_not_drive_out_the_others() -> None:
    remembered = Remembered[str](80)
    remembered.put("a", "A", 10)
    remembered.put("huge", "H", 11)

    assert remembered.get("huge") is None
    assert remembered.get("a") == "A"


@given(
    puts=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40))),
    asked=st.lists(st.integers(0, 5)),
)
def test_however_much_is_put_the_bound_holds_and_what_is_there_is_the_newest(
    puts: list[tuple[int, int]], asked: list[int]
) -> None:
    remembered = Remembered[int](200)
    for number, (key, size) in enumerate(puts):
        remembered.put(key, number, size)
        if number < len(asked):
            remembered.get(asked[number])

    known = {key: value for key in range(6) if (value := remembered.get(key)) is not None}
    newest = {key: number for number, (key, size) in enumerate(puts) if size * 8 <= 200}
    assert known.items() <= newest.items()
    assert remembered.total_bytes == sum(puts[number][1] for number in known.values()) <= 200
