"""How much of a body is text: data in base64 is none, in whichever API's form it comes."""

import base64
import json

import pytest

from translators.steps import in_one_go
from translators.text_size import may_read_more_in_steps, text_size, text_size_in_steps

DATA = base64.b64encode(bytes(range(256)) * 300).decode()
URL = f"data:image/png;base64,{DATA}"


def body(*parts: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": [*parts]}]}).encode()


def test_a_body_without_media_is_text_as_a_whole() -> None:
    plain = json.dumps({"messages": [{"role": "user", "content": f"What is {URL}?"}]}).encode()
    typed = body({"type": "text", "text": URL})

    assert text_size(plain) == (len(plain), False)
    assert text_size(typed) == (len(typed), False)


def test_data_in_base64_is_no_text() -> None:
    parts = (
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "input_image", "image_url": URL},
        {"type": "file", "file": {"file_data": URL}},
        {"type": "input_file", "file_data": DATA},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
    )
    for part in parts:
        sized = body({"type": "text", "text": "What is this?"}, part)

        assert text_size(sized) == (len(sized) - len(DATA), True), part


def test_a_text_in_a_document_is_text() -> None:
    sized = body({"type": "document", "source": {"type": "text", "data": "Some words. " * 1000}})

    assert text_size(sized) == (len(sized), True)


def test_a_large_body_is_measured_in_steps_with_the_same_result() -> None:
    words = {"type": "text", "text": "some words " * 20_000}
    sized = body(words, {"type": "input_image", "image_url": URL}, words, {"type": "image_url", "image_url": URL})

    assert in_one_go(text_size_in_steps(sized)) == text_size(sized) == (len(sized) - 2 * len(DATA), True)
    assert len([*text_size_in_steps(sized)]) > 6


@pytest.mark.parametrize(
    "names",
    [
        b'"tools":[{"type":"web_search_20250305"}]',
        b'"tools":[{"type": "code_execution_20250825"}]',
        b'"thread":{"continues":"msg_1"}',
        b'"mcp_servers":[]',
        b'"source":{"type":"\\u0069mage"}',
    ],
)
def test_what_lets_upstream_read_more_than_the_body_is_found_wherever_it_stands(names: bytes) -> None:
    for before in (b"", b"x" * (64 * 1024 - 8), b"x" * 200_000):
        assert in_one_go(may_read_more_in_steps(b"{" + before + names + b"}"))


def test_usual_texts_and_tools_let_upstream_read_nothing_more() -> None:
    usual = body({"type": "text", "text": 'a "file" from the web, "images", caf\u00e9 \u2013 and so on'})

    assert not in_one_go(may_read_more_in_steps(usual))
