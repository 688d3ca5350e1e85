"""Whose keys are whose: taken from the configuration at first, from upstream's answers as soon as they tell."""

import pytest

from gateway.keypool import SUCCESS, Key, KeyPool, LeaseRequest, Outcome
from gateway.keypool.domains import Workspace
from gateway.keypool.host import MAX_NOTED_MODELS
from tests.support.pools import ASK, MODEL, OTHER, SIBLING, fail, failed, head, meet, name_of, pool_of, state_of, taken
from translators.errors import ErrorKind
from translators.usage import Usage

EMPTY = (50, 0)
PROMPT = LeaseRequest(MODEL, 1_000, prefix=b"p")
CACHED = Outcome.success(Usage(cache_write_tokens=900))


def organizations(pool: KeyPool) -> dict[str, str]:
    return {state.key.name: state.organization.name for state in pool.states}


def workspaces(pool: KeyPool) -> dict[str, str]:
    return {state.key.name: state.workspace.name for state in pool.states}


def counts(pool: KeyPool) -> dict[str, int]:
    return {organization.name: len(organization.states) for organization in pool.organizations}


def test_keys_are_alone_until_upstream_says_whose_they_are() -> None:
    pool = pool_of("a", "b")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="a")

    assert name_of(pool.acquire(1, ASK)) == "b"
    assert len(set(organizations(pool).values())) == 2


def test_keys_of_one_organization_share_its_limits_once_it_is_known() -> None:
    pool = pool_of("a", "b", "c")
    for name, organization in zip("abc", "oop", strict=True):
        meet(pool, 0, head(organization), only=name)
    meet(pool, 0, head("o", requests=EMPTY, full_in=60), only="a")

    assert counts(pool) == {"o": 2, "p": 1}
    assert pool.acquire(1, ASK, exclude=frozenset("c")) is None
    assert name_of(pool.acquire(1, ASK)) == "c"


def test_what_was_learned_before_the_name_was_known_stays_known() -> None:
    pool = pool_of("a")
    lease = taken(pool, 0)
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60))
    pool.answered(lease, head("o"), 1)

    assert pool.acquire(59, ASK) is None
    assert pool.acquire(60, ASK) is not None


@pytest.mark.parametrize(
    ("kind", "lease_request"), [(ErrorKind.RATE_LIMITED, ASK), (ErrorKind.SPEND_LIMIT, LeaseRequest(OTHER))]
)
def test_cooling_goes_along_when_two_organizations_turn_out_to_be_one(
    kind: ErrorKind, lease_request: LeaseRequest
) -> None:
    pool = pool_of("a", "b")
    lease = taken(pool, 0, only="b")
    # An answer from the edge of the network does not say whose key it was.
    fail(pool, 0, failed(kind, 60), only="b")
    meet(pool, 1, head("o"), only="a")
    pool.answered(lease, head("o"), 1)

    assert pool.acquire(59, lease_request) is None
    assert pool.acquire(60, lease_request) is not None


def test_a_429_cools_whose_key_it_is_by_then() -> None:
    pool = pool_of("a", "b")
    meet(pool, 0, head("o"), only="a")
    limited, other = taken(pool, 0, only="b"), taken(pool, 0, only="b")
    pool.answered(limited, {}, 0, status=429)
    # While the body of the refusal is read, another answer tells whose key it is.
    pool.answered(other, head("o"), 0)
    pool.release(limited, failed(ErrorKind.RATE_LIMITED, 60), 0)

    assert pool.acquire(59, ASK) is None


def test_a_model_whose_limits_turn_out_to_be_its_own_cools_as_long_as_was_said() -> None:
    pool = pool_of("a")
    lease, straggler = taken(pool, 0), taken(pool, 0, LeaseRequest(SIBLING))
    meet(pool, 0, head("o", requests=(50, 40)))
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60))
    pool.answered(straggler, head("o", requests=(9, 9)), 0)
    pool.answered(lease, head("o", requests=(50, 40)), 1)

    assert pool.acquire(59, ASK) is None


def test_a_shorter_cooling_that_goes_along_does_not_shorten_a_longer_one() -> None:
    pool = pool_of("a", "b")
    lease = taken(pool, 0, only="b")
    meet(pool, 0, head("o"), only="a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 5), only="b")
    pool.answered(lease, head("o"), 1)

    assert pool.acquire(59, ASK) is None


def test_a_429_cools_the_organization_that_its_own_head_names() -> None:
    pool = pool_of("a", "b")
    meet(pool, 0, head("o"), only="b")
    meet(pool, 0, head("o"), only="a", outcome=failed(ErrorKind.RATE_LIMITED, 60))

    assert pool.acquire(1, ASK) is None


def test_what_the_configuration_puts_together_is_one_and_takes_upstreams_name_together() -> None:
    pool = pool_of(Key("a", organization="acme", workspace="team"), Key("b", organization="acme", workspace="team"))
    before = counts(pool)
    meet(pool, 0, head("o", "w"), only="a")

    assert before == {"acme": 2}
    assert counts(pool) == {"o": 2}
    assert workspaces(pool) == {"a": "w", "b": "w"}


def test_upstream_knows_better_than_the_configuration() -> None:
    pool = pool_of(Key("a", organization="acme", workspace="team"), Key("b", organization="acme", workspace="team"))
    meet(pool, 0, head("o", "w"), only="a")
    meet(pool, 0, head("p", "v"), only="b")
    meet(pool, 0, head("o", "w"), only="a")

    assert organizations(pool) == {"a": "o", "b": "p"}
    assert workspaces(pool) == {"a": "w", "b": "v"}
    assert counts(pool) == {"o": 1, "p": 1}


def test_a_default_workspace_is_the_organizations_own() -> None:
    pool = pool_of("a", "b", Key("c", workspace="team"))
    for name in "abc":
        meet(pool, 0, head("o"), only=name)
    meet(pool, 0, head("o", "w"), only="b")
    meet(pool, 0, head("o"), only="b")

    assert workspaces(pool) == {"a": "o", "b": "w", "c": "team"}


def test_leases_come_back_to_the_workspace_that_theirs_has_become() -> None:
    pool = pool_of("a", "b", "c")
    leases = [taken(pool, 0, only=name) for name in "abcabc"]
    meet(pool, 0, head("o", "w"), only="a")
    meet(pool, 0, head("o", "w"), only="b")
    one = state_of(pool, "a").workspace
    under_way = one.in_flight
    pool.answered(leases[2], head("o", "w"), 0)
    all_of_them = one.in_flight
    for lease in leases:
        pool.release(lease, SUCCESS, 1)

    assert (under_way, all_of_them, one.in_flight) == (4, 6, 0)
    assert {id(state.workspace) for state in pool.states} == {id(one)}
    assert one.weight == 3


def test_a_key_that_moves_alone_leaves_the_leases_of_others_where_they_are() -> None:
    pool = pool_of(Key("a", workspace="team"), Key("b", workspace="team"))
    meet(pool, 0, head("o", "w"), only="a")
    leases = [taken(pool, 0, only=name) for name in "aabb"]
    touched = {id(lease.workspace): lease.workspace for lease in leases}
    pool.answered(leases[2], head("o", "v"), 0)
    for state in pool.states:
        touched[id(state.workspace)] = state.workspace
    for lease in leases:
        pool.release(lease, SUCCESS, 1)

    assert workspaces(pool) == {"a": "w", "b": "v"}
    assert {workspace.name: workspace.in_flight for workspace in touched.values()} == {"w": 0, "v": 0}


def test_a_workspace_that_has_become_another_is_that_one_however_often() -> None:
    first, second, third = (Workspace(name, is_known=True) for name in "abc")
    first.merged_into, second.merged_into = second, third

    assert first.current() is third


def test_a_cache_that_was_seen_before_two_workspaces_turned_out_to_be_one_is_still_known() -> None:
    pool = pool_of("a", "b", "c")
    lease = taken(pool, 0, only="b")
    meet(pool, 0, {}, only="b", lease_request=PROMPT, outcome=CACHED)
    meet(pool, 0, head("o", "w"), only="a")
    pool.answered(lease, head("o", "w"), 0)

    # Both keys of the workspace have it now, and `c` does not.
    assert {name_of(pool.acquire(1, PROMPT)) for _ in range(4)} == {"a", "b"}


# Live changes


def test_a_key_that_comes_back_is_known_by_what_it_was_called() -> None:
    pool = pool_of("a", "b")
    for name in "ab":
        meet(pool, 0, head("o", "w"), only=name)
    pool.update([Key("a")])
    pool.update([Key("a"), Key("b", mark=b"new")])

    assert counts(pool) == {"o": 2}
    assert workspaces(pool) == {"a": "w", "b": "w"}


def test_a_new_secret_of_another_organization_moves_only_that_key() -> None:
    pool = pool_of("a", "b")
    for name in "ab":
        meet(pool, 0, head("o", "w"), only=name)
    pool.update([Key("a"), Key("b", mark=b"new")])
    meet(pool, 0, head("p", "v"), only="b")

    assert organizations(pool) == {"a": "o", "b": "p"}
    assert workspaces(pool) == {"a": "w", "b": "v"}


def test_an_organization_outlives_its_leaving_keys_as_long_as_one_stays() -> None:
    pool = pool_of("a", "b", "c")
    for name in "ab":
        meet(pool, 0, head("o"), only=name)
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="a")
    pool.update([Key("b")])

    assert counts(pool) == {"o": 1}
    assert pool.acquire(1, ASK) is None


def test_an_answer_for_a_key_that_is_gone_moves_nobody() -> None:
    pool = pool_of("a", "b")
    lease = taken(pool, 0, only="a")
    pool.update([Key("b")])
    pool.answered(lease, head("o", "w", requests=EMPTY), 1)
    pool.release(lease, CACHED, 1)

    assert counts(pool) == {"key b": 1}
    assert name_of(pool.acquire(1, ASK)) == "b"
    assert pool.in_flight == 1


def test_names_of_models_that_callers_make_up_are_not_kept_for_ever() -> None:
    pool = pool_of("a", "b")
    for number in range(2 * MAX_NOTED_MODELS):
        meet(
            pool,
            number,
            head("o", "w", requests=(100_000, 90_000)),
            lease_request=LeaseRequest(f"made-up-{number}"),
            only="a",
        )
    meet(pool, 9_999, head("p", "v", requests=(50, 40)), only="b")

    assert len(pool._registry._measures) <= MAX_NOTED_MODELS
    assert all(workspace.capacity > 0 for workspace in pool._registry._workspaces.values())


def test_keys_of_one_host_share_its_network_and_keep_sharing_after_a_change() -> None:
    pool = pool_of(Key("a", host="x"), Key("b", host="x"))
    pool.update([Key("a", host="x"), Key("c", host="x")])

    assert state_of(pool, "a").host is state_of(pool, "c").host is pool.hosts["x"]


def test_keys_of_which_nobody_knows_whose_they_are_are_asked_about_once() -> None:
    pool = pool_of(Key("a"), Key("b"), Key("c", organization="ours"))
    pool.introduced("a", head("org"))
    asked = [pool.strangers(), pool.strangers()]
    pool.update([Key("a"), Key("b", mark=b"another"), Key("d")])

    # What the configuration says is not what upstream calls it.
    assert asked == [["b", "c"], []]
    assert pool.strangers() == ["b", "d"]


def test_an_introduction_joins_the_keys_of_an_organization() -> None:
    pool = pool_of("a", "b")
    pool.introduced("a", head("org"))
    pool.introduced("b", head("org"))
    pool.introduced("gone", head("org"))

    assert [state.organization.name for state in pool.states] == ["org", "org"]
    assert state_of(pool, "a").organization is state_of(pool, "b").organization


def test_a_single_key_need_not_be_asked() -> None:
    assert pool_of("a").strangers() == []
