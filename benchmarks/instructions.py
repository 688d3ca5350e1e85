"""Instructions that a request and an event cost in memory, counted by valgrind: the same however busy the machine is.

`python -m benchmarks.instructions [TREE ...]` counts this tree and others, with what is in `_CASES`: accounts, rules,
metrics and the request log switched on and off. A tree that does not have them yet has only the last case. It counts
the event loop's thread; the ledger's writer is not started. Needs `apt-get install valgrind`; a case takes minutes.
"""

import asyncio
import contextlib
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_HERE: Final = Path(__file__).resolve()
_FEW: Final = 20
_MANY: Final = 120
_STREAMS: Final = 4
_FEW_EVENTS: Final = 10
_MANY_EVENTS: Final = 310
_KEY: Final = "a-key-of-a-client-0123456789abcdef"
_LIMITS: Final = (
    {"what": "requests", "window": "minute"},
    {"what": "requests", "window": "minute", "scope": "key"},
    {"what": "input_tokens", "window": "minute", "scope": "key"},
    {"what": "output_tokens", "window": "minute", "scope": "key"},
    {"what": "in_flight", "scope": "key"},
    {"what": "in_flight"},
    {"what": "requests", "window": "day", "scope": "key"},
    {"what": "money", "window": "day", "scope": "key"},
    {"what": "money", "window": "month", "scope": "key"},
    {"what": "money", "window": "month", "scope": "group"},
    {"what": "money", "window": "month"},
    {"what": "money", "window": "day", "scope": "end_user"},
)
_RULES: Final = [{"id": f"rule-{number}", "amount": 10**9, **rule} for number, rule in enumerate(_LIMITS)]
_QUIET: Final = {"metrics": {"enabled": False}, "request_log": {"size": 0}}
_OFF: Final = {"accounts": {"kind": "off"}}
_CASES: Final[Mapping[str, Mapping[str, Any]]] = {
    "with 12 rules": {"rules": _RULES, "clients": [{"name": "team-a", "api_key": _KEY, "group": "research"}]},
    "metrics and request log off": _QUIET,
    "accounts off": _OFF,
    "default": {},
}
_OLD: Final = "as it was"


def instructions(trees: Sequence[Path]) -> None:
    """Print the instructions of a request of 1 KB, and those of an event in the last case."""
    for tree in trees:
        # Compiles what has to be compiled.
        _counted(tree, _OLD, "request", 1)
        has_accounts = (tree / "gateway/config/accounts.py").exists()
        for case in _CASES if has_accounts else (_OLD,):
            many = _counted(tree, case, "request", _MANY)
            each = (many - _counted(tree, case, "request", _FEW)) / (_MANY - _FEW)
            print(f"{tree.name:14} {case:30} {each:10,.0f} a request", flush=True)
        long = _counted(tree, case, "stream", _STREAMS, _MANY_EVENTS)
        event = (long - _counted(tree, case, "stream", _STREAMS, _FEW_EVENTS)) / _STREAMS
        print(f"{tree.name:14} {case:30} {event / (_MANY_EVENTS - _FEW_EVENTS):10,.0f} an event", flush=True)


def _counted(tree: Path, case: str, *what: object) -> int:
    with tempfile.TemporaryDirectory() as state:
        environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "XDG_STATE_HOME": state}
        tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command = [*tool, sys.executable, str(_HERE), "run", case, *map(str, what)]
        done = subprocess.run(command, env=environ, cwd=tree, capture_output=True, text=True, check=True)
    found = re.search(r"I +refs: +([\d,]+)", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", ""))


def _run(case: str, what: str, count: int, deltas: int = 0) -> None:
    """What is counted: so many requests, or so many streams of this many events."""
    import msgspec

    from benchmarks import in_memory
    from gateway.app import Gateway
    from gateway.config import Config
    from tests.support.conversations import chat, said
    from tests.support.gateway import config_for, key
    from tests.support.messages import text_stream

    config = config_for(key("http://127.0.0.1:9"))
    if case != _OLD:
        sections = {"accounts": {}, **_CASES[case]}
        types = {field.name: field.type for field in msgspec.structs.fields(Config)}
        made = {
            name: msgspec.convert(section, types[name], dec_hook=lambda kind, text: kind(text))
            for name, section in sections.items()
        }
        config = msgspec.structs.replace(config, **made)
    gateway: Any = Gateway(config, callers_base_url="http://127.0.0.1:9")
    events = text_stream(" ".join(["word"] * deltas))
    gateway._upstream = in_memory._Upstream() if what == "request" else _Streams(events)
    gateway.reload(gateway.config)
    # A collection of all objects costs as much as many requests, and comes now and then.
    gc.disable()
    fields = {"stream": True} if what == "stream" else {}
    asked = {**chat(said("user", "x" * 900), **fields), "model": in_memory._MODEL, "max_tokens": 1000, "user": "user-1"}
    asyncio.run(_all(gateway, json.dumps(asked).encode(), count))


async def _all(gateway: Any, body: bytes, count: int) -> None:
    headers = {"host": "127.0.0.1", "content-type": "application/json", "authorization": f"Bearer {_KEY}"}
    for _ in range(count):
        scope = {
            "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "http_version": "1.1",
        }  # fmt: skip
        coming = iter([{"type": "http.request", "body": body, "more_body": False}])
        is_gone = asyncio.get_running_loop().create_future()
        statuses: list[int | None] = []

        async def receive(coming: Any = coming, is_gone: Any = is_gone) -> Any:
            return next(coming, None) or await is_gone

        async def send(sent: Any, statuses: Any = statuses) -> None:
            statuses.append(sent.get("status"))

        await gateway.app(scope, receive, send)
        assert statuses[0] == 200, statuses


class _Stream:
    """A stream of which every event comes by itself."""

    status = 200
    headers: Final = {"content-type": "text/event-stream", "request-id": "req_1", "anthropic-organization-id": "org_1"}

    def __init__(self, events: Sequence[bytes]) -> None:
        self._coming = iter(events)
        self.is_complete = False

    async def receive(self) -> bytes:
        return next(self._coming, b"")


class _Streams:
    def __init__(self, events: Sequence[bytes]) -> None:
        self._events = events

    @contextlib.asynccontextmanager
    async def open(self, endpoint: object, call: object) -> AsyncIterator[_Stream]:
        yield _Stream(self._events)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _run(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
    else:
        instructions([_HERE.parents[1], *map(Path, sys.argv[1:])])
