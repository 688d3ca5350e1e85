"""A browser in front of a gateway in front of the simulated upstream; skipped where there is no browser."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from gateway.cli.console import console_link
from gateway.config import AdminConfig, Config
from gateway.demo import run_simulated_upstream
from gateway.pages.sessions import Role
from tests.support.gateway import AccountsConfig, PoolConfig, RunningGateway, Secret, config_for, key, running_gateway

ADMIN: Final = "admin-key-of-the-operator"
CHROMIUM: Final = os.environ.get("DRAGOMAN_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
_LACKS: Final = (
    "Playwright is not installed: pip install --group browser"
    if find_spec("playwright") is None
    else None
    if CHROMIUM
    else "there is no Chromium: apt-get install chromium, or name one with DRAGOMAN_CHROMIUM"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where something is missing."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if _LACKS:
                item.add_marker(pytest.mark.skip(reason=_LACKS))


class Visit:
    """A page of the browser, with all that it has asked for and complained of."""

    def __init__(self, page: Any, running: RunningGateway) -> None:
        self.page = page
        self.running = running
        self.said: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.hosts.add("/".join(request.url.split("/")[:3])))

    async def enter(self, role: Role = "admin") -> None:
        """Sign in with a new link."""
        await self.page.goto(console_link(self.running.gateway.config, self.running.url, role))
        await self.page.wait_for_selector("main h1")

    async def go(self, path: str, until: str = "main h1") -> None:
        """Open a page of the console, and wait until it shows something."""
        await self.page.goto(f"{self.running.url}/console{path}")
        await self.page.wait_for_selector(until)


@asynccontextmanager
async def console(path: Path, *, is_open: bool = False, **more: object) -> AsyncIterator[RunningGateway]:
    """A gateway in front of the simulated upstream, with accounts in a folder, and an admin key unless it is open."""
    async with run_simulated_upstream() as upstream:
        keys = (key(upstream.base_url, "first"), key(upstream.base_url, "second", "sk-ant-second"))
        config: Config = replace(
            config_for(*keys),
            accounts=AccountsConfig(kind="sqlite", path=str(path / "accounts.db")),
            admin=AdminConfig() if is_open else AdminConfig(api_key=Secret(ADMIN)),
            pool=PoolConfig(),
            **more,
        )
        async with running_gateway(config=config) as running:
            yield running


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    """Chromium without a window."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        # Containers have no sandbox of their own kind to offer.
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield launched
        finally:
            await launched.close()


@asynccontextmanager
async def visit(browser: Any, running: RunningGateway, **options: Any) -> AsyncIterator[Visit]:
    """A browser window with cookies of its own."""
    context = await browser.new_context(**options)
    try:
        yield Visit(await context.new_page(), running)
    finally:
        await context.close()
