"""Sealed texts that callers hold: only the same caller, model and secret open them, and nothing else is an error."""

import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import Gateway
from gateway.cli.serve import _with_seal_key
from gateway.config import ResponsesConfig, StoreConfig
from gateway.kept_turns import SealKeys, caller_seals, seals_in_words
from gateway.kept_turns.caller_seals import CallerSeals
from gateway.kept_turns.seal_keys import MADE
from gateway.secret import Secret
from gateway.workers.assignment import Assignment
from tests.support.gateway import Config, config_for, with_settings

SCOPE, MODEL = b"client\0alice", "claude-opus-5-5"
OLD, NEW = Secret("the first secret of an operator"), Secret("the second secret of an operator")
THOUGHT = b'{"type":"thinking","thinking":"Let me see.","signature":"EqQB"}'
RESULT = b'{"type":"web_search_tool_result","content":[]}'
BLOCKS = st.lists(st.binary(max_size=300), max_size=5)


@pytest.fixture(params=["encrypted", "signed"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With the optional library, and without it."""
    is_there = request.param == "encrypted"
    monkeypatch.setattr(caller_seals, "can_encrypt", lambda: is_there)
    return request.param  # type: ignore[no-any-return]


def seals(*secrets: Secret) -> CallerSeals:
    return CallerSeals(lambda: secrets or (OLD,))


@pytest.mark.usefixtures("kind")
def test_the_same_caller_and_model_open_what_was_sealed_in_any_process() -> None:
    text = seals().for_caller(SCOPE, MODEL).seal([THOUGHT, RESULT])

    assert seals().for_caller(SCOPE, MODEL).open(text) == [THOUGHT, RESULT]
    assert text.isascii()
    assert all(character.isalnum() or character in "-_." for character in text)


def test_a_seal_that_nobody_uses_asks_for_no_secret() -> None:
    asked: list[Secret] = []
    seal = CallerSeals(lambda: asked.append(OLD) or asked).for_caller(SCOPE, MODEL)  # type: ignore[func-returns-value]

    assert asked == []
    assert seal.open(seal.seal([THOUGHT])) == [THOUGHT]
    assert asked == [OLD]


@given(blocks=BLOCKS)
def test_all_blocks_come_back_byte_for_byte(blocks: list[bytes]) -> None:
    seal = seals().for_caller(SCOPE, MODEL)

    assert seal.open(seal.seal(blocks)) == blocks


def test_what_is_sealed_twice_looks_different_and_shows_nothing() -> None:
    seal = seals().for_caller(SCOPE, MODEL)
    texts = {seal.seal([THOUGHT]) for _ in range(10)}

    assert len(texts) == 10
    assert not any(urlsafe_b64encode(THOUGHT[:30]).decode()[:-2] in text for text in texts)


@pytest.mark.usefixtures("kind")
@pytest.mark.parametrize(
    ("scope", "model"),
    [
        (b"client\0bob", MODEL),
        (SCOPE, "claude-opus-5"),
        (SCOPE + b"claude", "-opus-5-5"),
        (b"", ""),
        (b"key\0x", MODEL),
    ],
)
def test_nobody_else_opens_it(scope: bytes, model: str) -> None:
    both = seals()
    text = both.for_caller(SCOPE, MODEL).seal([THOUGHT])

    assert both.for_caller(scope, model).open(text) is None
    assert both.counts.unreadable == 1


@pytest.mark.usefixtures("kind")
def test_no_character_of_it_can_be_changed_left_out_or_added() -> None:
    all_of_them = seals()
    seal = all_of_them.for_caller(SCOPE, MODEL)
    for blocks in ([], [b"x"], [b"xy"], [THOUGHT]):
        text = seal.seal(blocks)
        for place, character in enumerate(text):
            other = "A" if character != "A" else "B"
            assert seal.open(f"{text[:place]}{other}{text[place + 1 :]}") is None
            assert seal.open(text[:place]) is None
            assert seal.open(f"{text[:place]}\n{text[place:]}") is None
        assert seal.open(f"{text}=") is None
        assert seal.open(f"{text}A") is None
    assert all_of_them.counts.opened == 0


@pytest.mark.parametrize(
    "foreign", ["", "gAAAAABo", "dg", "dg1", "dg1.", "dg0.", "dg2.AAAA", "dg1.\ud800", "dg1.é", "🌊"]
)
def test_a_text_sealed_elsewhere_is_no_error(foreign: str) -> None:
    assert seals().for_caller(SCOPE, MODEL).open(foreign) is None


@given(text=st.text(max_size=60), mark=st.sampled_from(["", "dg0.", "dg1."]))
def test_no_text_is_an_error(text: str, mark: str) -> None:
    assert seals().for_caller(SCOPE, MODEL).open(mark + text) is None


def test_a_hundred_thousand_bogus_texts_are_counted_and_none_costs_more_than_its_length() -> None:
    all_of_them = seals()
    seal = all_of_them.for_caller(SCOPE, MODEL)
    bogus = [f"gAAAAAB{number}" for number in range(50_000)] + [f"dg1.AAAA{number:08}" for number in range(50_000)]

    assert not any(map(seal.open, bogus))
    assert (all_of_them.counts.foreign, all_of_them.counts.unreadable) == (50_000, 50_000)


def test_a_text_that_is_too_long_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = seals().for_caller(SCOPE, MODEL)
    text = seal.seal([bytes(3000)])
    monkeypatch.setattr(caller_seals, "MOST_TEXT_BYTES", 4000)

    assert seal.open(text) is None


def test_with_too_many_blocks_it_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = seals().for_caller(SCOPE, MODEL)
    monkeypatch.setattr(caller_seals, "MOST_BLOCKS", 3)

    assert seal.open(seal.seal([b"x"] * 3)) == [b"x"] * 3
    assert seal.open(seal.seal([b"x"] * 4)) is None


@pytest.mark.usefixtures("kind")
def test_after_a_rotation_older_texts_still_open_and_new_ones_have_the_new_secret() -> None:
    older = seals(OLD).for_caller(SCOPE, MODEL).seal([THOUGHT])
    rotated = seals(NEW, OLD).for_caller(SCOPE, MODEL)
    newer = rotated.seal([THOUGHT])

    assert rotated.open(older) == rotated.open(newer) == [THOUGHT]
    assert seals(NEW).for_caller(SCOPE, MODEL).open(newer) == [THOUGHT]
    assert seals(NEW).for_caller(SCOPE, MODEL).open(older) is None
    assert seals(OLD).for_caller(SCOPE, MODEL).open(newer) is None


def test_what_was_only_signed_opens_where_the_library_is_there_but_not_the_other_way_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encrypted = seals().for_caller(SCOPE, MODEL).seal([THOUGHT])
    monkeypatch.setattr(caller_seals, "can_encrypt", lambda: False)
    signed = seals().for_caller(SCOPE, MODEL).seal([THOUGHT])
    unreadable = seals().for_caller(SCOPE, MODEL).open(encrypted)
    monkeypatch.setattr(caller_seals, "can_encrypt", lambda: True)

    assert signed != encrypted
    assert unreadable is None
    assert seals().for_caller(SCOPE, MODEL).open(signed) == [THOUGHT]


def test_a_seal_of_signed_blocks_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setattr(caller_seals, "can_encrypt", lambda: False)
    seal = seals().for_caller(SCOPE, MODEL)

    assert seal.open(seal.seal([THOUGHT])) == [THOUGHT]


# Where the secret comes from.


def opens(config: Config, other: Config) -> bool:
    """Whether a gateway with the other configuration opens what one with this configuration has sealed."""
    ours, theirs = (Gateway(each, callers_base_url="http://127.0.0.1:9").services.seals for each in (config, other))
    return theirs.for_caller(SCOPE, MODEL).open(ours.for_caller(SCOPE, MODEL).seal([THOUGHT])) == [THOUGHT]


def test_a_configured_key_opens_after_a_restart_and_a_made_one_does_not() -> None:
    bare = config_for()
    keyed = with_settings(bare, responses=ResponsesConfig(encryption_key=NEW))
    by_the_store = with_settings(bare, store=StoreConfig(kind="memory", encryption_key=NEW))
    rotated = with_settings(bare, responses=ResponsesConfig(encryption_key=OLD, old_encryption_key=NEW))

    assert not opens(bare, bare)
    assert opens(keyed, keyed)
    assert opens(by_the_store, keyed)
    assert opens(keyed, rotated)
    assert not opens(rotated, keyed)


def test_a_made_key_is_told_of_once_and_only_where_something_is_sealed(read_log: Callable[[], str]) -> None:
    gateway = Gateway(config_for(), callers_base_url="http://127.0.0.1:9")
    before = read_log()
    for _ in range(3):
        gateway.services.seals.for_caller(SCOPE, MODEL).seal([THOUGHT])
    gateway._kept.seals.ask_again()
    gateway.services.seals.for_caller(SCOPE, MODEL).seal([THOUGHT])

    assert MADE not in before
    assert read_log().count(MADE) == 1


def test_with_a_database_the_key_beside_it_seals(tmp_path: Path) -> None:
    config = with_settings(config_for(), store=StoreConfig(kind="sqlite", path=str(tmp_path / "new" / "store.db")))

    assert opens(config, config)
    assert (tmp_path / "new" / "store.db.key").exists()


def test_where_the_key_file_cannot_be_used_a_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "store.db.key").write_text("short")
    config = with_settings(config_for(), store=StoreConfig(kind="sqlite", path=str(tmp_path / "store.db")))
    gateway = Gateway(config, callers_base_url="http://127.0.0.1:9")
    seal = gateway.services.seals.for_caller(SCOPE, MODEL)

    assert seal.open(seal.seal([THOUGHT])) == [THOUGHT]


def test_all_workers_get_the_same_key_also_after_a_reload() -> None:
    keys = SealKeys()

    def worker() -> Config:
        config = _with_seal_key(config_for(), keys)
        sent = Assignment(number=1, config=config, callers_base_url="http://127.0.0.1:9").encode()
        return Assignment.decode(sent).config

    assert opens(worker(), worker())


async def test_a_reload_with_another_key_seals_with_it() -> None:
    config = with_settings(config_for(), responses=ResponsesConfig(encryption_key=OLD))
    gateway = Gateway(config, callers_base_url="http://127.0.0.1:9")
    older = gateway.services.seals.for_caller(SCOPE, MODEL).seal([THOUGHT])
    gateway.reload(with_settings(config, responses=ResponsesConfig(encryption_key=NEW, old_encryption_key=OLD)))
    seal = gateway.services.seals.for_caller(SCOPE, MODEL)

    assert seal.open(older) == [THOUGHT]
    assert seals(NEW).for_caller(SCOPE, MODEL).open(seal.seal([RESULT])) == [RESULT]


async def test_a_reload_that_is_about_something_else_leaves_a_made_key() -> None:
    config = config_for()
    gateway = Gateway(config, callers_base_url="http://127.0.0.1:9")
    older = gateway.services.seals.for_caller(SCOPE, MODEL).seal([THOUGHT])
    gateway.reload(with_settings(config, responses=ResponsesConfig(keep_seconds=60.0)))

    assert gateway.services.seals.for_caller(SCOPE, MODEL).open(older) == [THOUGHT]


def test_the_check_says_which_key_seals(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.kept_turns.seal_keys.can_encrypt", lambda: kind == "encrypted")
    bare = config_for()
    file = tmp_path / "store.db"
    words = [
        seals_in_words(with_settings(bare, responses=ResponsesConfig(encryption_key=NEW))),
        seals_in_words(with_settings(bare, store=StoreConfig(kind="memory", encryption_key=NEW))),
        seals_in_words(with_settings(bare, store=StoreConfig(kind="sqlite", path=str(file)))),
        seals_in_words(bare),
    ]

    ends = ("responses.encryption_key", "store.encryption_key", "store.db.key", "set responses.encryption_key")
    for said, end in zip(words, ends, strict=True):
        assert said.endswith(end)
        assert said.startswith("encrypted with" if kind == "encrypted" else "signed, not encrypted")
