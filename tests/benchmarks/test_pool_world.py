"""The simulated limits, caches and faults are those of the reference."""

import math
from datetime import UTC, datetime

import pytest

from benchmarks.pool.buckets import Bucket, Limits, Meter
from benchmarks.pool.caches import Part, PromptCache
from benchmarks.pool.world import ApiKey, Call, Fault, Organization, Trouble, World
from translators.errors import ErrorKind
from translators.upstream_errors import answered_failure

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC).timestamp()
START = Limits(requests=60, input_tokens=60_000, output_tokens=6_000)
ALICE = ApiKey("alice", "organization-1", "workspace-1", "host-1")
BOB = ApiKey("bob", "organization-1", "workspace-2", "host-1")
CAROL = ApiKey("carol", "organization-2", "workspace-3", "host-2")


def call(*parts: Part, tokens: int = 2_000, output_tokens: int = 100, model: str = "claude-sonnet-5-5") -> Call:
    return Call(model, parts, max([tokens, *(part.tokens for part in parts)]), output_tokens, 1.0, 50.0)


def world(*troubles: Trouble, limits: Limits = START, burst_seconds: float = 60) -> World:
    organizations = [Organization(f"organization-{number}", limits, burst_seconds) for number in (1, 2)]
    return World(organizations, (ALICE, BOB, CAROL), troubles, epoch=NOON)


def test_a_bucket_holds_a_minutes_worth_and_refills_steadily() -> None:
    bucket = Bucket.holding(60)
    bucket.take(60, now=0)

    assert bucket.seconds_until(1, now=0) == 1.0
    assert bucket.settle(now=10) == 10.0
    assert bucket.full_in(now=10) == 50.0
    assert bucket.settle(now=1000) == 60.0


def test_a_bucket_that_drains_may_run_into_debt_and_pays_it_back() -> None:
    bucket = Bucket.holding(60, burst_seconds=10)
    bucket.drain(3, now=0)

    assert bucket.settle(now=10) == 10 - 2 * 10
    bucket.drain(-3, now=10)
    assert bucket.seconds_until(1, now=10) == 11.0
    assert bucket.settle(now=21) == 1.0


def test_a_bucket_never_has_what_it_cannot_hold() -> None:
    assert Bucket.holding(60, burst_seconds=10).seconds_until(11, now=0) == math.inf


def test_headers_tell_limits_what_is_left_in_thousands_and_when_all_is_full_again() -> None:
    meter = Meter(Limits(1_000, 2_000_000, 400_000))
    meter.charge(12_345, now=0)
    meter.output_tokens.take(1_499, now=0)

    assert meter.headers(now=0, wall_clock=NOON) == {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-remaining": "999",
        "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:01Z",
        "anthropic-ratelimit-tokens-limit": "2400000",
        "anthropic-ratelimit-tokens-remaining": "2387000",
        "anthropic-ratelimit-tokens-reset": "2026-11-21T12:00:01Z",
        "anthropic-ratelimit-input-tokens-limit": "2000000",
        "anthropic-ratelimit-input-tokens-remaining": "1988000",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-21T12:00:01Z",
        "anthropic-ratelimit-output-tokens-limit": "400000",
        "anthropic-ratelimit-output-tokens-remaining": "399000",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-21T12:00:01Z",
    }


def test_an_answer_says_whose_key_it_was_and_when() -> None:
    headers = world().ask("bob", call(), now=0.9).headers

    assert headers["anthropic-organization-id"] == "organization-1"
    assert headers["anthropic-workspace-id"] == "workspace-2"
    assert headers["date"] == "Sat, 21 Nov 2026 12:00:00 GMT"


def test_keys_of_one_organization_share_its_buckets_and_those_of_another_do_not() -> None:
    simulated = world()
    statuses = [simulated.ask(name, call(tokens=100), now=0).status for name in ("alice", "bob") * 40]

    assert statuses == [200] * 60 + [429] * 20
    assert simulated.ask("carol", call(tokens=100), now=0).status == 200


def test_each_family_of_models_has_buckets_of_its_own() -> None:
    simulated = world()
    for _ in range(60):
        simulated.ask("alice", call(tokens=10), now=0)

    assert simulated.ask("alice", call(tokens=10), now=0).status == 429
    assert simulated.ask("alice", call(tokens=10, model="claude-sonnet-5"), now=0).status == 429
    assert simulated.ask("alice", call(tokens=10, model="claude-haiku-5-5"), now=0).status == 200


def test_a_refusal_says_in_whole_seconds_when_there_is_room_and_speaks_the_truth() -> None:
    simulated = world()
    simulated.ask("alice", call(tokens=59_000), now=0)
    refused = simulated.ask("alice", call(tokens=3_500), now=0)
    failure = answered_failure(refused.status or 0, refused.body, refused.headers)

    assert refused.headers["retry-after"] == "3"
    assert (failure.kind, failure.retry_after_seconds) == (ErrorKind.RATE_LIMITED, 3.0)
    assert simulated.ask("alice", call(tokens=3_500), now=2.4).status == 429
    assert simulated.ask("alice", call(tokens=3_500), now=3.0).status == 200


def test_output_is_charged_as_it_is_produced() -> None:
    simulated = world()
    long = call(tokens=10, output_tokens=500)
    meter = simulated.organizations["organization-1"].meter(long.model)
    simulated.ask("alice", long, now=0)
    before = meter.output_tokens.settle(now=0)
    simulated.begin_answer("alice", long, now=0)
    meter.output_tokens.drain(100, now=0)
    halfway = meter.output_tokens.settle(now=5)
    simulated.end_answer("alice", long, now=10)

    assert before == 6_000
    assert halfway == 6_000 - 5 * (50 + 100 - 100)
    assert meter.output_tokens.drain_per_second == 100


def test_a_turn_reads_its_longest_cached_beginning_and_writes_the_rest() -> None:
    simulated = world()
    tools, first, second = Part("tools", 1_000), Part("first", 1_500), Part("second", 2_500)
    simulated.begin_answer("alice", call(tools, first, tokens=1_500), now=0)
    usage = simulated.ask("alice", call(tools, first, second, tokens=2_600), now=1).usage
    elsewhere = simulated.ask("bob", call(tools, first, second, tokens=2_600), now=1).usage

    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.input_tokens) == (1_500, 1_000, 100)
    assert (elsewhere.cache_read_tokens, elsewhere.cache_write_tokens) == (0, 2_500)


def test_what_is_read_from_a_cache_does_not_count_toward_the_limit() -> None:
    simulated = world()
    prompt = call(Part("long", 50_000))
    simulated.ask("alice", prompt, now=0)
    simulated.begin_answer("alice", prompt, now=0)

    assert [simulated.ask("alice", prompt, now=0).status for _ in range(5)] == [200] * 5
    assert simulated.ask("bob", prompt, now=0).status == 429


def test_a_cache_can_be_read_once_the_answer_has_begun() -> None:
    simulated = world()
    prompt = call(Part("long", 5_000))
    usages = [simulated.ask("alice", prompt, now=0).usage for _ in range(2)]

    assert [usage.cache_write_tokens for usage in usages] == [5_000, 5_000]


def test_a_cache_lives_for_five_minutes_after_its_last_use() -> None:
    cache = PromptCache()
    parts = (Part("tools", 1_000), Part("first", 1_500))
    cache.keep(parts, now=0)
    cache.keep(parts[:1], now=200)

    assert cache.cached_tokens(parts, now=299) == 1_500
    assert cache.cached_tokens(parts, now=301) == 1_000
    assert cache.cached_tokens(parts, now=501) == 0


def test_a_short_prompt_is_not_cached() -> None:
    simulated = world()
    short = call(Part("short", 900), tokens=900)
    simulated.begin_answer("alice", short, now=0)

    assert simulated.ask("alice", short, now=1).usage.input_tokens == 900


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (Fault.REVOKED, 401, ErrorKind.KEY_REJECTED),
        (Fault.OVERLOADED, 529, ErrorKind.OVERLOADED),
        (Fault.SPEND, 429, ErrorKind.SPEND_LIMIT),
    ],
)
def test_a_fault_answers_as_upstream_does(fault: Fault, status: int, kind: ErrorKind) -> None:
    reply = world(Trouble(fault, "alice")).ask("alice", call(), now=0)

    assert reply.status == status
    assert "retry-after" not in reply.headers
    assert answered_failure(status, reply.body, reply.headers).kind is kind


def test_a_ramp_lets_a_part_of_the_requests_pass() -> None:
    simulated = world(Trouble(Fault.RAMP, "organization-1"), limits=START.times(100))
    replies = [simulated.ask("alice", call(tokens=10), now=number / 50) for number in range(500)]
    refused = [reply for reply in replies if reply.status == 429]

    # 25 a second and 125 at once, instead of 100 a second.
    assert len(replies) - len(refused) == pytest.approx(125 + 25 * 10, abs=2)
    assert {reply.error_code for reply in refused} == {"ramp_limit_exceeded"}
    assert {reply.headers["retry-after"] for reply in refused} == {"1"}


def test_faults_befall_whom_they_name_and_pass() -> None:
    simulated = world(Trouble(Fault.RESET, "host-1", 10, 20), Trouble(Fault.HANG, "carol", 10, 20))

    assert [simulated.ask("alice", call(tokens=9), now=now).status for now in (9, 10, 19, 20)] == [200, None, None, 200]
    assert simulated.ask("carol", call(tokens=9), now=15).seconds == math.inf
    assert simulated.ask("carol", call(tokens=9), now=20).status == 200
