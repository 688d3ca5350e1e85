"""The console in a browser: every page in light and dark, from a phone to a desk, and what its buttons do."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.accounts.rules.definition import Definition
from gateway.cli.console import console_link
from tests.browser.conftest import ADMIN, Visit, console, visit
from tests.support.gateway import RunningGateway

PAGES = ("overview", "keys", "callers", "requests", "models", "settings", "playground")
WIDTHS = (390, 768, 1440)
RULES = (Definition(id="calls", scope="key", what="requests", amount=20, window="day"),)


async def traffic(running: RunningGateway, api_key: str = "any") -> str:
    """Some requests, of which one fails; gives the id of another one."""
    client = running.openai(api_key=api_key)
    await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello."}], user="u-1")
    with pytest.raises(openai.APIStatusError):
        await client.chat.completions.create(
            model="claude-haiku-5-5", messages=[{"role": "user", "content": "[[error 529]]"}]
        )
    stream = await client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hello again."}], stream=True
    )
    async for _ in stream.parse():
        pass
    return stream.headers["x-request-id"]


async def assert_fits(page: Any, name: str) -> None:
    """No page is wider than its window; what is wide scrolls in a place of its own."""
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, f"{name} at {width} px is {wide} px too wide"


async def serious_findings(page: Any, axe: str) -> list[str]:
    """What axe-core finds of weight: kind, and where."""
    await page.evaluate(axe)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:150]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def axe_core() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None, "pip install --group browser"
    assert spec.submodule_search_locations, spec
    return Path(spec.submodule_search_locations[0], "axe.min.js").read_text("utf-8")


async def test_every_page_is_shown_in_light_and_dark_at_every_width(browser: Any, tmp_path: Path) -> None:
    axe = axe_core()
    async with console(tmp_path, rules=RULES) as running, visit(browser, running) as seen:
        opened = await traffic(running)
        await seen.enter()
        for name in (*PAGES, f"requests/{opened}"):
            await seen.go(f"/{name}", ".card, .figure, table")
            for scheme in ("light", "dark"):
                await seen.page.emulate_media(color_scheme=scheme)
                assert await serious_findings(seen.page, axe) == [], f"{name}, {scheme}"
            await assert_fits(seen.page, name)

        assert seen.said == []
        assert seen.hosts == {running.url}


async def test_a_caller_is_created_used_and_disabled(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.enter()
        await seen.go("/callers")
        await page.get_by_role("button", name="Create a key").click()
        await page.get_by_label("Name").fill("shop")
        await page.get_by_role("button", name="Create", exact=True).click()
        secret = await page.locator("dialog pre").inner_text()
        await page.get_by_role("button", name="I have copied it").click()

        opened = await traffic(running, secret)
        await seen.go(f"/requests/{opened}", ".waterfall")
        assert "shop" in await page.inner_text("main")
        await seen.go("/callers")
        await page.get_by_role("button", name="Disable shop").click()
        await page.get_by_role("button", name="Disable", exact=True).click()
        await page.get_by_role("button", name="Enable shop").wait_for()
        with pytest.raises(openai.AuthenticationError):
            await running.openai(api_key=secret).models.list()

        assert secret not in await page.content()
        assert seen.said == []


async def test_a_key_is_taken_out_and_put_back_and_keyboards_suffice(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.enter()
        await seen.go("/keys", ".key-row")
        await page.get_by_role("button", name="Take out first").focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Put back first").wait_for()
        assert running.gateway.services.dispatcher.usable_keys == 1
        await page.get_by_role("button", name="Put back first").press("Enter")
        await page.get_by_role("button", name="Take out first").wait_for()
        assert running.gateway.services.dispatcher.usable_keys == 2


async def test_a_viewer_sees_no_buttons_and_a_stolen_link_opens_nothing(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path) as running, visit(browser, running) as seen, visit(browser, running) as thief:
        link = console_link(running.gateway.config, running.url, "viewer")
        await seen.page.goto(link)
        await seen.page.wait_for_selector("nav")
        address = seen.page.url
        await seen.go("/keys", ".key-row")
        await thief.page.goto(link)
        problem = await thief.page.locator(".problem").inner_text()
        # A new link in the same window, as somebody pastes it there.
        await thief.page.goto(console_link(running.gateway.config, running.url, "viewer"))
        await thief.page.wait_for_selector("nav")

        assert "#" not in address
        assert await seen.page.get_by_role("button", name="Take out").count() == 0
        assert "used already" in problem


async def test_filters_are_in_the_address_and_survive_a_reload(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path, is_open=True) as running, visit(browser, running) as seen:
        page = seen.page
        await traffic(running)
        # An open gateway leads a browser to its console, and asks for nothing.
        await page.goto(running.url)
        await page.wait_for_selector("main h1")
        await page.get_by_role("link", name="Requests").click()
        await page.locator("tbody tr").nth(2).wait_for()
        await page.get_by_label("Status").select_option("failed")
        await page.locator("tbody tr.failed").wait_for()
        await page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")
        assert page.url.endswith("/console/requests?status=failed")
        await page.reload()
        await page.locator("tbody tr").first.wait_for()
        assert await page.locator("tbody tr").count() == 1
        await page.locator("tbody a").click()
        await page.wait_for_selector(".waterfall")

        assert seen.said == []


async def test_drafts_are_checked_and_states_are_told(browser: Any, tmp_path: Path) -> None:
    async with console(tmp_path) as running, visit(browser, running) as seen:
        page = seen.page
        await seen.enter()
        await seen.go("/requests", ".state")
        assert "No requests yet" in await page.inner_text("main")
        await seen.go("/settings", "textarea")
        await page.locator("textarea").fill("server:\n  prot: 1\n")
        await page.locator(".mistakes li").wait_for()
        assert "did you mean port?" in await page.inner_text(".mistakes")
        await seen.go("/requests/req_unknown", "[role=alert]")
        assert "There is no such request" in await page.inner_text("[role=alert]")
        await seen.go("/overview", ".figures")
        await disconnected(seen)
        # The session ends, here with its cookie.
        await page.context.clear_cookies()
        await page.locator(".sign-in").wait_for()
        await page.get_by_label("admin key").fill(ADMIN)
        await page.get_by_role("button", name="Sign in").click()
        await page.locator(".figures").wait_for()


async def disconnected(seen: Visit) -> None:
    """The gateway goes away, and comes back: the page says so, and goes on."""
    await seen.page.route("**/admin/**", lambda route: route.abort())
    await seen.page.locator(".away").wait_for()
    assert "does not answer" in await seen.page.inner_text(".away")
    assert await seen.page.locator(".figures").count() == 1
    await seen.page.unroute("**/admin/**")
    await seen.page.locator(".away").wait_for(state="detached")
