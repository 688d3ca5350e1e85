"""The systems that are measured: what starts them, how they are called, which version they are."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.load.client import Access
from benchmarks.load.histories import Dialect
from benchmarks.load.traffic import MODEL

ROOT: Final = Path(__file__).resolve().parents[2]
UPSTREAM_KEY: Final = "sk-ant-benchmark"
CLIENT_KEY: Final = "benchmark-client-key"


@dataclass(frozen=True, slots=True)
class System:
    """A system under test: the command that starts it, or the reason why there is none.

    Without a command but with an access it is the upstream itself, called without anything between.
    `port_pattern` finds the port in what a system says, where it does not let us choose.
    """

    name: str
    version: str = ""
    access: Access | None = None
    command: Sequence[str | Path] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    missing: str = ""
    port_pattern: str = ""


def direct(upstream_port: int) -> System:
    """No gateway at all: what the upstream and the load generator cost by themselves."""
    return System("direct", access=_messages_access(upstream_port))


def dragoman(
    upstream_port: int,
    work: Path,
    settings: Mapping[str, Any],
    *,
    name: str = "dragoman",
    root: Path = ROOT,
    dialect: Dialect = "chat",
) -> System:
    """The gateway of a source tree, with the settings that an operator has by default, a client key and these."""
    port = free_port()
    config: dict[str, Any] = {
        "server": {"port": port},
        "keys": [{"name": "main", "api_key": UPSTREAM_KEY, "base_url": f"http://127.0.0.1:{upstream_port}"}],
        "clients": [{"name": "benchmark", "api_key": CLIENT_KEY}],
    }
    for path, value in settings.items():
        _set(config, path.split("."), value)
    file = work / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    path = "/v1/responses" if dialect == "responses" else "/v1/chat/completions"
    access = Access(port, dialect, path, "gpt-5", {"authorization": f"Bearer {CLIENT_KEY}"})
    command = (sys.executable, "-m", "gateway", "serve", "--config", file)
    environ = {"PYTHONPATH": str(root), "XDG_STATE_HOME": str(work / f"{name}-state")}
    return System(name, _commit(root), access, command, environ, root)


def nginx(upstream_port: int, work: Path) -> System:
    """nginx, passing bytes through in both directions: one worker, nothing logged, nothing buffered on disk."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        return System("nginx", missing="no nginx on this machine")
    port = free_port()
    file = work / "nginx.conf"
    file.write_text(_NGINX.format(work=work, port=port, upstream_port=upstream_port), "utf-8")
    said = subprocess.run([found, "-v"], capture_output=True, text=True, check=True).stderr
    command = (found, "-p", work, "-c", file)
    return System("nginx", said.strip().rpartition("/")[2], _messages_access(port), command)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Settings written as `section.name=value`, the value in YAML; raises `ValueError`."""
    settings = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise ValueError(f"expected section.name=value, not {text!r}")
        settings[path] = yaml.safe_load(value)
    return settings


_NGINX: Final = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {work}/nginx.pid;
error_log {work}/nginx-error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {work}/nginx-body;
  proxy_temp_path {work}/nginx-proxy;
  fastcgi_temp_path {work}/nginx-fastcgi;
  uwsgi_temp_path {work}/nginx-uwsgi;
  scgi_temp_path {work}/nginx-scgi;
  client_body_buffer_size 32m;
  client_max_body_size 64m;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  upstream simulated {{
    server 127.0.0.1:{upstream_port};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://simulated;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


def _messages_access(port: int) -> Access:
    headers = {"x-api-key": UPSTREAM_KEY, "anthropic-version": "2023-06-01"}
    return Access(port, "messages", "/v1/messages", MODEL, headers)


def _set(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _commit(root: Path) -> str:
    """The source tree's commit, with a plus sign where it has been changed since."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "?"


def installed_version(package: Path) -> str:
    """The version in a package.json."""
    return str(json.loads((package / "package.json").read_text("utf-8"))["version"])


def environment(system: System) -> dict[str, str]:
    """The environment for a system: ours, without keys of the real world."""
    kept = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    return {**kept, **system.environ}
