"""What the table of models says against what the installed Anthropic SDK knows: each release of it may bring news."""

from datetime import date, datetime
from typing import get_args

from anthropic._data import DEPRECATED_MODELS
from anthropic.types import ModelParam

from gateway.demo.models import find_model
from tests.support.upstream_rules.models import rules_of
from translators.models import model_table

TABLE = model_table()
IDS = {name for row in TABLE.rows for name in (row.id, *row.aliases)}
SDKS_IDS = set(get_args(get_args(ModelParam)[0]))


def day(text: str) -> date:
    """`January 22nd, 2027` as a date."""
    month, number, year = text.split()
    return datetime.strptime(f"{month} {number.rstrip('stndrh,')} {year}", "%B %d %Y").date()  # noqa: DTZ007


def test_every_model_that_the_sdk_names_is_in_the_table() -> None:
    missing = sorted(SDKS_IDS - IDS)

    assert not missing, f"The SDK names models that translators/models.toml does not: {', '.join(missing)}."


def test_every_model_of_the_table_is_one_that_the_sdk_names() -> None:
    unknown = sorted(IDS - SDKS_IDS)

    assert not unknown, f"translators/models.toml has models that the SDK no longer names: {', '.join(unknown)}."


def test_a_model_retires_when_the_sdk_says() -> None:
    sdks = {model: day(when) for model, when in DEPRECATED_MODELS.items()}
    ours = {name: row.retires for row in TABLE.rows if row.retires for name in (row.id, *row.aliases)}

    different = [
        f"{model}: the table says {ours.get(model)}, the SDK {sdks.get(model)}"
        for model in sorted(ours.keys() | sdks.keys())
        if ours.get(model) != sdks.get(model)
    ]

    assert not different, (
        f"`retires` in translators/models.toml and the SDK's deprecations differ. {'; '.join(different)}."
    )


def test_the_simulated_upstream_agrees_with_the_table() -> None:
    for name in IDS:
        simulated, row = find_model(name), TABLE.row(name)
        if simulated is None:
            continue
        rules = rules_of(simulated)
        assert (rules.preserved_thinking, simulated.fast) == (row.binds_thinking, row.fast), name
        assert simulated.retires == (row.retires.isoformat() if row.retires else None), name
        assert (simulated.context, simulated.max_output) == (row.context, row.max_output), name
        assert (simulated.thinking, simulated.efforts) == (row.thinking, row.efforts), name
        assert (rules.forced_tools, rules.prefill) == (row.forced_tools, row.prefill), name
        assert (rules.system_messages, simulated.cache_minimum) == (row.system_messages, row.cache_minimum), name
