"""What an operator sees of the pool: all there is to know, no secret, and without a trace of the look."""

import pickle
from collections.abc import Mapping

import orjson
import pytest

from gateway.keypool import ABANDONED, Key, KeyPool, Lease, LeaseQueue, LeaseRequest, Outcome, PoolSettings, PoolView
from gateway.keypool.breaker import FAILURES_TO_OPEN
from gateway.keypool.snapshot import BreakerView, BucketView, KeyView, Standing, snapshot
from translators.errors import ErrorKind, Failure
from translators.usage import Usage

SONNET, OPUS = "claude-sonnet-5-5", "claude-opus-5-5"
NOW = 1000.0
MARK = b"digest of a secret"


def limits(requests: int = 50, remaining: int = 40, *, organization: str = "org-1") -> dict[str, str]:
    """What upstream says of its limits."""
    headers = {"anthropic-organization-id": organization}
    for kind, scale in {"requests": 1, "input-tokens": 10_000, "output-tokens": 1_000}.items():
        headers[f"anthropic-ratelimit-{kind}-limit"] = str(requests * scale)
        headers[f"anthropic-ratelimit-{kind}-remaining"] = str(remaining * scale)
    return headers


def taken(pool: KeyPool, model: str = SONNET, now: float = NOW) -> Lease:
    lease = pool.acquire(now, LeaseRequest(model))
    assert lease is not None
    return lease


def told(pool: KeyPool, headers: Mapping[str, str], model: str = SONNET, now: float = NOW) -> None:
    """A request that was answered with these headers."""
    lease = taken(pool, model, now)
    pool.answered(lease, headers, now)
    pool.release(lease, Outcome.success(), now)


def failed(pool: KeyPool, kind: ErrorKind, seconds: float | None = None, model: str = SONNET) -> None:
    failure = Failure(kind, "no", retry_after_seconds=seconds)
    pool.release(taken(pool, model), Outcome.of(failure), NOW)


def seen(pool: KeyPool, now: float = NOW) -> PoolView:
    return snapshot(pool, LeaseQueue[int](pool, 10), now)


def only_key(pool: KeyPool, now: float = NOW) -> KeyView:
    (key,) = seen(pool, now).keys
    return key


def test_a_key_that_nobody_has_used_is_ready_and_alone() -> None:
    view = seen(KeyPool([Key("main", weight=2, host="http://up", priority=3, max_concurrency=8, mark=MARK)]))

    (key,) = view.keys
    assert (key.name, key.host, key.organisation, key.workspace) == ("main", "http://up", "key main", "key main")
    assert (key.standing, key.classes, key.refused_models) == (Standing("ready"), {}, {})
    assert (key.in_flight, key.room, key.ceiling, key.window) == (0, 8, 8, None)
    assert (key.weight, key.priority, key.refusals, key.last_error) == (2, 3, 0, None)
    assert not view.organisations[0].is_known
    assert view.organisations[0].allowances == []
    assert (view.strategy, view.share, view.in_flight, view.queue_size) == ("affinity", 1.0, 0, 10)
    assert view.hosts[0].breaker == BreakerView("closed", None, 0)


def test_buckets_are_shown_as_they_are_now() -> None:
    pool = KeyPool([Key("main")])
    told(pool, limits(60, 30))
    rate_limits = seen(pool, NOW + 10).organisations[0].allowances[0]

    assert (rate_limits.model_class, rate_limits.cooling_seconds) == ("sonnet-5", None)
    assert rate_limits.buckets["requests"] == BucketView(limit=60, capacity=60, remaining=40, per_second=1)
    assert rate_limits.buckets["input_tokens"].remaining == 400_000
    assert list(rate_limits.buckets) == ["requests", "input_tokens", "output_tokens"]


def test_a_workers_share_of_a_limit_is_what_it_shows() -> None:
    pool = KeyPool([Key("main", max_concurrency=8)], PoolSettings(share=0.5))
    told(pool, limits(60, 30))
    view = seen(pool)

    assert view.share == 0.5
    assert view.organisations[0].allowances[0].buckets["requests"] == BucketView(30, 30, 15, 0.5)
    assert view.keys[0].ceiling == 4


def test_keys_are_put_together_as_upstream_has_said() -> None:
    pool = KeyPool([Key("a"), Key("b"), Key("c")], PoolSettings("weighted"))
    for organization in ("org-1", "org-1", "org-2"):
        told(pool, {**limits(organization=organization), "anthropic-workspace-id": f"of {organization}"})
    view = seen(pool)

    assert {found.name: found.keys for found in view.organisations} == {"org-1": ["a", "b"], "org-2": ["c"]}
    assert {found.name: found.keys for found in view.workspaces} == {"of org-1": ["a", "b"], "of org-2": ["c"]}
    assert all(found.is_known for found in view.organisations)
    assert all(found.is_known for found in view.workspaces)


def test_a_cooling_bucket_cools_its_class_of_models_only() -> None:
    pool = KeyPool([Key("main")])
    told(pool, limits(), OPUS)
    failed(pool, ErrorKind.RATE_LIMITED, 7.5)
    key = only_key(pool, NOW + 2)

    assert key.standing == Standing("ready")
    assert key.classes == {"sonnet-5": Standing("cooling", 5.5)}
    assert (key.last_error, key.last_error_seconds_ago) == ("rate_limited", 2)
    assert seen(pool, NOW + 2).organisations[0].allowances[1].cooling_seconds == 5.5
    assert only_key(pool, NOW + 8).classes == {}


def test_where_every_class_waits_a_key_stands_as_the_one_that_is_ready_first() -> None:
    pool = KeyPool([Key("main")])
    failed(pool, ErrorKind.RATE_LIMITED, 60, OPUS)
    told(pool, limits(60, 0))
    key = only_key(pool)

    assert key.standing.state == "paced"
    assert 0 < (key.standing.for_seconds or 0) < 5
    assert key.classes == {"opus-5": Standing("cooling", 60)}


@pytest.mark.parametrize(
    ("kind", "state", "seconds"),
    [
        (ErrorKind.KEY_REJECTED, "rejected", 1),
        (ErrorKind.SPEND_LIMIT, "out_of_funds", 1),
        (ErrorKind.RATE_LIMITED, "cooling", 5),
    ],
)
def test_what_upstream_refuses_is_called_by_its_name(kind: ErrorKind, state: str, seconds: float) -> None:
    pool = KeyPool([Key("main")])
    failed(pool, kind)
    key = only_key(pool)

    assert (key.standing.state, key.standing.for_seconds) == (state, seconds)
    assert key.last_error == kind.name.lower()


def test_a_key_at_its_ceiling_is_full_until_something_happens() -> None:
    pool = KeyPool([Key("main", max_concurrency=1)])
    lease = taken(pool)

    assert only_key(pool).standing == Standing("full")
    assert only_key(pool).in_flight == 1
    pool.release(lease, ABANDONED, NOW)
    assert only_key(pool).standing == Standing("ready")


def test_a_key_that_is_accepted_again_is_on_trial() -> None:
    pool = KeyPool([Key("main")])
    failed(pool, ErrorKind.KEY_REJECTED)
    pool.due_probes(NOW + 1)
    pool.probed("main", is_well=True, now=NOW + 1)
    key = only_key(pool, NOW + 1)

    assert (key.standing, key.room) == (Standing("on_trial"), 1)
    taken(pool, now=NOW + 1)
    assert only_key(pool, NOW + 1).standing == Standing("on_trial")


def test_a_model_that_a_key_may_not_use_is_named_beside_it() -> None:
    pool = KeyPool([Key("main")])
    failed(pool, ErrorKind.MODEL_REFUSED)

    assert only_key(pool).refused_models == {SONNET: 1}
    assert only_key(pool).standing == Standing("ready")
    assert only_key(pool, NOW + 2).refused_models == {}


def test_a_host_that_does_not_answer_is_down_for_all_its_keys() -> None:
    pool = KeyPool([Key("a", host="http://down"), Key("b", host="http://down")])
    failed(pool, ErrorKind.UNREACHABLE)
    assert seen(pool).hosts[0].breaker == BreakerView("suspect", 2, 1)
    for _ in range(FAILURES_TO_OPEN - 1):
        failed(pool, ErrorKind.UNREACHABLE)

    assert [key.standing for key in seen(pool).keys] == [Standing("host_down", 1)] * 2
    assert seen(pool).hosts[0].breaker == BreakerView("open", 1, FAILURES_TO_OPEN)
    assert seen(pool, NOW + 2).hosts[0].breaker.state == "half_open"
    assert [key.standing.state for key in seen(pool, NOW + 2).keys] == ["ready", "ready"]


def test_an_overloaded_class_of_models_is_down_by_itself() -> None:
    pool = KeyPool([Key("main", host="http://up")])
    told(pool, limits(), OPUS)
    for _ in range(FAILURES_TO_OPEN):
        failed(pool, ErrorKind.OVERLOADED)

    assert only_key(pool).standing == Standing("ready")
    assert only_key(pool).classes == {"sonnet-5": Standing("host_down", 1)}
    assert seen(pool).hosts[0].classes["sonnet-5"].state == "open"


def test_who_waits_is_counted_by_class_and_caller() -> None:
    pool = KeyPool([Key("main", max_concurrency=1)])
    taken(pool)
    queue = LeaseQueue[int](pool, 10)
    for number, (model, caller) in enumerate([(SONNET, "shop"), (SONNET, "shop"), (SONNET, "batch"), (OPUS, "shop")]):
        queue.join(number, LeaseRequest(model, caller=caller))

    assert snapshot(pool, queue, NOW).waiting == {"sonnet-5": {"shop": 2, "batch": 1}, "opus-5": {"shop": 1}}


def test_a_key_that_has_left_the_configuration_is_named_while_it_works() -> None:
    pool = KeyPool([Key("old"), Key("new")], PoolSettings("weighted"))
    taken(pool)
    pool.update([Key("new")])
    view = seen(pool)

    assert ([key.name for key in view.keys], view.leaving, view.in_flight) == (["new"], ["old"], 1)


def test_a_stream_without_a_head_is_counted_against_its_host() -> None:
    pool = KeyPool([Key("main", host="http://slow")])
    assert pool.acquire(NOW, LeaseRequest(SONNET, streams=True)) is not None
    (host,) = seen(pool, NOW + 12).hosts

    assert (host.awaited, host.silent_seconds) == (1, 12)


def busy_pool() -> KeyPool:
    """One that has met a bit of everything."""
    pool = KeyPool([Key(name, host=f"http://{name[0]}", mark=MARK) for name in ("a1", "a2", "b1")])
    told(pool, limits(60, 3))
    told(pool, limits(100, 50, organization="org-2"), OPUS)
    failed(pool, ErrorKind.RATE_LIMITED, 3, OPUS)
    failed(pool, ErrorKind.UNREACHABLE)
    pool.release(taken(pool), Outcome.success(Usage(input_tokens=5, output_tokens=700)), NOW)
    taken(pool)
    return pool


def test_looking_changes_nothing() -> None:
    looked_at, left_alone = busy_pool(), busy_pool()
    for later in (1, 5, 30):
        seen(looked_at, NOW + later)

    for one, other in zip(looked_at.organizations, left_alone.organizations, strict=True):
        assert pickle.dumps(one.limits_by_class) == pickle.dumps(other.limits_by_class)
    assert looked_at.version == left_alone.version
    assert seen(looked_at, NOW + 60) == seen(left_alone, NOW + 60)
    assert [taken(looked_at, now=NOW + 61).key for _ in range(9)] == [
        taken(left_alone, now=NOW + 61).key for _ in range(9)
    ]


def test_nothing_secret_is_in_it() -> None:
    body = orjson.dumps(seen(busy_pool()))

    assert MARK not in body
    assert b"mark" not in body
