"""What calls cost, to the nano-dollar: recordings, drawn usages, and rules, against a second computation."""

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.money import FAST, PRICES, cost_of, usage_in
from tests.support.recordings import Recording, recording_params
from translators.answers.answer import AnswerFold
from translators.estimate import output_tokens_seen
from translators.message_usage import MessageUsage, Terms
from translators.models import model_table
from translators.native.answer import told_by
from translators.native.stream import NativeStream
from translators.own_prices import OwnPrice, own_prices
from translators.prices import Charge, Prices, list_prices
from translators.usage import Usage
from translators.wire.messages import UsageCounts

MODELS = sorted(row.id for row in model_table().rows)
OPUS = "claude-opus-5-5"
HAIKU = "claude-haiku-5-5"
MILLION = 1_000_000


def charge_of(usage: Usage, asked: str = "") -> Charge:
    return list_prices().total(usage.messages, asked)


def usage_of(counts: dict[str, Any], model: str) -> Usage:
    usage = Usage()
    usage.update(msgspec.json.decode(json.dumps(counts), type=UsageCounts), model)
    return usage


def cost(model: str = OPUS, asked: str = "", **used: Any) -> tuple[int, str]:
    charge = list_prices().charge(MessageUsage(model, **used), asked)
    return charge.nano_dollars, charge.price


# Recordings


@pytest.mark.parametrize("recording", recording_params(streamed=True, status=200, kind="messages"))
def test_a_recorded_stream_costs_what_its_events_say(recording: Recording) -> None:
    events = [json.loads(data) for data in re.findall(rb"^data: ?(\{.*\})\s*$", recording.response, re.MULTILINE)]
    fold, native = AnswerFold(), NativeStream()
    fold.feed(recording.response)
    native.feed(recording.response)
    native.end()

    expected = cost_of(*usage_in(events))
    assert expected > 0
    for usage in (fold.usage, native.usage):
        charge = charge_of(usage)
        assert charge.nano_dollars == expected
        assert "assumed" not in charge.price
        assert "unpriced" not in charge.price


@pytest.mark.parametrize("recording", recording_params(streamed=True, status=200, kind="messages"))
def test_what_was_seen_of_a_recorded_stream_is_never_more_than_its_output(recording: Recording) -> None:
    fold, native = AnswerFold(), NativeStream()
    for event in re.findall(rb".+?\n\n", recording.response, re.DOTALL):
        fold.feed(event)
        native.feed(event)

    for answer in (fold, native):
        assert 0 <= output_tokens_seen(answer.seen_bytes) <= answer.usage.output_tokens


@pytest.mark.parametrize("recording", recording_params(streamed=False, status=200, kind="messages"))
def test_a_recorded_answer_costs_what_it_says(recording: Recording) -> None:
    answer = json.loads(recording.response)
    fold = AnswerFold()
    fold.read_whole(recording.response)

    expected = cost_of(answer["usage"], answer["model"])
    assert expected > 0
    for usage in (fold.usage, told_by(recording.response).usage):
        assert charge_of(usage).nano_dollars == expected
        assert "assumed" not in charge_of(usage).price


@pytest.mark.parametrize("recording", recording_params(kind="batches", status=200))
def test_recorded_results_of_batches_cost_half(recording: Recording) -> None:
    results = [json.loads(line) for line in recording.response.splitlines() if b'"custom_id"' in line]
    for message in (result["result"]["message"] for result in results if "message" in result["result"]):
        charge = charge_of(told_by(json.dumps(message).encode()).usage)

        assert charge.nano_dollars == cost_of(message["usage"], message["model"]) > 0
        assert charge.price.endswith("+batch")


# Drawn usages

COUNTS = st.integers(0, 3) | st.integers(0, 250_000)


@st.composite
def usages(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A message's usage as upstream writes it, and its model."""
    long, short = draw(COUNTS), draw(COUNTS)
    usage: dict[str, Any] = {
        "input_tokens": draw(COUNTS),
        "output_tokens": draw(COUNTS),
        "cache_read_input_tokens": draw(COUNTS),
        "cache_creation_input_tokens": long + short,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "server_tool_use": draw(st.none() | st.fixed_dictionaries({"web_search_requests": st.integers(0, 20)})),
        "service_tier": draw(st.sampled_from([None, "standard", "batch", "priority"])),
        "inference_geo": draw(st.sampled_from([None, "global", "us", "not_available"])),
        "speed": draw(st.sampled_from([None, "standard", "fast"])),
    }
    if draw(st.booleans()):
        entry = {"input_tokens": draw(COUNTS), "output_tokens": draw(COUNTS)}
        advice = {**entry, "type": "advisor_message", "model": draw(st.sampled_from(MODELS))}
        usage["iterations"] = [advice]
    return usage, draw(st.sampled_from(MODELS))


@given(usages())
def test_every_usage_costs_what_the_second_computation_says(drawn: tuple[dict[str, Any], str]) -> None:
    assert charge_of(usage_of(*drawn)).nano_dollars == cost_of(*drawn)


def test_the_second_computation_knows_every_model() -> None:
    known = {row.id: model_table().provenance(row.id) for row in model_table().rows}

    assert all(model.startswith(tuple(PRICES)) for model in known)
    assert {model for model, facts in known.items() if facts and facts.fast_prices} == set(FAST)


CALLS = st.builds(
    MessageUsage,
    st.sampled_from([*MODELS, "claude-3-5-haiku-latest", "nobody-knows"]),
    *[COUNTS] * 5,
    server_tools=st.sampled_from([(), (("web_search_requests", 1),), (("other", 2),)]),
    service_tier=st.sampled_from([None, "batch", "odd"]),
    inference_geo=st.sampled_from([None, "us"]),
    speed=st.sampled_from([None, "fast"]),
)
CLASSES = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")


@given(CALLS, st.sampled_from(CLASSES), st.integers(1, 10**6))
def test_more_tokens_never_cost_less_and_nothing_is_negative(call: MessageUsage, name: str, more: int) -> None:
    larger = msgspec.structs.replace(call, **{name: getattr(call, name) + more})

    cheap, dear = (list_prices().charge(each, "").nano_dollars for each in (call, larger))
    assert 0 <= cheap <= dear


@given(st.lists(CALLS, max_size=4))
def test_a_total_is_the_sum_of_its_calls(calls: list[MessageUsage]) -> None:
    total = list_prices().total(calls, "asked")
    each = [list_prices().charge(call, "asked") for call in calls]

    assert total.nano_dollars == sum(charge.nano_dollars for charge in each)
    assert total.saved_nano_dollars == sum(charge.saved_nano_dollars for charge in each)
    assert total.price.split(",") == list(dict.fromkeys(charge.price for charge in each)) or not calls


@given(CALLS)
def test_classes_add_up_to_the_whole_but_for_rounding(call: MessageUsage) -> None:
    # Without a step in the prices: the prompt of a part is shorter.
    whole = msgspec.structs.replace(call, model=OPUS, server_tools=())
    nothing = dict.fromkeys(CLASSES, 0)
    parts = [msgspec.structs.replace(whole, **{**nothing, name: getattr(whole, name)}) for name in CLASSES]

    apart = sum(list_prices().charge(part, "").nano_dollars for part in parts)
    assert abs(list_prices().charge(whole, "").nano_dollars - apart) <= len(CLASSES) // 2


@given(CALLS)
def test_what_is_saved_is_the_difference_to_the_same_tokens_uncached(call: MessageUsage) -> None:
    bare = msgspec.structs.replace(call, input_tokens=call.prompt_tokens, **dict.fromkeys(CLASSES[1:4], 0))
    charge, uncached = (list_prices().charge(each, "") for each in (call, bare))

    if not charge.price.startswith("assumed"):
        assert abs(uncached.nano_dollars - charge.nano_dollars - charge.saved_nano_dollars) <= 1
    assert uncached.saved_nano_dollars == 0


# Rules


def test_the_length_of_each_prompt_decides_and_not_that_of_several() -> None:
    limit = 100_000
    at, above = cost(HAIKU, input_tokens=limit), cost(HAIKU, input_tokens=limit - 1, cache_read_tokens=2)

    assert at == (limit * 100, "claude-haiku-5-5/2026-11-21/100000")
    assert above == ((limit - 1) * 500 + 2 * 50, "claude-haiku-5-5/2026-11-21")
    twice = list_prices().total([MessageUsage(HAIKU, limit)] * 2, HAIKU)
    assert twice == Charge(2 * limit * 100, at[1])


def test_halves_of_a_nano_dollar_are_rounded_up_once_for_each_call() -> None:
    # 10 nano-dollars, half of it in a batch, a tenth more in the US.
    assert cost(HAIKU, cache_read_tokens=1, service_tier="batch", inference_geo="us")[0] == 6
    assert cost(HAIKU, cache_read_tokens=2, service_tier="batch", inference_geo="us")[0] == 11


def test_what_upstream_reports_counts_more_than_what_was_asked_for() -> None:
    prices, terms = list_prices(), Terms("fast", "us")
    silent, told = MessageUsage(OPUS, 10), MessageUsage(OPUS, 10, speed="standard", inference_geo="global")

    assert prices.charge(silent, OPUS, terms).price.endswith("+fast+us")
    assert prices.charge(told, OPUS, terms) == prices.charge(silent, OPUS)
    assert prices.charge(MessageUsage("claude-sonnet-5-5", 10), OPUS).price.startswith("claude-sonnet-5-5/")
    assert prices.charge(MessageUsage("a-hosts-own-name", 10), OPUS).price.startswith("claude-opus-5-5/")
    assert prices.charge(MessageUsage(None, 10), f"us.anthropic.{OPUS}-v1:0").price.startswith("claude-opus-5-5/")


@pytest.mark.parametrize(
    ("used", "marks"),
    [
        ({"model": "nobody-knows"}, "assumed:claude-fable-5-2/2026-11-21"),
        ({"model": "claude-opus-4-7", "speed": "fast"}, "claude-opus-4-7/2026-08-31+unpriced:fast"),
        ({"model": OPUS, "service_tier": "flex, 2"}, "claude-opus-5-5/2026-11-21+unpriced:flex__2"),
        ({"model": OPUS, "inference_geo": "eu"}, "claude-opus-5-5/2026-11-21+unpriced:eu"),
        ({"model": OPUS, "server_tools": (("x_requests", 1),)}, "claude-opus-5-5/2026-11-21+unpriced:x_requests"),
    ],
)
def test_what_has_no_known_price_is_named(used: dict[str, Any], marks: str) -> None:
    charge, same = (list_prices().charge(MessageUsage(**each), "") for each in (used | {"input_tokens": 9}, used))

    assert charge.price == same.price == marks
    assert charge.nano_dollars > 0


def test_any_number_of_names_does_not_fill_the_memory() -> None:
    prices = Prices()
    for number in range(3_000):
        prices.charge(MessageUsage(f"name-{number}", 1), "")

    assert len(prices._rates) <= 1_000


# Prices of the operator's own


def test_a_part_of_the_list_price_keeps_its_steps_and_modes() -> None:
    prices = Prices({"claude-*": OwnPrice(percent=Fraction("87.5"))})

    for used in (MessageUsage(HAIKU, MILLION), MessageUsage(HAIKU, 8), MessageUsage(OPUS, 80, 80, speed="fast")):
        listed, ours = (each.charge(used, "") for each in (list_prices(), prices))
        assert ours.nano_dollars == listed.nano_dollars * 7 // 8
        assert re.fullmatch(rf"own:claude-\*#[0-9a-f]{{8}}/{re.escape(listed.price)}", ours.price)


def test_own_amounts_count_for_prompts_of_any_length_and_caches_follow() -> None:
    prices = Prices({HAIKU: OwnPrice(input=200_000, output=900_000), OPUS: OwnPrice(input=2 * MILLION, output=9)})

    assert prices.charge(MessageUsage(HAIKU, MILLION, output_tokens=10), "").nano_dollars == MILLION * 200 + 9_000
    cached = MessageUsage(HAIKU, 0, 1_000, 1_000, 1_000)
    assert prices.charge(cached, "").nano_dollars == 2 * list_prices().charge(cached, "").nano_dollars
    fast = MessageUsage(OPUS, 1_000, 1_000, speed="fast")
    assert prices.charge(fast, "").nano_dollars == list_prices().charge(fast, "").nano_dollars // 2


def test_a_model_that_no_list_knows_gets_a_price_of_ones_own() -> None:
    prices = Prices({"my-model": OwnPrice(input=1_000, output=2_000, cache_read=500)})
    charge = prices.charge(MessageUsage("my-model", 10, 10, 10, 10, 10), "")

    # Caches cost what they do of most models.
    assert charge.nano_dollars == 10 + 5 + 13 + 20 + 20
    assert re.fullmatch(r"own:my-model#[0-9a-f]{8}", charge.price)


def test_the_exact_name_comes_before_the_longest_pattern() -> None:
    prices = Prices(
        {
            "claude-*": OwnPrice(percent=Fraction(10)),
            "claude-opus-*": OwnPrice(percent=Fraction(20)),
            OPUS: OwnPrice(percent=Fraction(30)),
        }
    )
    told = {model: prices.charge(MessageUsage(model, MILLION), "").price for model in (OPUS, "claude-opus-5", HAIKU)}

    assert told[OPUS].startswith(f"own:{OPUS}#")
    assert told["claude-opus-5"].startswith("own:claude-opus-*#")
    assert told[HAIKU].startswith("own:claude-*#")
    # Of a model in another host's spelling it is the id that counts.
    assert prices.charge(MessageUsage(f"anthropic.{OPUS}", 1), "").price == told[OPUS]


def test_a_part_of_a_price_that_nobody_knows_is_assumed() -> None:
    prices = Prices({"*": OwnPrice(percent=Fraction(50))})
    charge = prices.charge(MessageUsage("nobody-knows", MILLION), "nobody-either")

    assert charge.nano_dollars * 2 == cost("nobody-knows", input_tokens=MILLION)[0]
    assert "/assumed:claude-fable-5-2/" in charge.price
    # The model that was asked for is known: what upstream calls it has no price, with or without a discount.
    assert "/claude-opus-5-5/" in prices.charge(MessageUsage("nobody-knows", 1), OPUS).price


@dataclass(frozen=True)
class Setting:
    """A price as a configuration has it."""

    percent: float | None = None
    input: float | None = None
    output: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None
    cache_read: float | None = None


def test_the_prices_of_a_configuration_are_the_decimal_numbers_that_it_has() -> None:
    settings = {"a": Setting(percent=87.3), "b": Setting(input=0.1, output=1.1, cache_read=1e-06)}

    assert own_prices(settings) == {
        "a": OwnPrice(percent=Fraction(873, 10)),
        "b": OwnPrice(input=100_000, output=1_100_000, cache_read=1),
    }


def test_a_changed_price_has_another_id() -> None:
    one, other = (Prices({OPUS: OwnPrice(input=amount, output=1)}).charge(MessageUsage(OPUS), "") for amount in (1, 2))

    assert one.price != other.price
