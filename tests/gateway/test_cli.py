"""The command line, as it is typed: real processes, real signals."""

import asyncio
import json
import signal
from pathlib import Path

import httpx2
import pytest

from gateway.process.serving import CannotListenError, listen
from tests.support.commands import PATIENCE_SECONDS, outcome, outcome_of_process, start, started
from tests.support.messages import text_stream
from tests.support.scripted import Wait, scripted_upstream, stream_answer
from tests.support.upstream_rules import run_strict_upstream

SECRET = "sk-ant-very-secret-indeed"


async def test_the_demo_answers_without_any_key_and_says_what_it_is() -> None:
    async with started("demo") as running, httpx2.AsyncClient(verify=False) as client:
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello!"}]}
        answer = await client.post(f"{running.url}/v1/chat/completions", json=body)
        running.process.send_signal(signal.SIGINT)
        code, _ = await running.end()

    assert "simulated upstream" in running.said
    assert "ANTHROPIC_API_KEY" in running.said
    assert f'base_url="{running.url}/v1"' in running.said
    assert "Hello!" in answer.json()["choices"][0]["message"]["content"]
    assert code == 0


async def test_serve_says_whose_keys_it_uses_and_never_shows_them() -> None:
    async with (
        run_strict_upstream() as upstream,
        started("serve", ANTHROPIC_API_KEYS=f"{SECRET}1,{SECRET}2", ANTHROPIC_BASE_URL=upstream.base_url) as running,
        httpx2.AsyncClient(verify=False) as client,
    ):
        await client.post(f"{running.url}/v1/chat/completions", json={"model": "gpt-5", "messages": []})
        running.process.send_signal(signal.SIGTERM)
        code, rest = await running.end()

    assert "2: key-1" in running.said
    assert "gpt-*-mini* -> claude-haiku-5-5" in running.said
    assert "POST /v1/chat/completions 400" in rest
    assert SECRET not in running.said + rest
    assert code == 0


async def test_ctrl_c_lets_an_open_stream_finish() -> None:
    gate = asyncio.Event()
    body = text_stream("Hello, world.")
    async with scripted_upstream() as upstream:
        upstream.script(stream_answer(*body[:3], Wait(gate), *body[3:]))
        async with (
            started("serve", ANTHROPIC_API_KEY=SECRET, ANTHROPIC_BASE_URL=upstream.base_url) as running,
            httpx2.AsyncClient(verify=False, timeout=PATIENCE_SECONDS) as client,
        ):
            request = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            async with client.stream("POST", f"{running.url}/v1/chat/completions", json=request) as answer:
                pieces = answer.aiter_bytes()
                first = await anext(pieces)
                running.process.send_signal(signal.SIGINT)
                assert running.process.stderr is not None
                await running.process.stderr.readuntil(b"may finish")
                gate.set()
                rest = b"".join([piece async for piece in pieces])
            code, _ = await running.end()

    assert (first + rest).endswith(b"data: [DONE]\n\n")
    assert code == 0


async def test_a_second_ctrl_c_ends_open_streams_at_once_and_tells_them() -> None:
    async with scripted_upstream() as upstream:
        upstream.script(stream_answer(*text_stream("Hello, world.")[:3], Wait(asyncio.Event())))
        async with (
            started("serve", ANTHROPIC_API_KEY=SECRET, ANTHROPIC_BASE_URL=upstream.base_url) as running,
            httpx2.AsyncClient(verify=False, timeout=PATIENCE_SECONDS) as client,
        ):
            request = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            async with client.stream("POST", f"{running.url}/v1/chat/completions", json=request) as answer:
                pieces = answer.aiter_bytes()
                await anext(pieces)
                running.process.send_signal(signal.SIGINT)
                assert running.process.stderr is not None
                await running.process.stderr.readuntil(b"may finish")
                running.process.send_signal(signal.SIGINT)
                rest = b"".join([piece async for piece in pieces])
            code, log = await running.end()

    assert b"gateway_shutting_down" in rest
    assert "Stopping at once: 1 open requests are cut off." in log
    assert "error=shutting_down" in log
    assert "Traceback" not in log
    assert code == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
async def test_an_address_that_others_can_reach_needs_clients(host: str) -> None:
    code, _, err = await outcome("serve", "--host", host, ANTHROPIC_API_KEY=SECRET)

    assert code == 1
    assert "clients:" in err
    assert "127.0.0.1" in err


async def test_a_port_that_is_taken_is_said_so() -> None:
    async with started("demo") as running:
        port = running.url.rpartition(":")[2]
        code, _, err = await outcome_of_process("serve", "--port", port, ANTHROPIC_API_KEY=SECRET)

    assert code == 1
    assert err == f"Cannot listen on 127.0.0.1:{port}: address already in use. Choose another port with --port.\n"


@pytest.mark.parametrize(("host", "shown"), [("192.0.2.1", "192.0.2.1:8080"), ("2001:db8::1", "[2001:db8::1]:8080")])
def test_an_address_of_another_machine_is_said_to_be_the_mistake(host: str, shown: str) -> None:
    with pytest.raises(CannotListenError) as caught:
        listen(host, 8080)

    assert str(caught.value).startswith(f"Cannot listen on {shown}: ")
    assert str(caught.value).endswith(". Choose another address with --host.")


async def test_every_mistake_of_the_configuration_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("keys: [{name: a, wieght: 2, api_key: x}]\nserver: {port: abc}\n")
    for command in ("check", "serve", "demo", "doctor"):
        code, _, err = await outcome(command, "--config", str(file))

        assert code == 1
        assert "keys[0].wieght: unknown setting, did you mean weight?" in err
        assert "server.port" in err
        assert "Traceback" not in err


async def test_check_says_what_was_understood_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"keys: [{{name: first, api_key: {SECRET}}}]\nclients: [{{name: app, api_key: {SECRET}2}}]\n")
    code, out, err = await outcome("check", DRAGOMAN_CONFIG=str(file))

    assert code == 0
    assert out.endswith(f"OK: {file}\n")
    assert "\nencrypted_content of /v1/responses: encrypted with " in out
    assert "first" in out
    assert "app" in out
    assert SECRET not in out + err


async def test_check_warns_of_rules_and_limits_that_match_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"""
keys: [{{name: first, api_key: {SECRET}}}]
clients: [{{name: app, api_key: {SECRET}2, group: shop}}]
accounts: {{kind: sqlite, path: accounts.db}}
rules:
  - {{id: well, scope: group, of: "sh*", model: "claude-haiku-*", what: requests, amount: 1, over: "model:gpt-5"}}
  - {{id: users, scope: end_user, of: app, what: requests, amount: 1}}
  - {{id: typed, model: "claude-opsu-*", what: requests, amount: 1}}
  - {{id: alias, model: gpt-5, what: requests, amount: 1}}
  - {{id: team, scope: group, of: shops, what: requests, amount: 1}}
  - {{id: other, scope: key, of: ap, what: requests, amount: 1, over: "model:claude-hiku-5-5"}}
""")
    await outcome("keys", "create", "stored", "--models", "gpt-5*,claude-opus-*,llama-*", "--config", str(file))
    code, out, _ = await outcome("check", "--config", str(file))

    assert code == 0
    assert [line.removeprefix("WARNING: ") for line in out.splitlines() if "rule " in line or "its limit" in line] == [
        "rule typed: model 'claude-opsu-*' matches no known model",
        "rule alias: model 'gpt-5' matches no known model; rules count by upstream's ids, and this is an alias",
        "rule team: no client and no key is in a group 'shops', so it concerns nobody",
        "rule other: there is no client and no key 'ap', so it concerns nobody",
        "rule other: over names 'claude-hiku-5-5', which is no known model",
        "key stored: its limit to models 'llama-*' matches no known model and no alias",
    ]


async def test_check_prints_the_schema() -> None:
    code, out, _ = await outcome("check", "--schema")

    assert code == 0
    assert "weight" in json.dumps(json.loads(out))


async def test_help_teaches() -> None:
    code, out, _ = await outcome("--help")

    assert code == 0
    assert all(word in out for word in ("serve", "demo", "check", "doctor", "ANTHROPIC_API_KEY", "base_url"))


async def test_the_command_alone_is_help() -> None:
    code, out, err = await outcome()

    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m gateway")
    # What it advises can be typed.
    assert "python -m gateway serve" in out


@pytest.mark.parametrize("name", ["dragoman.yaml", "config.yaml"])
async def test_a_configuration_file_where_the_command_is_run_is_found_and_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"keys: [{{name: first, api_key: {SECRET}}}]")
    code, out, _ = await outcome("check", cwd=str(tmp_path))
    async with started("serve", cwd=str(tmp_path)) as running:
        said = running.said

    assert code == 0
    assert out.endswith(f"OK: {name}\n")
    assert f"  config   {name}\n" in said
    assert "first (https://api.anthropic.com)" in said


async def test_the_banner_is_ten_lines_with_the_address_first_and_last(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"keys: [{{name: first, api_key: {SECRET}}}]\nserver: {{workers: 2}}")
    async with started("serve", "--config", str(file)) as running:
        lines = running.said.splitlines()

    assert len(lines) <= 10
    assert lines[0].endswith(f"listens on {running.url}/v1 with 2 workers")
    assert f'base_url="{running.url}/v1"' in lines[-1]
    assert "\x1b" not in running.said


@pytest.mark.parametrize("arguments", [["fly"], ["serve", "--port", "x"]])
async def test_a_misspelled_command_ends_with_two(arguments: list[str]) -> None:
    code, _, err = await outcome(*arguments)

    assert code == 2
    assert "usage: python -m gateway" in err


@pytest.mark.parametrize("port", ["-1", "65536"])
async def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    code, _, err = await outcome("serve", "--port", port)

    assert code == 1
    assert "--port" in err


async def test_with_a_json_log_all_that_is_said_is_json(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("log: {format: json}")
    async with scripted_upstream() as upstream:
        upstream.script(stream_answer(*text_stream("Hello, world.")[:3], Wait(asyncio.Event())))
        variables = {"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_BASE_URL": upstream.base_url, "DRAGOMAN_PORT": "0"}
        process = await start("serve", "--config", str(file), **variables, DRAGOMAN_ADMIN_KEY="")
        assert process.stdout is not None
        assert process.stderr is not None
        lines: list[dict[str, object]] = []

        async def until_said(words: str) -> dict[str, object]:
            assert process.stderr is not None
            while not lines or words not in str(lines[-1]["message"]):
                lines.append(json.loads(await process.stderr.readline()))
            return lines[-1]

        async with asyncio.timeout(PATIENCE_SECONDS), httpx2.AsyncClient(verify=False, timeout=None) as client:
            begun = await until_said("The gateway listens")
            taken = await outcome_of_process(
                "serve",
                "--config",
                str(file),
                "--port",
                str(begun["url"]).split(":")[2].removesuffix("/v1"),
                **variables,
            )
            body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            async with client.stream("POST", f"{begun['url']}/chat/completions", json=body) as answer:
                pieces = answer.aiter_bytes()
                await anext(pieces)
                process.send_signal(signal.SIGINT)
                await until_said("may finish")
                process.send_signal(signal.SIGINT)
                [_ async for _ in pieces]
            out, err = await process.communicate()

    lines += [json.loads(line) for line in err.splitlines()]
    said = [str(line["message"]) for line in lines]
    assert out == b""
    assert begun["store"]
    assert begun["keys"] == f"1: default ({upstream.base_url})"
    assert "DRAGOMAN_ADMIN_KEY is set but empty, which means the same as not set" in said
    assert "Stopping at once: 1 open requests are cut off." in said
    assert "POST /v1/chat/completions 200" in said
    assert taken[:2] == (1, "")
    assert [json.loads(line)["level"] for line in taken[2].splitlines()][-1] == "error"
    assert SECRET not in str(lines)
