"""What a release is made of: the lock follows pyproject.toml, and the list of licences follows the lock."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("store", "valkey", "otel")


def locked() -> dict[str, tuple[str, str]]:
    """Each package of the lock: its version, and all that stands below it."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text("utf-8"), flags=re.MULTILINE)[1:]
    requirements = {entry: Requirement(entry.partition("\\")[0]) for entry in entries}
    return {
        canonicalize_name(found.name): (str(found.specifier).removeprefix("=="), entry)
        for entry, found in requirements.items()
    }


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (project["optional-dependencies"][extra] for extra in EXTRAS)
    return [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_holds_what_the_project_asks_for(requirement: Requirement) -> None:
    version, _ = locked()[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(version), "make lock"


def test_every_entry_of_the_lock_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text("utf-8")

    assert [name for name, (_, entry) in locked().items() if "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)
    assert "@" not in text


def test_the_list_of_licences_names_every_package_of_the_lock_in_its_version() -> None:
    rows = re.findall(
        r"^\| (\S+) +\| (\S+) +\| (.+?) +\|$", (ROOT / "docs/licences.md").read_text("utf-8"), re.MULTILINE
    )
    listed = {canonicalize_name(name): version for name, version, _ in rows[1:]}

    assert listed == {name: version for name, (version, _) in locked().items()}, "make licences"
    assert "UNKNOWN" not in {licence for _, _, licence in rows}
