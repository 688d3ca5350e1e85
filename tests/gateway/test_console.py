"""`/console` and its sessions: what its pages may do, who gets in, and who does not."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from gateway.cli.banner import banner
from gateway.cli.console import console_link
from gateway.config import AdminConfig, Config, ConsoleConfig
from gateway.pages.sessions import SESSION_SECONDS, Signing
from tests.scenarios.harness import KEY_A, assert_error, quick_gateway
from tests.support.commands import outcome
from tests.support.gateway import ClientConfig, RunningGateway, Secret, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream
from tests.support.stored_keys import KeyDesk

ADMIN, VIEWER = "admin-key-of-the-operator", "viewer-key-of-somebody"
OWN = {"x-dragoman-console": "1", "sec-fetch-site": "same-origin"}
FOREIGN = "http://localhost:3000"


def closed(upstream: ScriptedUpstream, **more: object) -> Config:
    """A gateway with an admin, a viewer, and a client."""
    clients = [ClientConfig(name="shop", api_key=Secret("client-key-of-an-application"))]
    admin = AdminConfig(api_key=Secret(ADMIN), viewer_key=Secret(VIEWER))
    return with_settings(config_for(key(upstream.base_url, api_key=KEY_A), clients=clients), admin=admin, **more)


def link_token(running: RunningGateway, *, viewer: bool = False) -> str:
    link = console_link(running.gateway.config, running.url, "viewer" if viewer else "admin")
    return link.partition("#enter=")[2]


async def signed_in(running: RunningGateway, *, viewer: bool = False) -> httpx2.AsyncClient:
    """A browser, as far as cookies and headers go, that has used a link."""
    http = running.http()
    http.headers.update(OWN)
    entered = await http.post("/admin/session", json={"link": link_token(running, viewer=viewer)})
    assert entered.status_code == 200, entered.text
    return http


# The files


async def test_the_page_may_load_nothing_but_its_own_files_and_nobody_may_frame_it(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        page = await running.http().get("/console/requests/req_1?status=5xx")

    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert page.status_code == 200
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "lit-html")
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?! type=\"module\" src=\"/console/)|style=|https?://", page.text)


async def test_files_are_kept_for_ever_and_the_page_is_asked_for_again(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        http = running.http()
        page = await http.get("/console")
        paths = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        files = [await http.get(path) for path in paths]
        again = await http.get("/console", headers={"if-none-match": page.headers["etag"]})
        old = await http.get(re.sub(r"assets/\w+", "assets/0123", paths[0]))
        outside = await http.get(re.sub(r"assets/(\w+)/.*", r"assets/\1/..%2f..%2fapp.py", paths[0]))

    assert page.headers["cache-control"] == "no-cache"
    assert [file.status_code for file in files] == [200] * len(paths)
    assert {file.headers["cache-control"] for file in files} == {"public, max-age=31536000, immutable"}
    assert (again.status_code, again.content) == (304, b"")
    assert (old.status_code, outside.status_code) == (404, 404)


@pytest.mark.parametrize(("accept", "status"), [("text/html,*/*;q=0.8", 307), ("*/*", 200), ("application/json", 200)])
async def test_browsers_are_led_to_the_console_and_programs_get_json(
    upstream: ScriptedUpstream, accept: str, status: int
) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        answer = await running.http().get("/", headers={"accept": accept})

    assert answer.status_code == status
    assert answer.headers.get("location") == ("/console" if status == 307 else None)


async def test_a_console_that_is_switched_off_is_not_there(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream, console=ConsoleConfig(enabled=False))) as running:
        http = running.http()
        token = Signing(running.gateway.config.admin, running.time.now).token("session", "admin", SESSION_SECONDS)
        port = running.url.rpartition(":")[2]
        cookie = {**OWN, "cookie": f"dragoman_console_{port}={token}"}
        answers = [await http.get(path, headers=cookie) for path in ("/console", "/admin/session", "/admin/pool")]
        page = await http.get("/", headers={"accept": "text/html"})

    assert [answer.status_code for answer in answers] == [404, 404, 401]
    assert page.status_code == 200


# Signing in


async def test_a_link_signs_in_once_with_a_cookie_that_scripts_cannot_read(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        http, token = running.http(), link_token(running)
        first = await http.post("/admin/session", json={"link": token}, headers=OWN)
        seen = await http.get("/admin/pool", headers=OWN)
        stolen = await running.http().post("/admin/session", json={"link": token}, headers=OWN)

    cookie = first.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
    assert seen.status_code == 200
    assert_error(stolen, 401, "invalid_request_error", "invalid_api_key")


async def test_a_link_is_used_once_by_all_processes_that_share_a_database(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = KeyDesk(tmp_path).within(closed(upstream))
    async with quick_gateway(config=config) as one, quick_gateway(config=config) as other:
        token = link_token(one)
        answers = [await each.http().post("/admin/session", json={"link": token}, headers=OWN) for each in (one, other)]

    assert [answer.status_code for answer in answers] == [200, 401]


async def test_keys_sign_in_with_their_roles_and_others_do_not(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        tried = {}
        for given in (ADMIN, VIEWER, "client-key-of-an-application", "", "\u00e4"):
            answer = await running.http().post("/admin/session", json={"key": given}, headers=OWN)
            tried[given] = (answer.status_code, answer.json().get("role"))

    assert tried == {
        ADMIN: (200, "admin"),
        VIEWER: (200, "viewer"),
        "client-key-of-an-application": (401, None),
        "": (401, None),
        "\u00e4": (401, None),
    }


async def test_who_signs_out_is_out(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        http = await signed_in(running)
        before = (await http.get("/admin/session")).json()["role"]
        await http.delete("/admin/session")
        after = (await http.get("/admin/session")).json()["role"]

    assert (before, after) == ("admin", None)


def forged(token: str) -> str:
    return token.replace("viewer", "admin")


def prolonged(token: str) -> str:
    role, until, number, signature = token.split(".")
    return f"{role}.{int(until) + 1}.{number}.{signature}"


@pytest.mark.parametrize("bend", [forged, prolonged, lambda token: token[:-1], lambda token: "", lambda token: "ä"])
async def test_a_forged_cookie_is_nobody(upstream: ScriptedUpstream, bend: Callable[[str], str]) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        signing = Signing(running.gateway.config.admin, running.time.now)
        name = f"dragoman_console_{running.url.rpartition(':')[2]}"
        token = bend(signing.token("session", "viewer", SESSION_SECONDS))
        answer = await running.http().get("/admin/pool", headers=[(b"cookie", f"{name}={token}".encode())])

    assert answer.status_code == 401


@pytest.mark.parametrize("other", [AdminConfig(api_key=Secret("another-admin-key")), AdminConfig()])
def test_a_session_ends_with_the_key_it_came_from(other: AdminConfig) -> None:
    token = Signing(AdminConfig(api_key=Secret(ADMIN)), lambda: 0.0).token("session", "admin", 10)

    assert Signing(other, lambda: 0.0).read("session", token) is None


def test_a_token_is_for_its_time_and_its_purpose_only() -> None:
    now = 1000.0
    signing = Signing(AdminConfig(api_key=Secret(ADMIN)), lambda: now)
    link = signing.token("link", "viewer", 10)
    grant = signing.read("link", link)
    now = 1010.0

    assert grant is not None
    assert (grant.role, grant.until) == ("viewer", 1010.0)
    assert signing.read("session", link) is None
    assert signing.read("link", link) is None


def test_who_has_the_viewers_key_alone_cannot_make_an_administrators_session() -> None:
    viewers = Signing(AdminConfig(viewer_key=Secret(VIEWER)), lambda: 0.0)

    assert viewers.token("session", "viewer", 10)
    with pytest.raises(ValueError, match="no key to sign"):
        viewers.token("session", "admin", 10)


# What a session may do


async def test_a_viewer_reads_and_changes_nothing(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        http = await signed_in(running, viewer=True)
        reads = await http.get("/admin/settings")
        writes = [
            await http.post("/admin/pool/main/take_out"),
            await http.post("/admin/keys", json={"name": "x"}),
            await http.post("/admin/settings/check", json={"yaml": ""}),
        ]

    assert reads.status_code == 200
    for answer in writes:
        assert_error(answer, 403, "invalid_request_error", "viewer_only_reads")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-dragoman-console": "1", "sec-fetch-site": "same-site"},
        {"x-dragoman-console": "1", "sec-fetch-site": "cross-site"},
        {"x-dragoman-console": "1", "origin": FOREIGN},
        {"sec-fetch-site": "same-origin"},
    ],
)
async def test_other_pages_cannot_use_who_is_signed_in(upstream: ScriptedUpstream, headers: dict[str, str]) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        http = await signed_in(running)
        for name in OWN:
            del http.headers[name]
        written = await http.post("/admin/pool/main/take_out", headers=headers)
        entered = await http.post("/admin/session", json={"key": ADMIN}, headers=headers)
        (view,) = running.gateway.services.dispatcher.snapshot().keys

    assert_error(written, 403, "invalid_request_error", "not_from_console")
    assert_error(entered, 403, "invalid_request_error", "not_from_console")
    assert view.standing.state == "ready"


async def test_behind_a_proxy_that_ends_tls_the_browser_says_what_is_its_own(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        headers = {**OWN, "origin": "https://gateway.example", "host": "10.0.0.7:8080"}
        entered = await running.http().post("/admin/session", json={"key": ADMIN}, headers=headers)

    assert entered.status_code == 200
    assert entered.headers["set-cookie"].startswith("dragoman_console_8080=")
    assert entered.headers["set-cookie"].endswith("; Secure")


# A gateway that is open to its own machine


async def test_an_open_gateway_shows_its_console_to_its_own_machine_and_changes_nothing(
    upstream: ScriptedUpstream,
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        session = (await http.get("/admin/session", headers=OWN)).json()
        read = await http.get("/admin/pool", headers=OWN)
        written = await http.post("/admin/pool/main/take_out", headers=OWN)
        program = await http.get("/admin/pool")
        foreign = await http.get("/admin/pool", headers={**OWN, "sec-fetch-site": "same-site", "origin": FOREIGN})
        rebound = await http.get("/admin/pool", headers={**OWN, "host": "evil.example"})

    assert (session["role"], session["open"]) == ("viewer", True)
    assert read.status_code == 200
    assert_error(written, 403, "invalid_request_error", "viewer_only_reads")
    assert_error(program, 403, "invalid_request_error", "admin_key_not_set")
    assert foreign.status_code == rebound.status_code == 403


async def test_the_first_stored_key_closes_the_console_of_an_open_gateway(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    desk = KeyDesk(tmp_path)
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        before = await http.get("/admin/pool", headers=OWN)
        desk.make()
        assert running.gateway.keys.stored is not None
        await running.gateway.keys.stored.refresh()
        after = await http.get("/admin/pool", headers=OWN)

    assert (before.status_code, after.status_code) == (200, 403)


# The command


async def test_the_command_prints_a_link_that_only_the_fragment_makes_secret() -> None:
    code, out, _ = await outcome("console", "--url", "http://gateway.example:8080", DRAGOMAN_ADMIN_KEY=ADMIN)
    url, _, token = out.strip().partition("#enter=")
    grant = Signing(AdminConfig(api_key=Secret(ADMIN)), lambda: 0.0).read("link", token)

    assert (code, url) == (0, "http://gateway.example:8080/console")
    assert grant is not None
    assert grant.role == "admin"


async def test_the_command_makes_links_for_viewers() -> None:
    _, out, _ = await outcome("console", "--viewer", "--url", "http://127.0.0.1:1", DRAGOMAN_ADMIN_KEY=ADMIN)

    assert "#enter=viewer." in out


async def test_without_an_admin_key_the_command_prints_the_address_of_an_open_gateway() -> None:
    assert await outcome("console") == (0, "http://127.0.0.1:8080/console\n", "")


async def test_without_an_admin_key_nobody_can_sign_in_where_keys_are_needed() -> None:
    code, _, err = await outcome("console", DRAGOMAN_CLIENT_KEYS="shop-key-of-sixteen", ANTHROPIC_API_KEY=KEY_A)

    assert code == 1
    assert "There is no admin key" in err


async def test_a_terminal_is_told_a_link_and_a_file_only_the_address(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        url = "http://0.0.0.0:8080"
        terminal = banner(running.gateway, url, "1", in_terminal=True)
        file = banner(running.gateway, url, "1")

    assert "  console  http://127.0.0.1:8080/console#enter=admin." in terminal
    assert "  console  http://127.0.0.1:8080/console\n" in file
    assert "enter=" not in file
