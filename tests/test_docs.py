"""The documentation says what the code does: tables are compared, examples are run."""

import ast
import asyncio
import importlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields as fields_of
from pathlib import Path
from typing import get_args

import pytest

from gateway.demo import ORDERS
from gateway.keypool.snapshot import (
    BreakerView,
    BucketView,
    HostView,
    KeyView,
    OrganizationView,
    PoolView,
    RateLimitsView,
    Standing,
    StateName,
    WorkspaceView,
)
from gateway.keypool.strategies import StrategyName
from gateway.service.routing import BUILTIN_ALIASES
from gateway.service.totals import ClientTotals
from tests.support.gateway import key, running_gateway
from tests.support.upstream_rules import run_strict_upstream
from translators import limits
from translators.answers.finish import FINISH_REASONS
from translators.errors import RULES, Blame, Rule
from translators.kept.turns import LeftOut
from translators.messages.extensions import BETA_OF_FIELD, RESTRICTED
from translators.messages.marking import Caching
from translators.models import ModelRow, model_table
from translators.wire.chat import REQUEST

VIEWS = (
    PoolView,
    KeyView,
    Standing,
    OrganizationView,
    RateLimitsView,
    BucketView,
    WorkspaceView,
    HostView,
    BreakerView,
)
ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Its programs need clients of their own: tests/contract/test_clients.py runs them.
CLIENTS = ROOT / "docs/clients.md"
EXAMPLES = [
    pytest.param(page, code, id=f"{page.name}-{number}")
    for page in PAGES
    if page != CLIENTS
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
]


def table(heading: str, rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    columns = heading.count("|") - 1
    return "\n".join([heading, "|---" * columns + "|", *(f"| {' | '.join(row)} |" for row in rows)])


def errors_table() -> str:
    """The table of docs/errors.md, from the code."""

    def row(name: str, rule: Rule) -> tuple[str, ...]:
        again = {None: "", True: "`x-should-retry: true`", False: "`x-should-retry: false`"}[rule.sdk_retry]
        return (
            name.lower().replace("_", " "),
            str(rule.status),
            f"`{rule.type}`",
            f"`{rule.code}`" if rule.code else "null",
            "yes" if rule.retry else "",
            again,
        )

    rows = [row(kind.name, rule) for kind, rule in RULES.items()]
    return table("| what | status | `type` | `code` | retried | told to the SDK |", rows)


def orders_table() -> str:
    """The table of docs/tour.md, from the code."""
    return table("| word | what it does |", [(f"`{word}`", meaning) for word, meaning in ORDERS.items()])


def native_table() -> str:
    """The table of Anthropic's own fields in docs/translation.md, from the code."""
    rows: list[tuple[str, ...]] = [
        (f"`{name}`", f"`{beta}`" if beta else "", "needed" if name in RESTRICTED else "")
        for name, beta in BETA_OF_FIELD.items()
    ]
    return table("| field | beta | permission |", rows)


def finish_table() -> str:
    """The table of stop reasons in docs/translation.md, from the code."""
    return table("| `stop_reason` | `finish_reason` |", [(f"`{a}`", f"`{b}`") for a, b in FINISH_REASONS.items()])


def models_table() -> str:
    """The table of models in docs/translation.md, from models.toml."""

    def row(model: ModelRow) -> tuple[str, ...]:
        return (
            f"`{model.id}`",
            f"{model.context:,}",
            f"{model.max_output:,}",
            ", ".join(model.thinking) + (" (on)" if model.thinks_by_default else ""),
            "yes" if model.binds_thinking else "",
            ", ".join(f"**{level}**" if level == model.effort else level for level in model.efforts),
            "yes" if model.forced_tools else "",
            "yes" if model.prefill else "",
            model.sampling if model.sampling != "none" else "",
            "yes" if model.system_messages else "",
            f"{model.cache_minimum:,}",
        )

    heading = (
        "| model | context | output | thinking | bound | efforts | forced tools | prefill | "
        "sampling | later system | cached from |"
    )
    return table(heading, [row(model) for model in model_table().rows])


# The methods of `Adjustments` that make a note.
NOTES = ("add", "note")


def adjustments_in_the_code() -> Iterator[tuple[str, str, str]]:
    """Field, change and reason of each note that the translators can make; `…` where it is not a constant."""
    for path in sorted((ROOT / "translators").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                not isinstance(node, ast.Call)
                or not isinstance(node.func, ast.Attribute)
                or node.func.attr not in NOTES
            ):
                continue
            if ast.unparse(node.func.value).endswith("adjustments"):
                field, change, reason = (_words(argument) for argument in node.args)
                yield field, change, reason


def _words(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(value) for value in node.values)
    return "…"


def test_the_page_on_errors_holds_the_table_of_the_code() -> None:
    assert errors_table() in (ROOT / "docs/errors.md").read_text("utf-8")


def test_the_tour_names_every_word_that_the_simulated_upstream_obeys() -> None:
    assert orders_table() in (ROOT / "docs/tour.md").read_text("utf-8")


def balancing_page() -> str:
    return (ROOT / "docs/load-balancing.md").read_text("utf-8")


def test_the_page_on_load_balancing_says_who_is_to_blame_for_what() -> None:
    blamed = {
        Blame.NOBODY: "nobody",
        Blame.KEY: "the key",
        Blame.KEY_AND_MODEL: "the key and the model",
        Blame.KEY_LIMIT: "the limit",
        Blame.KEY_IN_DOUBT: "the key, if a probe says so",
        Blame.WORKSPACE: "the workspace",
        Blame.ORGANIZATION: "the organization",
        Blame.HOST: "the host",
        Blame.SERVICE: "the service",
    }
    section = balancing_page().partition("## Outcomes")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| .* \| `(\w+)` \| (.*?) \| ", section, re.MULTILINE)

    assert dict(rows) == {kind.name.lower(): blamed[rule.blame] for kind, rule in RULES.items() if rule.retry}


def test_the_page_on_load_balancing_draws_every_state_of_a_key() -> None:
    diagram = balancing_page().partition("stateDiagram-v2")[2].partition("```")[0]
    words = " ".join(balancing_page().split())
    order = words.partition("the first of these is told:")[2].partition(".")[0]

    assert set(re.findall(r"(\w+) -->", diagram)) == set(get_args(StateName))
    assert sorted(re.findall(r"`(\w+)`", order)) == sorted(get_args(StateName))


def test_the_page_on_load_balancing_names_every_field_and_strategy() -> None:
    text = balancing_page()
    fields = {field.name for view in VIEWS for field in fields_of(view)}

    assert [name for name in sorted({*fields, *get_args(StrategyName)}) if f"`{name}`" not in text] == []


def test_the_page_on_caching_names_every_total_of_a_client_and_every_setting() -> None:
    text = (ROOT / "docs/caching.md").read_text("utf-8")
    names = [*(field.name for field in fields_of(ClientTotals)), *get_args(Caching)]

    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_limit_of_a_request_is_documented() -> None:
    page = (ROOT / "docs/limits.md").read_text("utf-8")
    rows = dict(re.findall(r"\(`(MAX_\w+)`\) \| ([\d,]+) \|", page))

    assert rows == {name: f"{limit:,}" for name, limit in vars(limits).items() if name.startswith("MAX_")}


def test_every_reason_for_leaving_thinking_out_is_documented() -> None:
    page = (ROOT / "docs/thinking.md").read_text("utf-8")

    assert re.findall(r"`thinking_blocks=dropped:(\w+)`", page) == sorted(get_args(LeftOut))
    assert ", ".join(f"`{why}`" for why in get_args(LeftOut)) in translation_page()


def test_every_built_in_alias_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")

    assert [alias for alias in BUILTIN_ALIASES if f"`{alias}`" not in text] == []


def translation_page() -> str:
    return (ROOT / "docs/translation.md").read_text("utf-8")


@pytest.mark.parametrize("make", [native_table, finish_table, models_table])
def test_the_page_on_translation_holds_the_tables_of_the_code(make: Callable[[], str]) -> None:
    assert make() in translation_page()


def test_every_field_of_a_request_is_on_the_page_on_translation() -> None:
    text = translation_page()
    fields = [name for name in sorted(REQUEST.fields) if name.isidentifier()]

    assert [name for name in sorted(fields) if f"`{name}`" not in text] == []
    assert len(fields) > 40


def test_every_adjustment_that_the_code_makes_is_on_the_page_on_translation() -> None:
    section = translation_page().partition("## Adjustments")[2].partition("\n## ")[0]
    found = list(adjustments_in_the_code())

    assert len(found) > 15
    for field, change, reason in found:
        assert re.search(rf"`{re.escape(field).replace('…', '[a-z_.…]+')}={re.escape(change)}`", section), change
        assert reason == "…" or f"`{reason}`" in section


def test_every_adjustment_of_the_corpus_is_on_the_page_on_translation() -> None:
    section = translation_page().partition("## Adjustments")[2].partition("\n## ")[0]
    for path in sorted((ROOT / "tests/corpus/requests").glob("*/case.json")):
        for note in json.loads(path.read_bytes()).get("adjusted", "").split("; "):
            if "=" in note:
                assert f"`{note.rpartition(':')[2]}`" in section, path.parent.name


def test_the_headers_of_the_gateway_are_on_the_page_on_translation() -> None:
    sources = "".join(
        path.read_text("utf-8") for room in ("gateway", "translators") for path in (ROOT / room).rglob("*.py")
    )
    headers = set(re.findall(r"\bx-gateway-[a-z][a-z-]+\b", sources))

    assert [name for name in sorted(headers) if f"`{name}`" not in translation_page()] == []
    assert len(headers) >= 7


@pytest.mark.parametrize(("page", "code"), EXAMPLES)
async def test_the_examples_run_as_they_are_printed(page: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        run_strict_upstream() as upstream,
        running_gateway(key(upstream.base_url)) as gateway,
    ):
        runnable = code.replace("http://127.0.0.1:8080", gateway.url)
        # The example owns its client, and leaves closing it to the interpreter's end.
        runnable += "\nclient.close()\n"
        assert runnable.count(gateway.url) == 1

        await asyncio.to_thread(exec, compile(runnable, page.name, "exec"), {})

    assert capsys.readouterr().out.strip()


def test_the_map_of_decisions_names_what_there_is() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([^|]+) \| (`[^|]+`) \|$", page.partition("## Where is")[2].partition("## Rooms")[0], re.MULTILINE
    )
    places = [place for _, places in rows for place in re.findall(r"`([^`]+)`", places)]

    assert len(rows) >= 20
    for place in places:
        module, _, name = place.partition(":")
        assert hasattr(importlib.import_module(module), name or "__doc__"), place
