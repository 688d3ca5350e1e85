"""What differs between two configurations, described without secrets."""

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from gateway.config.settings import Config, KeyConfig

# Settings that a running process cannot change, by their section.
_FIXED: Final = {
    "server": ("host", "port", "workers"),
    "accounts": ("kind", "path", "secret"),
    "metrics": ("host", "port"),
}


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of keys (`renewed`: with another secret or host), and the sections that differ."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sections)

    def as_fields(self) -> dict[str, str | None]:
        """As fields of a log line."""
        named = {
            "sections": self.sections,
            "keys_added": self.added,
            "keys_removed": self.removed,
            "keys_renewed": self.renewed,
        }
        return {name: ",".join(names) or None for name, names in named.items()}


def changes_between(old: Config, new: Config) -> Changes:
    """Compare two configurations."""
    before = {key.name: key for key in old.keys}
    after = {key.name: key for key in new.keys}
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        renewed=tuple(name for name, key in after.items() if name in before and _is_renewed(before[name], key)),
        sections=tuple(name for name in Config.__struct_fields__ if getattr(old, name) != getattr(new, name)),
    )


def _is_renewed(old: KeyConfig, new: KeyConfig) -> bool:
    return (old.api_key, old.base_url) != (new.api_key, new.base_url)


def keep_fixed(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """The wanted configuration with the settings that a running process cannot change kept, and the paths of these."""
    kept: list[str] = []
    if (running.server.tls is None) != (wanted.server.tls is None):
        kept.append("server.tls")
        wanted = replace(wanted, server=replace(wanted.server, tls=running.server.tls))
    sections: dict[str, object] = {}
    for section, names in _FIXED.items():
        asked, ours = getattr(wanted, section), {name: getattr(getattr(running, section), name) for name in names}
        kept += [f"{section}.{name}" for name, value in ours.items() if getattr(asked, name) != value]
        sections[section] = replace(asked, **ours)
    return replace(wanted, **sections), tuple(kept)
