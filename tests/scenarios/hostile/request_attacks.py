"""Attacks in what a request says: large bodies, words that upstream will quote, names, numbers, broken tools."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from tests.scenarios.harness import PATH, asking
from tests.scenarios.hostile.bodies import KINDS, MOST_BYTES, RESPONSES_PATH, largest
from tests.scenarios.hostile.http_attacks import Attack
from tests.scenarios.hostile.state_attacks import asking_for_response
from tests.scenarios.hostile.target import HONEST_KEY, Target, each, order
from tests.scenarios.hostile.upstream import FAULTS, REFUSALS
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively

GOOD_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"where": {"type": "string"}},
            "required": ["where"],
            "additionalProperties": False,
        },
    },
}
BROKEN_TOOL = {"type": "function", "function": {**GOOD_TOOL["function"], "name": "broken"}}
_ODD_REQUESTS: tuple[tuple[str, bytes], ...] = (
    (PATH, b""),
    (PATH, b"[" * 100_000),
    (PATH, b'{"model":"gpt-5","messages":[{"role":"user","content":' + b"[" * 50_000),
    (PATH, b'\xff\xfe{"model": 1}'),
    (PATH, b'{"model":"gpt-5","messages":[{"role":"user","content":"\\ud800"}]}'),
    (PATH, b'{"model":{},"messages":{}}'),
    (NATIVE_PATH, b'{"model":"x","max_tokens":1,"messages":[],"model":[]}'),
    (NATIVE_PATH, b"null"),
    (RESPONSES_PATH, b'{"model":"gpt-5","input":[{"type":"' + b"k" * 100_000 + b'"}]}'),
    (RESPONSES_PATH, b'{"model":"gpt-5","input":[{"role":"user","content":"\\ud800"}]}'),
    (RESPONSES_PATH + "/compact", b'{"model":"gpt-5","input":[{"type":"compaction"}]}'),
    (RESPONSES_PATH + "/input_tokens", b"[]"),
)


async def odd_requests(target: Target) -> None:
    """Bodies that are no requests: each is a mistake of the caller's."""
    for path, body in _ODD_REQUESTS:
        status, answer = await target.post(body, path)
        assert status in (400, 404), (path, body[:80], status, answer[:200])
        assert json.loads(answer)["error"]["message"]


async def odd_numbers(target: Target) -> None:
    """Numbers beyond what fits: mistakes of the caller's too, or passed on."""
    custom = b'{"type":"custom","custom":{"name":"c","format":1e400}}'
    for more in (b'"top_k":%d' % 10**30, b'"temperature":1e400', b'"max_tokens":-1e99', b'"tools":[%b]' % custom):
        status, answer = await target.post(
            b'{"model":"claude-sonnet-5-5","messages":[{"role":"user","content":"Hi"}],%b}' % more
        )
        assert status in (200, 400), (more, status, answer)


# What hurts more than as much as fits, which is refused sooner.
_WORST = {"calls_with_results": 9_000, "required": 20_000, "nested_all_of": 240, "details_of_one_index": 40_000}


@cache
def _large(name: str) -> tuple[bytes, ...]:
    kind = KINDS[name]
    return (kind.build(_WORST[name]), largest(kind)) if name in _WORST else (largest(kind),)


def make_bodies() -> None:
    """Make all large bodies at once: that keeps the interpreter from whoever measures meanwhile, for seconds."""
    for name in KINDS:
        _large(name)


async def large_body(target: Target, name: str) -> None:
    """One body of a kind, as large as any may be."""
    for body in _large(name):
        status, answer = await target.post(body, KINDS[name].path, seconds=30)
        assert status in (200, 400, 404, 413, 503), (status, answer[:300])


async def refused(target: Target, name: str) -> None:
    """What upstream refuses because of the request, by both doors: the answer tells only this caller."""
    for path, request in ((PATH, asking(order(name))), (NATIVE_PATH, asking_natively(order(name)))):
        status, answer = await target.post(json.dumps(request).encode(), path)
        assert 400 <= status < 500, (path, status, answer)


async def refused_by_edge(target: Target) -> None:
    """A request of 31 MB that never reaches the API, but an edge in front of it."""
    before, _, behind = json.dumps(asking("#" + order("refused_by_edge"))).encode().partition(b"#")
    status, answer = await target.post(before + b"x" * MOST_BYTES + behind)
    assert status == 413, (status, answer)


async def broken_tool(target: Target) -> None:
    """One tool is refused; others' same good tool stays strict."""
    request = asking(order("broken_tool"), tools=[GOOD_TOOL, BROKEN_TOOL])
    await target.post(json.dumps(request).encode())
    honest = order("with_the_good_tool")
    status, answer = await target.post(json.dumps(asking(honest, tools=[GOOD_TOOL])).encode(), key=HONEST_KEY)
    assert status == 200, answer
    assert b'"strict":true' in target.script.seen["with_the_good_tool"]


async def long_names(target: Target) -> None:
    """Names and versions that a caller chooses, and nobody has met."""
    for _ in range(3):
        body = json.dumps(asking_natively(model=f"{order('name')}{'m' * 2_000_000}")).encode()
        await target.post(body, NATIVE_PATH)
    body = json.dumps(asking_natively()).encode()
    versions = (b"anthropic-version: %b\r\n" % (order("v") + "v" * 30_000).encode() for _ in range(20))
    await each(target.post(body, NATIVE_PATH, more=version) for version in versions)


async def duplicate_names(target: Target) -> None:
    """A field that is asked for first, and taken back behind it."""
    servers = '[{"type":"url","url":"https://evil.example","name":"e"}]'
    for name, value in (("mcp_servers", servers), ("speed", '"fast"'), ("container", '"c_1"')):
        body = json.dumps(asking_natively()).removesuffix("}") + f', "{name}": {value}, "{name}": null}}'
        status, answer = await target.post(body.encode(), NATIVE_PATH)
        assert status == 400, (name, status, answer)


async def faulty_upstream(target: Target, name: str) -> None:
    """An answer that is no answer, streamed and whole; the caller leaves where nothing comes."""
    for stream in (True, False):
        doors: list[tuple[str, Callable[..., dict[str, Any]]]] = [(PATH, asking), (NATIVE_PATH, asking_natively)]
        if name in _SELF_MADE or name.startswith("flood"):
            # Faults of the connection are met before any door, and each is one more against the key.
            doors.append((RESPONSES_PATH, asking_for_response))
        for path, request in doors:
            body = json.dumps(request(order(name), stream=stream)).encode()
            status, answer = await target.post(body, path, seconds=0.5 if name.startswith("silent") else 30)
            assert status in (0, 200) or json.loads(answer), (path, stream, status)
            if name in _SELF_MADE and path != NATIVE_PATH and stream:
                _check_events(answer)


# Streams whose events the gateway has to write anew.
_SELF_MADE = ("arguments_in_thinking", "huge_citation", "deep_citation", "wrong_types", "negative_usage", "half_a_pair")


def _check_events(answer: bytes) -> None:
    lines = [line for line in answer.split(b"\n") if line.startswith(b"data: ")]
    assert lines, answer[:300]
    for line in lines:
        data = line.removeprefix(b"data: ").strip()
        event: Any = data if data == b"[DONE]" else json.loads(data, parse_constant=_refuse)
        assert b"internal_error" not in data, event


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON.")


REQUEST_ATTACKS: dict[str, Attack] = {
    **{
        attack.__name__: attack
        for attack in (odd_requests, odd_numbers, refused_by_edge, broken_tool, long_names, duplicate_names)
    },
    **{f"body_{name}": partial(large_body, name=name) for name in KINDS},
    **{name: partial(refused, name=name) for name in REFUSALS if name not in ("refused_by_edge", "broken_tool")},
    **{f"upstream_{name}": partial(faulty_upstream, name=name) for name in FAULTS},
}
