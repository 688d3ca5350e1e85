"""Settings from the environment, for a gateway without a file; the file takes precedence."""

from collections.abc import Mapping
from typing import Final

from gateway.config.document import Tree
from gateway.config.mistakes import Mistakes
from gateway.config.settings import Config
from gateway.config.variables import Text

HOST_VARIABLE: Final = "DRAGOMAN_HOST"
PORT_VARIABLE: Final = "DRAGOMAN_PORT"
CLIENTS_VARIABLE: Final = "DRAGOMAN_CLIENT_KEYS"

_SERVER: Final = {"host": HOST_VARIABLE, "port": PORT_VARIABLE}
_SERVER_PATH: Final = Text("server")
_CLIENTS_PATH: Final = Text("clients")


def with_environment(tree: Tree, environ: Mapping[str, str], mistakes: Mistakes) -> Tree:
    """The file's tree, completed from the environment; mistakes name the variables."""
    if not (tree is None or isinstance(tree, dict)):
        return tree
    completed = dict(tree or {})
    server = completed.get(_SERVER_PATH)
    if server is None or isinstance(server, dict):
        said = _server(server or {}, environ, mistakes)
        completed |= {_SERVER_PATH: {**(server or {}), **said}} if said else {}
    clients = _clients(environ) if completed.get(_CLIENTS_PATH) is None else []
    if clients:
        mistakes.variables[_CLIENTS_PATH] = CLIENTS_VARIABLE
        completed[_CLIENTS_PATH] = clients
    return completed or tree


def set_but_empty(config: Config, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Warnings about variables that are set but empty, if nothing else provides their setting.

    Usually the variable was made from another one, which is not set where the gateway is started.
    """
    lacks = {
        "ANTHROPIC_API_KEY": not config.keys,
        "ANTHROPIC_API_KEYS": not config.keys,
        CLIENTS_VARIABLE: not config.clients,
        "DRAGOMAN_ADMIN_KEY": config.admin.api_key is None,
    }
    return tuple(
        f"{name} is set but empty, which means the same as not set"
        for name, is_lacking in lacks.items()
        if is_lacking and name in environ and not environ[name].strip()
    )


def _server(server: dict[Text, Tree], environ: Mapping[str, str], mistakes: Mistakes) -> dict[Text, Tree]:
    said: dict[Text, Tree] = {}
    for name, variable in _SERVER.items():
        text = environ.get(variable, "").strip()
        if text and server.get(Text(name)) is None:
            mistakes.variables[f"{_SERVER_PATH}.{name}"] = variable
            said[Text(name)] = Text(text, (variable,))
    return said


def _clients(environ: Mapping[str, str]) -> list[Tree]:
    """Parse `name:key,name:key`; clients without a name are numbered."""
    entries = [entry.strip() for entry in environ.get(CLIENTS_VARIABLE, "").split(",") if entry.strip()]
    return [_client(number, entry) for number, entry in enumerate(entries, 1)]


def _client(number: int, entry: str) -> Tree:
    name, colon, key = entry.partition(":")
    if not colon:
        name, key = f"client-{number}", entry
    return {
        Text("name"): Text(name.strip(), (CLIENTS_VARIABLE,)),
        Text("api_key"): Text(key.strip(), (CLIENTS_VARIABLE,)),
    }
