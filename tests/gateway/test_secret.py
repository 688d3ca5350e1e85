"""A secret is given by `reveal` and by nothing else."""

import copy
import json
import logging
import pickle

import msgspec
import orjson
import pytest

from gateway.secret import Redactor, Secret, redact

VALUE = "sk-ant-very-secret"


def test_only_reveal_gives_the_value() -> None:
    secret = Secret(VALUE)

    assert secret.reveal() == VALUE
    assert {repr(secret), str(secret), f"{secret}", f"{secret!s}", f"{secret!r}", "%s" % secret} == {"Secret(****)"}  # noqa: UP031
    assert f"{secret:>14}" == "  Secret(****)"


def test_a_container_shows_no_secret() -> None:
    assert VALUE not in repr([{"key": Secret(VALUE)}])


def test_a_log_line_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("using %s", Secret(VALUE))

    assert caplog.messages == ["using Secret(****)"]


def test_secrets_are_equal_when_their_values_are() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("another")
    assert Secret(VALUE) != VALUE
    assert Secret("\udc80") == Secret("\udc80")


def test_a_secret_without_value_is_false() -> None:
    assert Secret(VALUE)
    assert not Secret("")


def test_a_secret_is_not_pickled_or_copied() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        copy.copy(Secret(VALUE))
    with pytest.raises(TypeError):
        copy.deepcopy([Secret(VALUE)])
    with pytest.raises(TypeError):
        Secret(VALUE).__getstate__()


def test_encoders_refuse_a_secret() -> None:
    for encode in (json.dumps, orjson.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            encode(Secret(VALUE))


def test_redact_hides_every_secret_in_a_text() -> None:
    secrets = [Secret("abc"), Secret("abcdef"), Secret("")]

    assert redact("abcdef, abc and ab; abcabc", secrets) == "****, **** and ab; ********"


def test_redact_leaves_a_text_without_secrets_alone() -> None:
    assert redact("nothing here", []) == "nothing here"


def test_a_redactor_hides_secrets_also_as_they_are_quoted() -> None:
    value = 'a"b\\c/d-of-eight'
    redact_all = Redactor([Secret(value)])
    texts = [
        value,
        json.dumps({"key": value}),
        repr([value]),
        json.dumps(value).replace("/", "\\/"),
        orjson.dumps(value).decode(),
    ]

    assert [redact_all(text) for text in texts] == ["****", '{"key": "****"}', "['****']", '"****"', '"****"']


def test_a_redactor_leaves_words_alone() -> None:
    assert (
        Redactor([Secret("test"), Secret("long-enough")], shortest=8)("the latest long-enough test")
        == "the latest **** test"
    )
