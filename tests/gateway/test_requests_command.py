"""`dragoman requests`: a line a request, the timeline of one, and further ones as they come."""

import argparse
import asyncio
import json

import pytest

from gateway.cli.requests import show_requests
from gateway.cli.timeline import line, told
from gateway.config import AdminConfig, LogContentConfig
from gateway.telemetry.requests.contents import Content
from gateway.telemetry.requests.entries import Entry, entry_of, held_of
from gateway.upstream.hosts import endpoint
from tests.scenarios.harness import KEY_A, PATH, asking, no_lease_is_out, quick_gateway, until
from tests.support import messages
from tests.support.commands import outcome
from tests.support.ended import ended, entry
from tests.support.gateway import ClientConfig, Config, Secret, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer

ADMIN = "admin-key-of-the-operator"
SHOP = "client-key-of-the-shop"
AS_SHOP = {"authorization": f"Bearer {SHOP}"}


def administered(upstream: ScriptedUpstream) -> Config:
    content = LogContentConfig(keep_seconds=60)
    clients = [ClientConfig(name="shop", api_key=Secret(SHOP), log_content=content)]
    config = config_for(key(upstream.base_url, "first", KEY_A), clients=clients)
    return with_settings(config, admin=AdminConfig(api_key=Secret(ADMIN)))


def shown(*entries: object, number: int = 1, **fields: object) -> Entry:
    made = ended(number, *entries, **fields)  # type: ignore[arg-type]
    return entry_of(held_of(made), has_content=False)


async def test_requests_are_listed_and_one_is_told_with_its_timeline(upstream: ScriptedUpstream) -> None:
    answer = json_answer(200, messages.message("Hello there"))
    upstream.script(error_answer(529, "overloaded_error", "Busy"), answer, answer)
    async with quick_gateway(config=administered(upstream)) as running:
        for _ in range(2):
            await running.http().post(PATH, json=asking(), headers=AS_SHOP)
        await no_lease_is_out(running)
        ask = ("requests", "--url", running.url)
        code, text, _ = await outcome(*ask, "--caller", "shop", DRAGOMAN_ADMIN_KEY=ADMIN)
        _, lines, _ = await outcome(*ask, "--json", "--limit", "1", DRAGOMAN_ADMIN_KEY=ADMIN)
        (latest,) = map(json.loads, lines.splitlines())
        _, one, _ = await outcome(*ask, latest["id"], DRAGOMAN_ADMIN_KEY=ADMIN)
        bad = await outcome(*ask, "--status", "odd", DRAGOMAN_ADMIN_KEY=ADMIN)
        none = await outcome(*ask, "req_0", DRAGOMAN_ADMIN_KEY=ADMIN)

    assert code == 0
    heading, *rows = text.splitlines()
    assert heading.split() == ["time", "status", "caller", "model", "ms", "queued", "first", "tokens", "cost", "id"]
    assert latest["id"] in rows[-1]
    assert "Hello there" in one
    assert "key first: upstream answers 200" in one
    assert (bad[0], none[0]) == (1, 1)
    assert "as 429" in bad[2]
    assert "no such request" in none[2]


async def test_further_requests_are_shown_as_they_end_each_once(
    upstream: ScriptedUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.always(json_answer(200, messages.message()))
    async with quick_gateway(config=administered(upstream)) as running:
        options = argparse.Namespace(
            id=None, follow=True, json=True, url=running.url,
            caller=None, model=None, status=None, slower_than=None, limit=None,
        )  # fmt: skip
        await running.http().post(PATH, json=asking(), headers=AS_SHOP)
        admin = endpoint("admin", Secret(ADMIN), running.url)
        following = asyncio.create_task(show_requests(admin, options, follow_seconds=0.01))
        said = ""

        def has_said(count: int) -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return said.count("\n") >= count or following.done()

        for count in (1, 2, 3):
            await until(lambda count=count: has_said(count))  # type: ignore[misc]
            await running.http().post(PATH, json=asking(), headers=AS_SHOP)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    ids = [json.loads(row)["id"] for row in said.splitlines()]
    assert len(ids) == len(set(ids)) >= 3


def test_a_line_names_the_outcome_and_where_the_time_went() -> None:
    cells = line(shown(caller="a-caller-with-a-long-name", status=503, error="overloaded")).split()

    assert cells[1:4] == ["503", "a-calle…g-name", "claude-sonnet-5-5"]
    assert cells[4:6] == ["4500", "1001"]
    assert cells[-1] == "req_1"
    assert cells[-2].startswith("$0.00")


def test_the_timeline_is_in_order_and_nothing_commands_the_terminal() -> None:
    first = entry("first", error="overloaded", status=529, seconds=0.5, first_token_seconds=None)
    content = Content("Hi \x1b[2J", "Ho", ("first: Busy.",))
    text = told(shown(first, entry("second", began_at=first.began_at + 2), trace_id="a" * 32), content)
    moments = [row.split("ms  ")[1] for row in text.splitlines() if " ms  " in row]

    assert moments[0] == "arrived"
    assert moments[-2:] == ["ended", "key second: end_turn"]
    assert [place for place, what in enumerate(moments) if "call to" in what] == [1, 5]
    assert "\x1b" not in text
    assert "first: Busy." in text
