"""Content parts: images above all, and what is no text."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.conversations import GIF, JPEG, PNG, WEBP, translate
from translators.errors import TranslationError
from translators.reading import is_blank

PATH = "messages[0].content"
UNKNOWN_DATA = "AAAA"


def blocks(*parts: Any) -> Any:
    """What a user's parts become."""
    return content_of(json.dumps(parts))


def content_of(content: str, role: str = "user") -> Any:
    """What a content (as JSON) becomes, beside a message that makes sure something remains."""
    messages = f'[{{"role":"{role}","content":{content}}},{{"role":"user","content":"after"}}]'
    written = json.loads(translate(f'{{"model":"m","max_tokens":2000,"messages":{messages}}}'.encode()).body)
    if role == "system":
        return written.get("system", [])
    return "" if len(written["messages"]) == 1 else written["messages"][0]["content"]


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def source(url: str) -> Any:
    return blocks(image(url))[0]["source"]


def refusal(part: Any) -> TranslationError:
    with pytest.raises(TranslationError) as caught:
        blocks(part)
    return caught.value


@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
@pytest.mark.parametrize("label", ["image/png", "image/jpg", "image/bmp", "application/octet-stream", "", "IMAGE/GIF"])
def test_an_images_type_is_what_its_bytes_say(label: str, data: str, media_type: str) -> None:
    assert source(f"data:{label};base64,{data}") == {"type": "base64", "media_type": media_type, "data": data}


@pytest.mark.parametrize(
    ("label", "media_type"),
    [("image/png", "image/png"), ("image/jpg", "image/jpeg"), ("Image/WebP", "image/webp")],
)
def test_bytes_that_say_nothing_leave_the_label(label: str, media_type: str) -> None:
    assert source(f"data:{label};base64,{UNKNOWN_DATA}")["media_type"] == media_type


@pytest.mark.parametrize("label", ["image/bmp", "image/svg+xml", "text/plain", ""])
def test_a_format_that_claude_cannot_see_is_refused(label: str) -> None:
    failure = refusal(image(f"data:{label};base64,{UNKNOWN_DATA}")).failure

    assert (failure.param, failure.code) == (f"{PATH}[0].image_url.url", "invalid_image_format")


@pytest.mark.parametrize("scheme", ["data", "DATA", "Data"])
def test_the_scheme_of_a_data_url_may_be_written_large(scheme: str) -> None:
    assert source(f"{scheme}:IMAGE/PNG;BASE64,{PNG}") == {"type": "base64", "media_type": "image/png", "data": PNG}


@pytest.mark.parametrize("parameters", [";charset=utf-8;base64", ";name=cat.png;base64"])
def test_a_data_url_may_have_parameters(parameters: str) -> None:
    assert source(f"data:image/png{parameters},{PNG}")["data"] == PNG


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png,{PNG}",
        "data:image/svg+xml,%3Csvg%3E",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:",
        "data:,",
        f"data:image/png;base64;charset=utf-8,{PNG}",
    ],
)
def test_a_data_url_that_is_not_base64_is_refused(url: str) -> None:
    assert refusal(image(url)).failure.param == f"{PATH}[0].image_url.url"


@pytest.mark.parametrize("missing", [1, 2])
def test_padding_that_was_left_out_is_put_in(missing: int) -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(13 - missing)).decode()
    assert data.endswith("=" * missing)

    assert source(f"data:image/png;base64,{data.rstrip('=')}")["data"] == data


@pytest.mark.parametrize("data", ["iVBORw0KGgoAA", "iVBORw0KGgo=AA", "iVBORw0KGgoA=", "iVBORw0KGgoAAA=", "====="])
def test_base64_of_a_length_that_there_is_not_is_refused(data: str) -> None:
    assert refusal(image(f"data:image/png;base64,{data}")).failure.code == "invalid_base64_image"


@pytest.mark.parametrize("data", ["not base64!", "iVBOR w0KGgo", "iVBORw0KGgo%3D", 'iVBORw0KGgo"', "\u00e9"])
def test_data_that_is_not_base64_is_refused(data: str) -> None:
    assert refusal(image(f"data:image/png;base64,{data}")).failure.param == f"{PATH}[0].image_url.url"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_in_base64_are_joined_or_refused_but_never_sent(newline: str) -> None:
    # Section 3.4: no line breaks; encoders for mail make them after every 76 characters.
    data = "iVBORw0KGgo" + "A" * 65 + newline + "A" * 76 + newline

    sent = sent_or_param(f"data:image/png;base64,{data}")

    assert sent in (data.replace(newline, ""), f"{PATH}[0].image_url.url")


def sent_or_param(url: str) -> Any:
    """The data that is sent, or the place that is named where it is refused."""
    try:
        return source(url)["data"]
    except TranslationError as error:
        return error.failure.param


@pytest.mark.parametrize("data", [JPEG, PNG, "/9j/" + "A/" * 100])
def test_escaped_slashes_in_a_data_url_are_slashes(data: str) -> None:
    escaped = json.dumps([image(f"data:image/jpeg;base64,{data}")]).replace("/", "\\/")

    assert content_of(escaped)[0]["source"]["data"] == data


@pytest.mark.parametrize("url", ["https://example.com/a/b.png", "https://example.com/?a=b&c=%20"])
def test_escaped_slashes_in_an_address_are_slashes(url: str) -> None:
    # PHP's json_encode writes every slash like this.
    escaped = json.dumps([image(url)]).replace("/", "\\/")

    assert content_of(escaped)[0]["source"] == {"type": "url", "url": url}


def test_escaped_plus_signs_are_plus_signs() -> None:
    # .NET's encoder writes every plus sign like this.
    data = "iVBORw0KGgo+A+A="
    escaped = json.dumps([image(f"data:image/png;base64,{data}")]).replace("+", "\\u002B")

    assert content_of(escaped)[0]["source"]["data"] == data


@pytest.mark.parametrize("url", ["https://example.com/cat.png", "https://example.com/\u00e9?x=%20#y"])
def test_an_https_address_goes_on_as_it_is(url: str) -> None:
    assert source(url) == {"type": "url", "url": url}


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/cat.png",
        "HTTP://example.com/cat.png",
        "ftp://example.com/cat.png",
        "file:///etc/passwd",
        "cat.png",
        "",
        "  ",
        "gs://bucket/cat.png",
        "httpsx://example.com",
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    failure = refusal(image(url)).failure

    assert (failure.param, failure.code) == (f"{PATH}[0].image_url.url", "invalid_image_url")


def test_the_url_itself_may_stand_where_its_object_belongs() -> None:
    assert blocks({"type": "image_url", "image_url": "https://example.com/a.png"})[0]["source"]["type"] == "url"


@pytest.mark.parametrize("value", [None, 5, [], {}, {"url": None}, {"url": 5}, {"detail": "low"}])
def test_an_image_without_a_url_is_refused_with_its_place(value: Any) -> None:
    param = refusal({"type": "image_url", "image_url": value}).failure.param

    assert param is not None
    assert param.startswith(f"{PATH}[0].image_url")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "text", "text": 5},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://example.com"}},
        {"type": None},
        {},
        "text",
        None,
    ],
)
def test_a_part_that_cannot_be_sent_is_refused_with_its_place(part: Any) -> None:
    with pytest.raises(TranslationError) as caught:
        blocks({"type": "text", "text": "before"}, part)

    param = caught.value.failure.param
    assert param is not None
    assert param.startswith(f"{PATH}[1]")


@pytest.mark.parametrize("content", ["5", "true", "{}", '{"type":"text","text":"a"}', "1.5"])
def test_content_that_is_neither_text_nor_parts_is_refused(content: str) -> None:
    for role in ("user", "system", "assistant"):
        with pytest.raises(TranslationError) as caught:
            content_of(content, role)

        assert (caught.value.failure.param, caught.value.failure.code) == (PATH, "invalid_type")


def test_a_system_message_takes_nothing_but_text() -> None:
    with pytest.raises(TranslationError) as caught:
        content_of(json.dumps([image("https://example.com/a.png")]), "system")

    assert caught.value.failure.param == f"{PATH}[0].type"


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])), ascii_only=st.booleans())
def test_a_text_is_dropped_if_and_only_if_it_is_blank(text: str, ascii_only: bool) -> None:
    kept = content_of(json.dumps(text, ensure_ascii=ascii_only))

    assert kept == (text if text.strip() else "")


@pytest.mark.parametrize("before", ["", " \n", "\f"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_character_tells_what_it_is(before: str, ascii_only: bool) -> None:
    characters = [chr(code) for code in range(0x3100)] + ["\u6771", "\uffff", "\U0001f600"]

    wrong = [
        character
        for character in characters
        if is_blank(json.dumps(before + character, ensure_ascii=ascii_only).encode()) != character.isspace()
    ]

    assert wrong == []


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\u00a0", "\u2003", "\u3000", "\u2028", "\x1c", "\x85"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_kind_of_white_space_is_blank(blank: str, ascii_only: bool) -> None:
    content = json.dumps(blank, ensure_ascii=ascii_only)

    assert content_of(content, "system") == []
    assert content_of(content) == ""
    assert content_of(f'[{{"type":"text","text":{content}}}]') == ""


@pytest.mark.parametrize(
    "url", ["https://", "HTTPS://", "https:///a.png", "https://?a", "https://#a", "https://:443/a", "https:// /a"]
)
def test_an_address_without_a_host_is_none(url: str) -> None:
    assert refusal(image(url)).failure.code == "invalid_image_url"


@pytest.mark.parametrize(
    "url", ["https://a", "HTTPS://a.example/b?c#d", "https://[::1]/a", "https://ü.example/ä ö.png"]
)
def test_an_address_with_a_host_is_upstreams_to_judge(url: str) -> None:
    assert source(url) == {"type": "url", "url": url}
