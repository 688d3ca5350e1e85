"""What clients have used is added up, and what caches saved goes by the price table."""

from gateway.service.totals import ClientTotals, Totals
from tests.support.attempts import attempt_entry
from translators.message_usage import MessageUsage
from translators.models import model_table

SONNET = "claude-sonnet-5-5"


def price_of(model: str) -> tuple[int, int, int]:
    """Micro-dollars a million tokens: input, read, written."""
    known = model_table().provenance(model)
    assert known is not None
    return known.prices[0].input, known.prices[0].cache_read, known.prices[0].cache_write_5m


def used(uncached: int = 0, write: int = 0, read: int = 0, output: int = 0, long: int = 0) -> MessageUsage:
    return MessageUsage(None, uncached, read, write, long, output)


def saved(*usages: MessageUsage, model: str = SONNET) -> int:
    totals = Totals()
    for usage in usages:
        totals.add("app", [attempt_entry(usage, model=model)])
    return totals.clients()[0].saved_micro_dollars


def test_requests_and_tokens_are_added_up_by_client() -> None:
    totals = Totals()
    totals.add("b", [attempt_entry(used(100, 20, 3, 7)), attempt_entry(used(100, 0, 23, 8))])
    totals.add("a", [attempt_entry(used(5, 0, 0, 1))])
    totals.add("b", [])

    first, second = totals.clients()
    assert first == ClientTotals("a", 1, 5, 0, 0, 1, 0)
    assert (second.name, second.requests, second.prompt_tokens, second.completion_tokens) == ("b", 2, 246, 15)
    assert (second.cache_read_tokens, second.cache_write_tokens) == (26, 20)


def test_a_read_saves_what_it_costs_less_and_a_write_costs_its_surcharge() -> None:
    input_price, read_price, write_price = price_of(SONNET)
    million = 1_000_000

    assert saved(used(read=million)) == input_price - read_price > 0
    assert saved(used(write=million)) == input_price - write_price < 0
    assert saved(used(write=million), used(read=million)) == (2 * input_price - read_price - write_price)
    assert saved(used(million, output=million)) == 0


def test_what_is_written_for_an_hour_has_a_surcharge_of_its_own() -> None:
    known = model_table().provenance(SONNET)
    assert known is not None
    price = known.prices[0]

    assert saved(used(write=1_000_000, long=1_000_000)) == (
        2 * price.input - price.cache_write_5m - price.cache_write_1h
    )


def test_many_small_answers_lose_nothing_by_rounding() -> None:
    input_price, read_price, _ = price_of(SONNET)

    assert saved(*[used(read=1)] * 1_000) == round(1_000 * (input_price - read_price) / 1_000_000)


def test_a_long_prompt_has_the_price_of_long_ones() -> None:
    tiered = next(
        row.id for row in model_table().rows if (known := model_table().provenance(row.id)) and len(known.prices) > 1
    )
    known = model_table().provenance(tiered)
    assert known is not None
    short, long, *_ = known.prices
    limit = short.up_to_prompt_tokens or 0

    assert saved(used(read=limit), model=tiered) == round(limit * (short.input - short.cache_read) / 1e6)
    assert saved(used(1, read=limit), model=tiered) == round(limit * (long.input - long.cache_read) / 1e6)


def test_where_the_price_is_not_known_nothing_is_said_to_be_saved() -> None:
    assert saved(used(read=1_000_000), model="gpt-5") == 0


def test_of_too_many_clients_the_quietest_is_dropped() -> None:
    totals = Totals(max_clients=2)
    for name in "abac":
        totals.add(name, [])

    assert [(client.name, client.requests) for client in totals.clients()] == [("a", 2), ("c", 1)]
