"""The playground in a browser: asking, stopping, tools, files, and both sides of the wire."""

import json
import re
from pathlib import Path
from typing import Any

from tests.browser.conftest import Visit, console, visit
from tests.browser.test_console import assert_fits, axe_core, serious_findings

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63fcffff3f030005fe02fea7c9e8"
    "ea0000000049454e44ae426082"
)


async def ask(page: Any, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")
    await page.wait_for_function("() => document.querySelector('.composer textarea').value === ''")


async def both_wires(page: Any) -> str:
    """What the card says once both sides are there."""
    await page.locator(".wires .facts").wait_for()
    text: str = await page.inner_text(".wires")
    return text


async def drop(page: Any, name: str, kind: str) -> None:
    """Drop a file on the conversation, as a hand does."""
    await page.evaluate(
        """([name, type, bytes]) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], name, { type }));
            const event = new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true });
            document.querySelector('.talk').dispatchEvent(event);
        }""",
        [name, kind, list(PNG)],
    )


def unexpected(seen: Visit) -> list[str]:
    """What the browser complains of, beside answers that are refusals."""
    return [text for text in seen.said if "Failed to load resource" not in text]


async def test_tools_are_called_and_answered_and_both_wires_are_shown(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path, is_open=True) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.go("/playground", ".samples")
        await page.get_by_role("button", name="Tools Calls").click()
        wires = await both_wires(page)
        assert "tools.parameters → input_schema" in wires
        assert '"input_schema"' in await page.get_by_label("What upstream got").inner_text()
        assert '"parameters"' in await page.get_by_label("What you sent").inner_text()
        assert re.search(r"Cost\s+\$0\.\d+", wires)

        await page.get_by_label("Result of get_weather").first.fill("Rain, 11 degrees")
        await page.get_by_role("button", name="Send the results").click()
        await page.get_by_text("Rain, 11 degrees").nth(1).wait_for()
        assert "tool_result" in await both_wires(page)
        await page.get_by_role("button", name="Events").click()
        events = await page.get_by_label("Events of both sides").inner_text()
        assert all(name in events for name in ("message_start", "message_stop", "chat.completion.chunk", "[DONE]"))
        await page.get_by_role("button", name="Times").click()
        await page.locator(".waterfall").wait_for()
        assert await serious_findings(page, axe_core()) == []
        await assert_fits(page, "playground with an answer")

        assert seen.said == []
        assert seen.hosts == {running.url}


async def test_what_is_lost_is_marked_on_both_sides_in_light_and_dark(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.enter()
        await seen.go("/playground", ".samples")
        await page.get_by_role("button", name="What is lost").click()
        wires = await both_wires(page)
        axe = axe_core()
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            assert await serious_findings(page, axe) == [], scheme
        await assert_fits(page, "playground with both wires")

        assert "temperature this model does not take it" in wires
        assert "messages → system" in wires
        assert '"temperature"' in await page.locator(".line.dropped").first.inner_text()
        assert seen.said == []


async def test_images_are_dropped_and_the_responses_api_answers_with_reasoning(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path, is_open=True) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.go("/playground?api=responses", ".samples")
        await page.get_by_label("Effort").select_option("low")
        files = [
            {"name": "dot.png", "mimeType": "image/png", "buffer": PNG},
            {"name": "notes.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4\n%%EOF\n"},
        ]
        await page.get_by_label("Attach").set_input_files(files)
        await page.get_by_text("notes.pdf").wait_for()
        await drop(page, "more.png", "image/png")
        await page.get_by_text("more.png").wait_for()
        await ask(page, "[[think]] What is this?")
        wires = await both_wires(page)

        talk = await page.get_by_role("log").inner_text()
        assert "3 attachments" in talk
        assert "Reasoning" in talk
        assert "input → messages" in wires
        assert running.gateway.observing.requests.look()[0].endpoint == "/v1/responses"
        assert seen.said == []


async def test_an_answer_can_be_stopped_and_errors_are_shown_as_they_are(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path, is_open=True) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.go("/playground", ".samples")
        await ask(page, "[[slow]] [[long 200]] Tell me more.")
        await page.get_by_text("writes").wait_for()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_text("stopped").wait_for()
        await both_wires(page)
        assert running.gateway.observing.requests.look()[0].error is not None

        await page.get_by_role("button", name="Clear").click()
        await ask(page, "[[error 400]]")
        await page.get_by_role("log").get_by_role("alert").wait_for()
        assert "400" in await page.get_by_role("log").get_by_role("alert").inner_text()
        assert "invalid request" in await both_wires(page)
        await page.get_by_label("Tools, as JSON").fill("[")
        await page.get_by_label("Message", exact=True).fill("Hello.")
        await page.get_by_role("button", name="Send", exact=True).click()
        await page.get_by_text("Tools: not valid JSON").wait_for()

        assert unexpected(seen) == []


async def test_sources_are_shown_and_only_addresses_of_the_web_are_links(browser: Any, tmp_path: Path) -> None:
    found = [
        {"type": "url_citation", "url_citation": {"title": "A page", "url": "https://example.com/a"}},
        {"type": "url_citation", "url_citation": {"title": "A trick", "url": "javascript:alert(1)"}},
    ]
    chunk = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "So it is.", "annotations": found}}]}
    async with console(tmp_path, is_open=True) as running, visit(browser, running) as seen:
        page = seen.page
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        await page.route(
            "**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream")
        )
        await seen.go("/playground", ".samples")
        await ask(page, "Is it so?")
        await page.get_by_text("A trick").wait_for()
        links = await page.locator(".sources a").evaluate_all("all => all.map((each) => each.href)")

    assert links == ["https://example.com/a"]
    assert seen.said == []


async def test_a_viewer_sees_how_to_ask_and_cannot(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path) as running, visit(browser, running) as seen:
        await seen.enter("viewer")
        await seen.go("/playground", ".wires")
        await seen.page.get_by_role("button", name="Code").click()
        await seen.page.get_by_label("Python").wait_for()

        assert "YOUR_KEY" in await seen.page.inner_text(".programs")
        assert await seen.page.get_by_role("button", name="Send").count() == 0
        assert seen.said == []
