"""`dragoman pool`: asks a running gateway for its pool, and says it in tables that fit into 100 columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.cli.table import shortened, table
from gateway.keypool.snapshot import BreakerView, BucketView, HostView, KeyView, OrganizationView, PoolView, Standing
from gateway.service.ports import Call, Upstream
from gateway.upstream.hosts import HostEndpoint
from translators.errors import FailedError
from translators.hosts import CURRENT_VERSION

PATH: Final = "/admin/pool"

_MAX_BYTES: Final = 64 * 1024 * 1024
_ID_WIDTH: Final = 12
_NAME_WIDTH: Final = 14
_ERROR_WIDTH: Final = 24
_HOST_WIDTH: Final = 40
_LIST_WIDTH: Final = 60
# A host that keeps so many seconds silent while streams wait for their head is worth a line.
_SILENCE_SECONDS: Final = 5.0
_LETTERS: Final = ((1e6, 1e6, "M"), (1e4, 1e3, "k"))
_UNITS: Final = ((172_800, 86_400, "d"), (5_940, 3_600, "h"), (99, 60, "min"), (10, 1, "s"))


class NotSeenError(Exception):
    """There is nothing to show; the text says why, and what to do. `is_passing`: the gateway may only be starting."""

    def __init__(self, text: str, *, is_passing: bool = False) -> None:
        super().__init__(text)
        self.is_passing = is_passing


@dataclass(frozen=True, slots=True)
class Worker:
    """The process that has answered, of how many."""

    number: int = 1
    count: int = 1


@dataclass(frozen=True, slots=True)
class Overview:
    """An answer of `/admin/pool`."""

    pool: PoolView
    worker: Worker = field(default_factory=Worker)
    workers: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


class _Error(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


async def fetch(upstream: Upstream, gateway: HostEndpoint, path: str = PATH) -> bytes:
    """The answer of an admin page as it came; raises `NotSeenError`."""
    url = gateway.base_url
    try:
        async with upstream.open(gateway, Call(CURRENT_VERSION, method="GET", path=path)) as answer:
            status, body = answer.status, await answer.read(_MAX_BYTES)
    except FailedError as error:
        why = error.failure.in_full
        advice = "Is it running? If it listens elsewhere than its configuration says, name it with --url."
        raise NotSeenError(f"No gateway answers at {url}: {why}\n{advice}", is_passing=True) from error
    if status == 200:
        return body
    raise NotSeenError(_why_refused(status, body, url, path.partition("?")[0]))


def _why_refused(status: int, body: bytes, url: str, path: str) -> str:
    if status == 401:
        return (
            f"The gateway at {url} has another admin key than the one used here, "
            "which is admin.api_key of the configuration, else DRAGOMAN_ADMIN_KEY."
        )
    try:
        message = msgspec.json.decode(body, type=_Refusal).error.message
    except msgspec.MsgspecError:
        message = ""
    if status == 404 and path != PATH and message:
        return message
    if status == 403 and message:
        return f"The gateway at {url} refuses to be looked into: {message}"
    if status in (400, 503) and message:
        return f"The gateway at {url} says: {message}"
    return f"What answers at {url} is no gateway with {path}: it says {status} {message}".rstrip()


def read(body: bytes) -> Overview:
    """An answer with its meaning; raises `NotSeenError`."""
    try:
        return msgspec.json.decode(body, type=Overview)
    except msgspec.MsgspecError as error:
        advice = "Is the gateway of another version than this command? --json shows the answer as it is."
        raise NotSeenError(f"The answer cannot be read: {error}\n{advice}") from error


def report(overview: Overview, url: str) -> str:
    """The tables."""
    pool = overview.pool
    parts = [_summary(overview, url)]
    if not pool.keys:
        parts.append("It has no keys: callers bring their own.")
    sections = (_key_rows(pool), _limit_rows(pool), _host_rows(pool), _line_rows(pool))
    parts += [table(_without_empty_columns(rows)) for rows in map(list, sections) if len(rows) > 1]
    return "\n\n".join(parts)


def _summary(overview: Overview, url: str) -> str:
    pool, worker = overview.pool, overview.worker
    waiting = sum(sum(callers.values()) for callers in pool.waiting.values())
    lines = [f"{url}: {pool.strategy}, {pool.in_flight} in flight, {waiting} of at most {pool.queue_size} waiting"]
    if missing := ", ".join(map(str, overview.missing)):
        shown = len(set(overview.workers))
        lines.append(f"{shown} of {worker.count} workers, their limits and counts; no answer in time from {missing}.")
    elif worker.count > 1:
        lines.append(f"All {worker.count} workers together.")
    if pool.leaving:
        lines.append(f"No longer configured, still at work: {shortened(', '.join(pool.leaving), _LIST_WIDTH)}")
    return "\n".join(lines)


# Keys


def _key_rows(pool: PoolView) -> Iterator[tuple[str, ...]]:
    yield "key", "state", "in flight", "organization", "workspace", "last error"
    for key in pool.keys:
        yield (
            shortened(key.name, _NAME_WIDTH),
            _standing(key.standing),
            f"{key.in_flight}" if key.room is None else f"{key.in_flight}/{int(key.room)}",
            _owner(key.organisation, key),
            _owner(key.workspace, key),
            _last_error(key),
        )
        for state, count in key.states.items():
            if state != key.standing.state:
                yield f"  {count} of {sum(key.states.values())} workers", state.replace("_", " "), "", "", "", ""
        for name, standing in key.classes.items():
            yield f"  {shortened(name, _NAME_WIDTH - 2)}", _standing(standing), "", "", "", ""
        for model, seconds in key.refused_models.items():
            yield f"  {shortened(model, _NAME_WIDTH - 2)}", f"refused {duration(seconds)}", "", "", "", ""


def _standing(standing: Standing) -> str:
    return _for(standing.state, standing.for_seconds)


def _owner(name: str, key: KeyView) -> str:
    """An organization or a workspace; one that nobody has named yet is called after its only key."""
    return "unknown" if name == f"key {key.name}" else shortened(name, _ID_WIDTH)


def _last_error(key: KeyView) -> str:
    if key.last_error is None or key.last_error_seconds_ago is None:
        return ""
    ago = f" {duration(key.last_error_seconds_ago)} ago"
    return shortened(key.last_error, _ERROR_WIDTH - len(ago)) + ago


# Limits


def _limit_rows(pool: PoolView) -> Iterator[tuple[str, ...]]:
    yield "organization", "keys", "models", "requests", "input tokens", "output tokens", "tokens", "state"
    for organization in pool.organisations:
        yield from _organization_rows(organization)


def _organization_rows(organization: OrganizationView) -> Iterator[tuple[str, ...]]:
    name, keys = shortened(organization.name, _ID_WIDTH), str(len(organization.keys))
    funds = organization.out_of_funds_seconds
    state = _for("out_of_funds", funds) if funds is not None else ""
    if state and not organization.allowances:
        yield name, keys, "", "", "", "", "", state
    for allowance in organization.allowances:
        cells = [_used(allowance.buckets.get(kind)) for kind in ("requests", "input_tokens", "output_tokens", "tokens")]
        cooling = allowance.cooling_seconds
        reason = state or (_for("cooling", cooling) if cooling is not None else "")
        if reason or any(cells):
            yield name, keys, shortened(allowance.model_class, _NAME_WIDTH), *cells, reason


def _used(bucket: BucketView | None) -> str:
    if bucket is None or not bucket.capacity:
        return ""
    used = bucket.capacity - bucket.remaining
    return f"{amount(used)}/{amount(bucket.capacity)} {used / bucket.capacity:.0%}"


def _without_empty_columns(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    kept = [number for number, column in enumerate(zip(*rows, strict=True)) if any(column[1:])]
    return [tuple(row[number] for number in kept) for row in rows]


# Trouble


def _host_rows(pool: PoolView) -> Iterator[tuple[str, ...]]:
    yield "host in trouble", "what", "state", "failures"
    for host in pool.hosts:
        url = shortened(host.url, _HOST_WIDTH)
        for what, breaker in (("network", host.breaker), *host.classes.items()):
            if breaker.state != "closed":
                yield url, shortened(what, _NAME_WIDTH), _breaker(breaker), str(breaker.failures)
        if _is_silent(host):
            yield url, f"{host.awaited} waiting", f"silent {duration(host.silent_seconds or 0)}", ""


def _is_silent(host: HostView) -> bool:
    return host.silent_seconds is not None and host.silent_seconds > _SILENCE_SECONDS


def _breaker(breaker: BreakerView) -> str:
    return _for(breaker.state, breaker.for_seconds)


def _line_rows(pool: PoolView) -> Iterator[tuple[str, ...]]:
    yield "waiting for", "requests", "callers"
    for name, callers in pool.waiting.items():
        who = ", ".join(f"{caller} {count}" for caller, count in callers.items())
        yield shortened(name, _NAME_WIDTH), str(sum(callers.values())), shortened(who, _LIST_WIDTH)


# Words and figures


def _for(state: str, seconds: float | None) -> str:
    words = state.replace("_", " ")
    return f"{words} {duration(seconds)}" if seconds else words


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for at_least, unit_seconds, unit in _UNITS:
        if seconds >= at_least:
            return f"{seconds / unit_seconds:.0f} {unit}"
    return f"{seconds:.1f} s"


def amount(count: float) -> str:
    """A count in at most five characters."""
    for at_least, unit, letter in _LETTERS:
        if abs(count) >= at_least:
            return f"{count / unit:.{0 if abs(count) >= 100 * unit else 1}f}{letter}"
    return f"{count:.0f}"
