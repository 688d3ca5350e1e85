"""What the documentation quotes is real: messages and codes occur in the code, configurations are read."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from gateway.app import Gateway
from gateway.cli.banner import banner
from gateway.config import Config, KeyConfig, load_config
from gateway.demo import ORDERS
from gateway.secret import Secret
from translators.errors import RULES

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TROUBLESHOOTING: Final = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
# Stands for what is put into a message, in the code as on the page.
GAP: Final = "\0"


def blocks(page: str, language: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def quoted_messages() -> list[str]:
    """Every line of the page that is said to be the gateway's."""
    return [line for block in blocks(TROUBLESHOOTING, "text") for line in block.splitlines()]


@cache
def texts_of_the_code() -> tuple[str, ...]:
    """Every text in the code, with a gap where a value is put in."""
    sources = [path for room in ("gateway", "translators") for path in sorted((ROOT / room).rglob("*.py"))]
    return tuple(text for path in sources for text in _texts(ast.parse(path.read_text("utf-8"))))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A gap of `str.format`.
            yield re.sub(r"\{\w*\}", GAP, node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
            yield re.sub(f"{GAP}+", GAP, "".join(map(str, parts)))


def occurs(message: str) -> bool:
    """Whether the code has this message: as a part with the same gaps, or whole with these values in its gaps."""
    with_gaps = re.sub(r"<\w+>", GAP, message)
    return any(
        with_gaps in text or (GAP in text and len(text) > 20 and re.fullmatch(_pattern(text), message))
        for text in texts_of_the_code()
    )


def _pattern(text: str) -> str:
    return ".+".join(re.escape(part) for part in text.split(GAP))


@pytest.mark.parametrize("message", quoted_messages())
def test_every_message_that_the_page_quotes_is_in_the_code(message: str) -> None:
    assert occurs(message)


@pytest.mark.parametrize(
    "message", ["Cannot listen to 127.0.0.1:8080: address already in use.", "Unknown URL: <path>."]
)
def test_a_message_that_nobody_writes_would_be_noticed(message: str) -> None:
    assert not occurs(message)


def test_every_error_code_that_the_page_explains_is_in_the_table() -> None:
    explained = re.findall(r"^\| `(\w+)` \((\d+)\) \|", TROUBLESHOOTING, re.MULTILINE)

    assert len(explained) >= 7
    assert set(explained) <= {(rule.code, str(rule.status)) for rule in RULES.values()}


def configurations() -> list[object]:
    """The parts of configuration files that pages print, recognised by their first line."""
    return [
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page.read_text("utf-8"), "yaml"))
        if block.startswith("# dragoman.yaml")
    ]


@pytest.mark.parametrize("text", configurations())
def test_the_gateway_reads_every_configuration_that_a_page_prints(text: str, tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text(text, "utf-8")
    names = re.findall(r"\$\{(\w+)\}|env: (\w+)", text)
    environ = {first or second: f"sk-of-enough-characters-{first or second}" for first, second in names}

    load_config(str(file), {"ANTHROPIC_API_KEY": "sk-ant-test", **environ})


def figures(text: str) -> set[str]:
    """Every number with a unit of time or memory."""
    return set(re.findall(r"\b\d[\d.]* (?:µs|ms|s|KB|MB)\b", text))


def test_figures_beside_other_products_are_those_that_were_measured() -> None:
    measured = figures((ROOT / "docs/performance.md").read_text("utf-8"))
    compared = figures((ROOT / "docs/comparison.md").read_text("utf-8"))
    first_screen = figures((ROOT / "README.md").read_text("utf-8").partition("\n## ")[0])

    assert len(compared) > 15
    assert len(first_screen) == 6
    assert compared | first_screen <= measured


async def test_the_readme_shows_what_the_gateway_prints() -> None:
    shown = blocks((ROOT / "README.md").read_text("utf-8"), "text")[0]
    keys = (KeyConfig(name="default", api_key=Secret("sk-ant-test")),)
    with pytest.MonkeyPatch.context() as patch:
        # As after `make run`, which installs no extras.
        patch.setattr("gateway.config.extras.find_spec", lambda _: None)
        gateway = Gateway(Config(keys=keys), callers_base_url="https://api.anthropic.com")
        printed = banner(gateway, "http://127.0.0.1:8080", version("dragoman"))

    assert shown == f"{printed}\n"


def test_the_tour_shows_what_the_demo_prints() -> None:
    shown = blocks((ROOT / "docs/tour.md").read_text("utf-8"), "text")[0]

    assert f"\n  {' '.join(ORDERS)}\n" in shown
    assert f"\nDragoman {version('dragoman')} listens on http://127.0.0.1:8080/v1\n" in shown


def anchors(page: Path) -> set[str]:
    """Where links into a page can lead: its headings, as Git hosts spell them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_into_a_page_leads_to_a_heading() -> None:
    for page in PAGES:
        for name, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text("utf-8")):
            target = page.parent / name if name else page
            assert anchor in anchors(target), f"{page.name}: {name}#{anchor}"
