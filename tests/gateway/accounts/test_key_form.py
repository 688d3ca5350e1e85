"""The form of a caller's key: recognized without a look-up, with its typos."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.keys.form import (
    ALPHABET,
    ID_LENGTH,
    PATTERN,
    PREFIX,
    has_typo,
    new_id,
    new_key,
    prefix_of,
    resembles,
)

# Whatever people type instead of the right character.
CHARACTERS = st.sampled_from(ALPHABET) | st.characters(codec="utf-8")


def test_a_new_key_is_one() -> None:
    key_id = new_id()
    key = new_key(key_id)

    assert key.startswith(prefix_of(key_id))
    assert len(key) == len(PREFIX) + 50
    assert not has_typo(key)
    assert new_key(key_id) != key


def test_scanners_find_keys_by_the_documented_pattern() -> None:
    key = new_key(new_id())

    assert re.findall(PATTERN, f'OPENAI_API_KEY="{key}"\nother="sk-ant-api03-{"a" * 50}"') == [key]


@given(place=st.integers(0, 53), character=CHARACTERS)
def test_every_single_wrong_character_is_found(place: int, character: str) -> None:
    key = new_key(new_id())
    typed = key[:place] + character + key[place + 1 :]

    assert has_typo(typed) == (typed != key)
    assert resembles(typed)


def test_every_swap_of_neighbours_and_every_single_typo_of_a_key_is_found() -> None:
    key = new_key(new_id())
    swaps = {key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in range(len(key) - 1)} - {key}
    typos = {key[:at] + other + key[at + 1 :] for at in range(len(PREFIX), len(key)) for other in ALPHABET} - {key}

    assert len(typos) == 50 * 31
    assert all(map(has_typo, swaps | typos))
    assert all(map(resembles, swaps | typos))


@given(data=st.data())
def test_up_to_four_wrong_characters_are_found(data: st.DataObject) -> None:
    key = new_key(new_id())
    places = data.draw(st.sets(st.integers(len(PREFIX), len(key) - 1), min_size=1, max_size=4))
    typed = "".join(
        data.draw(st.sampled_from(ALPHABET.replace(c, ""))) if place in places else c for place, c in enumerate(key)
    )

    assert has_typo(typed)


@given(cut=st.integers(1, 53), more=st.text(min_size=1, max_size=5))
def test_a_part_of_a_key_or_more_than_a_key_is_none(cut: int, more: str) -> None:
    key = new_key(new_id())

    assert has_typo(key[:cut])
    assert has_typo(key + more)
    assert has_typo(key.upper())
    assert resembles(key.upper())


@pytest.mark.parametrize("token", ["sk-ant-api03-" + "a" * 80, "the-key-of-an-app-0123456789", "x", "dg", ""])
def test_other_keys_do_not_resemble_one(token: str) -> None:
    assert not resembles(token)


def test_an_id_has_no_secret_in_it() -> None:
    key_id = new_id()

    assert len(key_id) == ID_LENGTH
    assert set(key_id) <= set(ALPHABET)
    assert not set("ilou") & set(ALPHABET)
