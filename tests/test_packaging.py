"""What is installed: one package, whatever else is installed beside it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages: ours, from the wheel, and one of the names that others have on PyPI."""
    built, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    for name in ("gateway", "translators"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise ImportError('not ours')\n")
    return site


def run(site: Path, *arguments: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "DRAGOMAN_"))}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=site, env={**environ, "PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_brings_one_package(installed: Path) -> None:
    ours = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}

    assert ours - {"gateway", "translators"} == {"dragoman"}
    assert {path.name for path in (installed / "dragoman").iterdir()} >= {"gateway", "translators", "__main__.py"}


def test_the_wheel_brings_the_migrations_of_the_accounts(installed: Path) -> None:
    names = "from gateway.ledger.migrating import migrations; print(*(step.number for step in migrations()))"

    numbers = run(installed, "-c", f"import sys; sys.path.insert(0, 'dragoman'); {names}").split()

    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert numbers


def test_packages_of_others_with_our_names_are_left_alone(installed: Path) -> None:
    where = (
        "import sys; sys.argv = ['dragoman', '--version']; from dragoman.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass\nimport gateway, translators\n"
        "print(gateway.__file__, translators.__file__)"
    )

    version, files = run(installed, "-c", where).splitlines()

    assert version.startswith("dragoman ")
    assert files == " ".join(str(installed / "dragoman" / name / "__init__.py") for name in ("gateway", "translators"))


def test_an_installed_gateway_serves_with_several_workers(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("server: {port: 0, workers: 2}\nkeys: [{name: a, api_key: x, base_url: 'http://127.0.0.1:9'}]\n")
    command = [sys.executable, "-m", "dragoman", "serve", "--config", str(file)]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # The last line of the banner; there is none if a worker could not start.
        is_serving = any("Ctrl-C" in line for line in process.stdout)
        process.terminate()
        process.stdout.read()

    assert is_serving
    assert process.returncode == 0
