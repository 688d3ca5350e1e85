"""Other gateways, where they are installed: into a virtual environment and a folder that git does not see."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from benchmarks.load.client import Access
from benchmarks.load.targets import ROOT, UPSTREAM_KEY, System, free_port, installed_version
from benchmarks.load.traffic import MODEL

VENV: Final = ROOT / ".venv-peers"
NODE: Final = ROOT / ".peers"
_PIP: Final = ("litellm[proxy]", "ferrogw", "tensorzero")
# With later releases of its server adapter, Portkey does not answer as it should.
_NPM: Final = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "*", "@hono/node-server": "1.13.5"},
    "overrides": {"@hono/node-server": "1.13.5"},
}
_ABSENT: Final = "not installed (make bench-peers)"
_PEER_KEY: Final = "sk-benchmark"
# Its table of models decides which provider a name goes to, and does not know the newest.
_FERRO_MODEL: Final = "claude-3-5-sonnet-20241022"
_PATH: Final = "/v1/chat/completions"


def install() -> None:
    """Install what can be had; what cannot is said and left out."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    for package in _PIP:
        _try(package, [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package])
    if npm := shutil.which("npm"):
        NODE.mkdir(exist_ok=True)
        (NODE / "package.json").write_text(json.dumps(_NPM), "utf-8")
        _try("@portkey-ai/gateway", [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", NODE])


def _try(what: str, command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    print(f"{what}: {'installed' if done.returncode == 0 else 'not installed'}", flush=True)


def peers(upstream_port: int, work: Path) -> list[System]:
    """Every peer, those that are not installed too, with the reason."""
    return [make(upstream_port, work) for make in (litellm, portkey, ferro, tensorzero)]


def litellm(upstream_port: int, work: Path) -> System:
    """LiteLLM's proxy, one worker, quiet, as its documentation configures it for production."""
    command = VENV / "bin" / "litellm"
    if not command.exists():
        return System("litellm", missing=_ABSENT)
    port, file = free_port(), work / "litellm.yaml"
    parameters = {"model": f"anthropic/{MODEL}", "api_base": _base(upstream_port), "api_key": UPSTREAM_KEY}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
        "litellm_settings": {"set_verbose": False, "telemetry": False, "drop_params": True},
        "general_settings": {"master_key": _PEER_KEY},
    }
    file.write_text(yaml.safe_dump(config), "utf-8")
    return System(
        "litellm",
        _pip_version("litellm"),
        Access(port, "chat", _PATH, MODEL, {"authorization": f"Bearer {_PEER_KEY}"}),
        (command, "--config", file, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"},
    )


def portkey(upstream_port: int, work: Path) -> System:
    """Portkey's gateway on Node."""
    package = NODE / "node_modules" / "@portkey-ai" / "gateway"
    node = shutil.which("node")
    if node is None or not package.exists():
        return System("portkey", missing=_ABSENT if node else "no Node.js on this machine")
    port = free_port()
    headers = {
        "x-portkey-provider": "anthropic",
        "x-portkey-custom-host": f"{_base(upstream_port)}/v1",
        "authorization": f"Bearer {UPSTREAM_KEY}",
    }
    return System(
        "portkey",
        installed_version(package),
        Access(port, "chat", _PATH, MODEL, headers),
        (node, package / "build" / "start-server.js", "--headless", f"--port={port}"),
        {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        work,
    )


def ferro(upstream_port: int, work: Path) -> System:
    """Ferro Labs' gateway, a Go binary in a wheel; its rate limit out of the way."""
    command = VENV / "bin" / "ferrogw"
    if not command.exists():
        return System("ferro", missing=_ABSENT)
    port, file = free_port(), work / "ferro.yaml"
    file.write_text(
        yaml.safe_dump({"strategy": {"mode": "single"}, "targets": [{"virtual_key": "anthropic"}]}), "utf-8"
    )
    environ = {
        "GATEWAY_CONFIG": str(file),
        "PORT": str(port),
        "MASTER_KEY": _PEER_KEY,
        "ANTHROPIC_API_KEY": UPSTREAM_KEY,
        "ANTHROPIC_BASE_URL": _base(upstream_port),
        "RATE_LIMIT_RPS": "1000000",
        "RATE_LIMIT_BURST": "1000000",
        "LOG_LEVEL": "warn",
    }
    access = Access(port, "chat", _PATH, _FERRO_MODEL, {"authorization": f"Bearer {_PEER_KEY}"})
    return System("ferro", _pip_version("ferrogw"), access, (command, "serve"), environ, work)


def tensorzero(upstream_port: int, work: Path) -> System:
    """TensorZero's gateway as its Python package carries it: the same server, started inside of a Python process."""
    version = _pip_version("tensorzero")
    if version == "?":
        return System("tensorzero", missing=_ABSENT)
    file, script = work / "tensorzero.toml", work / "tensorzero_gateway.py"
    file.write_text(_TENSORZERO_CONFIG.format(base=_base(upstream_port), model=MODEL), "utf-8")
    script.write_text(_TENSORZERO_SCRIPT, "utf-8")
    return System(
        "tensorzero",
        version,
        Access(0, "chat", "/openai/v1/chat/completions", "tensorzero::model_name::claude"),
        (VENV / "bin" / "python", "-u", script, file),
        {"ANTHROPIC_API_KEY": UPSTREAM_KEY},
        work,
        port_pattern=r"^http://[\w.]+:(\d+)/openai",
    )


_TENSORZERO_CONFIG: Final = """\
[models.claude]
routing = ["anthropic"]
[models.claude.providers.anthropic]
type = "anthropic"
model_name = "{model}"
api_base = "{base}/v1"
api_key_location = "env::ANTHROPIC_API_KEY"
"""
_TENSORZERO_SCRIPT: Final = """\
import signal, sys
from tensorzero.tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url)
signal.pause()
"""


def _base(upstream_port: int) -> str:
    return f"http://127.0.0.1:{upstream_port}"


def _pip_version(package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    said = subprocess.run([VENV / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
    return said.stdout.strip() or "?"
