"""The documentation says what the code does: tables are compared, examples are run."""

import asyncio
import re
from pathlib import Path

import pytest

from gateway.demo import ORDERS, run_simulated_upstream
from gateway.proxy.routing import BUILTIN_ALIASES
from tests.support.gateway import key, running_gateway
from translators.errors import RULES, Rule

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [
    pytest.param(page, code, id=f"{page.name}-{number}")
    for page in PAGES
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


def test_the_page_on_errors_holds_the_table_of_the_code() -> None:
    assert errors_table() in (ROOT / "docs/errors.md").read_text("utf-8")


def test_the_tour_names_every_word_that_the_simulated_upstream_obeys() -> None:
    assert orders_table() in (ROOT / "docs/tour.md").read_text("utf-8")


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_built_in_alias_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")

    assert [alias for alias in BUILTIN_ALIASES if f"`{alias}`" not in text] == []


@pytest.mark.parametrize(("page", "code"), EXAMPLES)
async def test_the_examples_run_as_they_are_printed(page: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        run_simulated_upstream(pace_seconds=0) as upstream,
        running_gateway(key(upstream.base_url)) as gateway,
    ):
        runnable = code.replace("http://127.0.0.1:8080", gateway.url)
        # The example owns its client, and leaves closing it to the interpreter's end.
        runnable += "\nclient.close()\n"
        assert runnable.count(gateway.url) == 1

        await asyncio.to_thread(exec, compile(runnable, page.name, "exec"), {})

    assert capsys.readouterr().out.strip()
