"""OpenAI's usage and costs endpoints, as its own SDK reads them, and byte for byte."""

from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.gateway.ledger_reports.conftest import ADMIN, CLIENT, NOW, VIEWER, Kept
from tests.scenarios.harness import assert_error
from tests.support.ledgers import DAY, HOUR, MIDNIGHT, Call, unusable

USAGE = "/v1/organization/usage/completions"
COSTS = "/v1/organization/costs"
HEADERS = {"authorization": f"Bearer {ADMIN}"}


def openai_of(kept: Kept) -> AsyncOpenAI:
    """The official client, which refuses whatever is not of the documented types."""
    client = AsyncOpenAI(
        base_url=kept.running.base_url, admin_api_key=ADMIN, max_retries=0, _strict_response_validation=True
    )
    kept.running.clients.push_async_callback(client.close)
    return client


async def ask(kept: Kept, path: str, /, **query: Any) -> httpx2.Response:
    named = {name if not isinstance(value, list) else f"{name}[]": value for name, value in query.items()}
    return await kept.running.http().get(path, params=named, headers=HEADERS)


async def test_the_official_client_reads_the_usage_of_each_model_and_key(kept: Kept) -> None:
    kept.write(Call(), Call(model="claude-haiku-5-5", caller="key_b", group_name=""))

    page = await openai_of(kept).admin.organization.usage.completions(
        start_time=MIDNIGHT, end_time=MIDNIGHT + DAY, group_by=["model", "api_key_id", "project_id", "batch"]
    )

    (bucket,) = page.data
    results: Any = bucket.results
    sonnet, haiku = sorted(results, key=lambda result: str(result.model), reverse=True)
    assert (sonnet.api_key_id, sonnet.project_id, sonnet.batch) == ("key_a", "research", False)
    assert (haiku.api_key_id, haiku.project_id) == ("key_b", None)
    assert (sonnet.input_tokens, sonnet.output_tokens, sonnet.num_model_requests) == (127, 50, 1)
    assert page.has_more is False
    assert page.next_page is None


async def test_the_official_client_reads_the_costs_of_each_line_item(kept: Kept) -> None:
    kept.write(Call(cost=1_234_567_890), Call(cost=10))

    page = await openai_of(kept).admin.organization.usage.costs(
        start_time=MIDNIGHT, end_time=MIDNIGHT + DAY, group_by=["line_item", "user_id"]
    )

    ((result,),) = [bucket.results for bucket in page.data]
    costs: Any = result
    assert (costs.amount.value, costs.amount.currency) == (1.2345679, "usd")
    assert (costs.line_item, costs.quantity, costs.quantity_unit) == ("claude-sonnet-5-5, tokens", 354, "tokens")
    assert costs.user_id is None


async def test_usage_is_byte_for_byte_what_is_documented(kept: Kept) -> None:
    kept.write(Call(end_user=b"\x0a" * 8))

    answer = await ask(kept, USAGE, start_time=MIDNIGHT, end_time=MIDNIGHT + DAY, group_by=["user_id", "api_source"])

    assert answer.headers["cache-control"] == "no-store"
    result = (
        '{"object":"organization.usage.completions.result","input_tokens":127,"output_tokens":50,'
        '"num_model_requests":1,"input_cached_tokens":20,"input_uncached_tokens":100,"input_cache_write_tokens":7,'
        '"input_cache_write_30m_tokens":null,"input_cache_write_12h_tokens":null,"input_text_tokens":null,'
        '"input_image_tokens":null,"input_audio_tokens":0,"input_cached_text_tokens":null,'
        '"input_cached_image_tokens":null,"input_cached_audio_tokens":0,"output_text_tokens":50,'
        '"output_image_tokens":0,"output_audio_tokens":0,"project_id":null,"user_id":"0a0a0a0a0a0a0a0a",'
        '"api_key_id":null,"model":null,"batch":null,"service_tier":null,"api_source":"unlabeled"}'
    )
    bucket = f'{{"object":"bucket","start_time":{MIDNIGHT},"end_time":{MIDNIGHT + DAY},"results":[{result}]}}'
    assert answer.text == f'{{"object":"page","data":[{bucket}],"has_more":false,"next_page":null}}'


async def test_costs_are_byte_for_byte_what_is_documented(kept: Kept) -> None:
    kept.write(Call(cost=1_500_000_000))

    answer = await ask(kept, COSTS, start_time=MIDNIGHT, end_time=MIDNIGHT + DAY)

    result = (
        '{"object":"organization.costs.result","amount":{"value":1.5,"currency":"usd"},"line_item":null,'
        '"quantity":null,"quantity_unit":null,"project_id":null,"user_id":null,"api_key_id":null,"api_source":null}'
    )
    bucket = f'{{"object":"bucket","start_time":{MIDNIGHT},"end_time":{MIDNIGHT + DAY},"results":[{result}]}}'
    assert answer.text == f'{{"object":"page","data":[{bucket}],"has_more":false,"next_page":null}}'


async def test_buckets_without_use_are_empty_and_pages_follow_each_other(kept: Kept) -> None:
    kept.write(Call(at=MIDNIGHT + HOUR), Call(at=MIDNIGHT + 3 * HOUR), Call(at=MIDNIGHT + 4 * HOUR))
    client = openai_of(kept)
    pages: list[Any] = []
    page: Any = None
    query: dict[str, Any] = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + 5 * HOUR, "bucket_width": "1h", "limit": 2}

    while page is None or page.has_more:
        page = await client.admin.organization.usage.completions(**query)
        query["page"] = page.next_page
        pages.append(page)

    buckets = [bucket for each in pages for bucket in each.data]
    assert [len(each.data) for each in pages] == [2, 2, 1]
    assert [len(bucket.results) for bucket in buckets] == [0, 1, 0, 1, 1]
    assert [bucket.start_time for bucket in buckets] == [MIDNIGHT + hour * HOUR for hour in range(5)]
    assert [bucket.end_time - bucket.start_time for bucket in buckets] == [HOUR] * 5


async def test_minutes_are_read_from_the_rows(kept: Kept) -> None:
    kept.write(Call(at=MIDNIGHT + 59), Call(at=MIDNIGHT + 61), Call(at=MIDNIGHT + 62))

    answer = await ask(kept, USAGE, start_time=MIDNIGHT + 30, end_time=MIDNIGHT + 180, bucket_width="1m")

    data = answer.json()["data"]
    assert [bucket["start_time"] for bucket in data] == [MIDNIGHT, MIDNIGHT + 60, MIDNIGHT + 120]
    assert [sum(result["num_model_requests"] for result in bucket["results"]) for bucket in data] == [1, 2, 0]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"api_key_ids": ["key_a", "key_b"]}, 2),
        ({"api_key_ids": ["key_a"], "models": ["claude-sonnet-5-5"]}, 1),
        ({"project_ids": ["other"]}, 1),
        ({"user_ids": ["07" * 8]}, 1),
        ({"batch": "true"}, 1),
        ({"batch": "false"}, 2),
        ({"models": ["gpt-5"]}, 0),
    ],
    ids=str,
)
async def test_filters(kept: Kept, query: dict[str, Any], count: int) -> None:
    kept.write(
        Call(caller="key_a"),
        Call(caller="key_b", end_user=b"\x07" * 8),
        Call(caller="key_c", group_name="other", batch=1),
    )

    answer = await ask(kept, USAGE, start_time=MIDNIGHT, end_time=MIDNIGHT + DAY, **query)

    found = [result["num_model_requests"] for bucket in answer.json()["data"] for result in bucket["results"]]
    assert sum(found) == count


async def test_costs_of_named_line_items(kept: Kept) -> None:
    kept.write(Call(cost=10**9), Call(model="claude-haiku-5-5", cost=2 * 10**9))

    answer = await ask(
        kept, COSTS, start_time=MIDNIGHT, end_time=MIDNIGHT + DAY, line_items=["claude-haiku-5-5, tokens"]
    )

    assert answer.json()["data"][0]["results"][0]["amount"]["value"] == 2.0


@pytest.mark.parametrize(("width", "usual"), [("1m", 60), ("1h", 24), ("1d", 7)])
async def test_without_a_limit_there_are_as_many_buckets_as_openai_has(kept: Kept, width: str, usual: int) -> None:
    answer = await ask(kept, USAGE, start_time=1, bucket_width=width)

    assert len(answer.json()["data"]) == usual
    assert answer.json()["has_more"] is True


async def test_without_an_end_it_is_now(kept: Kept) -> None:
    answer = await ask(kept, USAGE, start_time=int(NOW) - DAY, bucket_width="1d")

    assert [bucket["start_time"] for bucket in answer.json()["data"]] == [MIDNIGHT, MIDNIGHT + DAY]
    assert answer.json()["has_more"] is False


@pytest.mark.parametrize(
    ("path", "query", "param", "code"),
    [
        (USAGE, {}, "start_time", "missing_required_parameter"),
        (COSTS, {"limit": 5}, "start_time", "missing_required_parameter"),
        (USAGE, {"start_time": "yesterday"}, "start_time", "invalid_type"),
        (USAGE, {"start_time": "9" * 30}, "start_time", "invalid_type"),
        (USAGE, {"start_time": -1}, "start_time", "integer_below_min_value"),
        (USAGE, {"start_time": 5, "end_time": 5}, "end_time", "invalid_value"),
        (USAGE, {"start_time": 1, "bucket_width": "2d"}, "bucket_width", "invalid_value"),
        (COSTS, {"start_time": 1, "bucket_width": "1h"}, "bucket_width", "invalid_value"),
        (USAGE, {"start_time": 1, "limit": 32}, "limit", "integer_above_max_value"),
        (USAGE, {"start_time": 1, "limit": 0}, "limit", "integer_below_min_value"),
        (USAGE, {"start_time": 1, "limit": 169, "bucket_width": "1h"}, "limit", "integer_above_max_value"),
        (USAGE, {"start_time": 1, "limit": 1441, "bucket_width": "1m"}, "limit", "integer_above_max_value"),
        (COSTS, {"start_time": 1, "limit": 181}, "limit", "integer_above_max_value"),
        (USAGE, {"start_time": 1, "group_by": ["line_item"]}, "group_by", "invalid_value"),
        (COSTS, {"start_time": 1, "group_by": ["model"]}, "group_by", "invalid_value"),
        (USAGE, {"start_time": 1, "page": "page_"}, "page", "invalid_value"),
        (USAGE, {"start_time": 1, "page": "page_MTIz"}, "page", "invalid_value"),
        (USAGE, {"start_time": 1, "page": "\u00fc"}, "page", "invalid_value"),
        (USAGE, {"start_time": 1, "batch": "maybe"}, "batch", "invalid_value"),
    ],
    ids=str,
)
async def test_wrong_queries_are_refused_as_openai_does(
    kept: Kept, path: str, query: dict[str, Any], param: str, code: str
) -> None:
    answer = await ask(kept, path, **query)

    assert assert_error(answer, 400, "invalid_request_error", code)["param"] == param


@pytest.mark.parametrize("path", [USAGE, COSTS, "/admin/usage"])
@pytest.mark.parametrize("token", [CLIENT, f"{ADMIN}x", None])
async def test_only_the_admin_reads(kept: Kept, path: str, token: str | None) -> None:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = await kept.running.http().get(path, params={"start_time": 1}, headers=headers)

    assert answer.status_code == 401


@pytest.mark.parametrize("path", [USAGE, COSTS, "/admin/usage"])
async def test_a_ledger_that_cannot_be_read_is_a_503_without_its_path(kept: Kept, path: str) -> None:
    query = {} if path == "/admin/usage" else {"start_time": 1}

    with unusable(kept.file):
        answer = await ask(kept, path, **query)

    error = assert_error(answer, 503, "service_unavailable_error", "store_unavailable")
    assert str(kept.file) not in error["message"]


@pytest.mark.parametrize("path", [USAGE, COSTS, "/admin/usage"])
async def test_the_viewer_reads_too(kept: Kept, path: str) -> None:
    query = {} if path == "/admin/usage" else {"start_time": MIDNIGHT}
    answer = await kept.running.http().get(path, params=query, headers={"authorization": f"Bearer {VIEWER}"})

    assert answer.status_code == 200
