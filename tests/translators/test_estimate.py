"""How many tokens a body has, roughly: text by its length, pictures by what they cost at most."""

import base64

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from translators.estimate import estimated_tokens


def body(*blocks: dict[str, object]) -> bytes:
    return orjson.dumps({"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": list(blocks)}]})


def media(kind: str, size: int) -> dict[str, object]:
    data = base64.b64encode(b"\x00" * size).decode()
    return {"type": kind, "source": {"type": "base64", "media_type": "image/png", "data": data}}


def text(length: int) -> dict[str, object]:
    return {"type": "text", "text": "a" * length}


@pytest.mark.parametrize("length", [0, 100, 100_000])
def test_text_is_a_token_for_four_bytes(length: int) -> None:
    written = body(text(length))

    assert estimated_tokens(written) == len(written) // 4


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_image_costs_what_images_cost_and_not_its_bytes(count: int) -> None:
    pictures = body(*(media("image", 75_000) for _ in range(count)))

    assert 1_600 * count <= estimated_tokens(pictures) <= 1_600 * count + 100 * count


def test_a_large_document_costs_more_than_a_small_one() -> None:
    small, large = (estimated_tokens(body(media("document", size))) for size in (60_000, 6_000_000))

    assert small < 2_000
    assert 100_000 < large < 200_000


def test_text_beside_an_image_is_counted_too() -> None:
    both = body(text(40_000), media("image", 75_000), text(40_000))

    assert 21_600 <= estimated_tokens(both) <= 21_800


def test_the_data_may_come_before_other_fields_or_with_spaces() -> None:
    spaced = orjson.dumps(
        {"messages": [{"role": "user", "content": [media("image", 75_000)]}]}, option=orjson.OPT_INDENT_2
    )

    assert estimated_tokens(spaced) < 2_000


@pytest.mark.parametrize("cut", range(0, 100_300, 997))
def test_a_body_that_is_cut_off_has_an_estimate_too(cut: int) -> None:
    assert 0 <= estimated_tokens(body(media("image", 75_000))[:cut]) <= cut


def test_a_word_that_looks_like_a_picture_is_text() -> None:
    written = body({"type": "text", "text": "the type is base64 " * 5_000})

    assert estimated_tokens(written) == len(written) // 4


pieces = st.lists(
    st.sampled_from([b'"base64"', b'"data"', b'"', b":", b"{", b"x" * 300, b"a" * 20_000]) | st.binary(max_size=8),
    max_size=30,
)


@given(pieces)
def test_any_bytes_have_an_estimate_that_is_no_more_than_what_is_there(parts: list[bytes]) -> None:
    written = b"".join(parts)
    most = len(written) // 4 + 1_600 * written.count(b'"base64"')

    assert 0 <= estimated_tokens(written) <= most
