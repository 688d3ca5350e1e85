"""Building a configuration from a file and the environment, and checking the rules between settings."""

import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import inspect
from msgspec.structs import replace

from gateway.config.alerts import check_alerts
from gateway.config.checks import as_base_url
from gateway.config.document import Tree, parse
from gateway.config.environment import set_but_empty, with_environment
from gateway.config.exposure import ALLOW_HTTP_VARIABLE, check_guessable, check_overhearing, is_open_to_all
from gateway.config.mistakes import WRONG, ConfigError, Mistake, Mistakes, Wrong, path_to
from gateway.config.models import check_prices
from gateway.config.reading import Reader
from gateway.config.rules import check_rules
from gateway.config.settings import DEFAULT_BASE_URL, AdminConfig, ClientConfig, Config, KeyConfig
from gateway.config.sources import SecretReader, Source, UnreadSecrets, secret_of
from gateway.config.stamps import Stamps, stamp_of, stamps_of
from gateway.config.storing import check_store, with_absolute_paths
from gateway.config.tls import TlsConfig, TlsFileError, load_certificate
from gateway.config.variables import Text
from gateway.secret import Secret

USUAL_FILES: Final = ("dragoman.yaml", "config.yaml")

_ADMIN_VARIABLE: Final = "DRAGOMAN_ADMIN_KEY"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and its origins: its file, if any, all files that were read, and the sources of keys.

    `key_sources` has the keys whose secret is neither in the file itself nor in the environment.
    `notices` are warnings: settings that are valid but probably not intended.
    """

    config: Config
    key_sources: Mapping[str, Source]
    files: Stamps
    path: str | None = None
    notices: tuple[str, ...] = ()


def config_path(path: str | None, environ: Mapping[str, str]) -> str | None:
    """The configuration file: `path`, `DRAGOMAN_CONFIG`, or a file with a usual name in the working directory."""
    given = path or environ.get("DRAGOMAN_CONFIG")
    return given or next((name for name in USUAL_FILES if os.path.isfile(name)), None)


def load_config(path: str | None, environ: Mapping[str, str]) -> Config:
    """Load the file that `config_path` finds, or the environment alone.

    Raises `ConfigError` with all mistakes.
    """
    return load(path, environ).config


def load(path: str | None, environ: Mapping[str, str], *, host: str | None = None) -> Loaded:
    """The same, with its origins; `host` overrides the file's address to listen on."""
    path = config_path(path, environ)
    files = {os.path.abspath(path): stamp_of(path)} if path else {}
    mistakes = Mistakes(source=path or "environment")
    tree = with_environment(_tree_of(Path(path), environ, mistakes) if path else None, environ, mistakes)
    secrets = SecretReader(environ, Path(path or "").parent, mistakes)
    config = _config_of(tree, secrets, environ, host, mistakes)
    if isinstance(config, Config):
        files |= _check_tls(config.server.tls, mistakes)
    files |= secrets.files
    mistakes.raise_any(files)
    assert isinstance(config, Config)  # anything `WRONG` has been raised
    names = {f"keys[{index}].api_key": key.name for index, key in enumerate(config.keys)}
    key_sources = {names[place]: source for place, source in secrets.sources.items() if place in names}
    return Loaded(config, key_sources, files, path, set_but_empty(config, environ))


def check_draft(text: str, environ: Mapping[str, str]) -> tuple[Mistake, ...]:
    """The mistakes of a text that may become the configuration file; no file is read for it, and no program started."""
    mistakes = Mistakes(source="the draft")
    tree = with_environment(parse(text, environ, mistakes), environ, mistakes)
    _config_of(tree, UnreadSecrets(environ, Path(), mistakes), environ, None, mistakes)
    try:
        mistakes.raise_any({})
    except ConfigError as error:
        return error.mistakes
    return ()


def _config_of(
    tree: Tree, secrets: SecretReader, environ: Mapping[str, str], host: str | None, mistakes: Mistakes
) -> Config | Wrong:
    """The configuration in a tree, with the rules between settings checked; only of use if there are no mistakes."""
    config: Config | Wrong = Reader(mistakes, secrets.read).read(inspect.type_info(Config), tree, "")
    if not isinstance(config, Config):
        return config
    admin_path = _ADMIN_VARIABLE if config.admin.api_key is None else "admin.api_key"
    config = _completed(config, tree, environ, mistakes)
    config = with_absolute_paths(config, secrets.folder)
    _check_unique("keys", "name", config.keys, mistakes)
    _check_unique("clients", "name", config.clients, mistakes)
    _check_unique("clients", "api_key", config.clients, mistakes)
    _check_admin(config, mistakes)
    check_guessable(config, host or config.server.host, admin_path, mistakes)
    check_rules(config.rules, mistakes)
    _check_fallbacks(config.models.fallbacks, mistakes)
    check_prices(config.models.prices, mistakes)
    check_store(config.store, mistakes)
    check_alerts(config.alerts, mistakes)
    return config


def environment_base_url(environ: Mapping[str, str]) -> str:
    """The base URL for keys that are not from the file; `load_config` has checked the variable."""
    return as_base_url(environ.get("ANTHROPIC_BASE_URL") or DEFAULT_BASE_URL)


def _tree_of(path: Path, environ: Mapping[str, str], mistakes: Mistakes) -> Tree:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        return mistakes.add("", f"cannot be read: not UTF-8 at byte {error.start}")
    except (OSError, ValueError) as error:
        return mistakes.add("", f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}")
    return parse(text, environ, mistakes)


def _completed(config: Config, tree: Tree, environ: Mapping[str, str], mistakes: Mistakes) -> Config:
    """The configuration, with keys from the environment where the file has none."""
    config = replace(config, admin=_admin(config.admin, environ, mistakes))
    url = DEFAULT_BASE_URL
    try:
        url = environment_base_url(environ)
    except ValueError as problem:
        mistakes.add("ANTHROPIC_BASE_URL", str(problem))
    if isinstance(tree, dict) and tree.get(Text("keys")) is not None:
        check_overhearing(config, mistakes)
        return config
    if is_open_to_all(url) and environ.get(ALLOW_HTTP_VARIABLE) != "1":
        mistakes.add(
            "ANTHROPIC_BASE_URL",
            "http:// to another machine would send the key where others can read it: use https://, "
            f"or set {ALLOW_HTTP_VARIABLE}=1",
        )
    variable, texts = _environment_key_texts(environ)
    if config.clients and not texts:
        mistakes.add("clients", "there is no Anthropic key for them to use: add keys, or set ANTHROPIC_API_KEY")
    return replace(config, keys=_environment_keys(variable, texts, url, mistakes))


def _admin(admin: AdminConfig, environ: Mapping[str, str], mistakes: Mistakes) -> AdminConfig:
    text = environ.get(_ADMIN_VARIABLE, "")
    if admin.api_key is not None or not text.strip():
        return admin
    try:
        return replace(admin, api_key=secret_of(text))
    except ValueError as problem:
        mistakes.add(_ADMIN_VARIABLE, str(problem))
        return admin


def _environment_key_texts(environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """The variable with the environment's keys, and its keys."""
    several = [text for text in environ.get("ANTHROPIC_API_KEYS", "").split(",") if text.strip()]
    if several:
        return "ANTHROPIC_API_KEYS", several
    one = environ.get("ANTHROPIC_API_KEY", "").strip()
    return "ANTHROPIC_API_KEY", [one] if one else []


def _environment_keys(variable: str, texts: list[str], url: str, mistakes: Mistakes) -> tuple[KeyConfig, ...]:
    names = [f"key-{number}" for number in range(1, len(texts) + 1)] if len(texts) > 1 else ["default"]
    keys = []
    for name, text in zip(names, texts, strict=False):
        try:
            keys.append(KeyConfig(name=name, api_key=secret_of(text), base_url=url, allow_http=is_open_to_all(url)))
        except ValueError as problem:
            mistakes.add(variable, f"{name}: {problem}")
    return tuple(keys)


def _check_unique(
    section: str, field: str, entries: tuple[KeyConfig, ...] | tuple[ClientConfig, ...], mistakes: Mistakes
) -> None:
    """Report entries of a section that repeat an earlier name or key."""
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        value = getattr(entry, field, WRONG)  # an entry, or its field, can be `WRONG`
        if value is WRONG:
            continue
        earlier = first.setdefault(value.reveal() if isinstance(value, Secret) else value, index)
        if earlier != index:
            mistakes.add(f"{section}[{index}].{field}", f"the same as {section}[{earlier}].{field}; each needs its own")


def _check_admin(config: Config, mistakes: Mistakes) -> None:
    """Report an operator's key that is also a client's, or an admin key that is also a viewer's."""
    admin = config.admin
    keys = {"admin.api_key": admin.api_key, "admin.viewer_key": admin.viewer_key}
    for name, key in {**keys, "metrics.api_key": config.metrics.api_key}.items():
        for index, client in enumerate(config.clients):
            # A client, or its key, can be `WRONG`.
            if isinstance(key, Secret) and getattr(client, "api_key", WRONG) == key:
                whose = name.partition(".")[0]
                mistakes.add(name, f"the same as clients[{index}].api_key; the {whose} key must not be a client's")
    if isinstance(admin.viewer_key, Secret) and admin.viewer_key == admin.api_key:
        mistakes.add("admin.viewer_key", "the same as admin.api_key; whoever may only read needs another key")


def _check_tls(tls: TlsConfig | None, mistakes: Mistakes) -> Stamps:
    """Report files that cannot be used; returns the stamps of all."""
    # A setting with a mistake is `WRONG`.
    if tls is None or not isinstance(tls.certificate, str):
        return {}
    # Before reading, so that a write in between counts as a change.
    stamps = stamps_of(dict.fromkeys(tls.files))
    try:
        load_certificate(tls)
    except TlsFileError as error:
        mistakes.add(f"server.tls.{error.setting}", str(error))
    return stamps


def _check_fallbacks(fallbacks: Mapping[str, tuple[str, ...]], mistakes: Mistakes) -> None:
    """Report fallbacks that lead back to their own model, directly or through others."""
    for model, others in fallbacks.items():
        for index, other in enumerate(others if isinstance(others, tuple) else ()):
            if isinstance(other, str) and model in _reachable(other, fallbacks):
                why = "a model cannot stand in for itself" if other == model else f"its fallbacks lead back to {model}"
                mistakes.add(f"{path_to('models.fallbacks', str(model))}[{index}]", why)


def _reachable(model: str, fallbacks: Mapping[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    to_visit = [model]
    while to_visit:
        if (visited := to_visit.pop()) not in found:
            found.add(visited)
            others = fallbacks.get(visited, ())
            to_visit += others if isinstance(others, tuple) else ()
    return found
