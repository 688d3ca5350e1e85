"""What differs between two configurations, described without secrets."""

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from gateway.config.settings import Config, KeyConfig

# Settings of the section `server` that a running process cannot change.
_FIXED: Final = ("host", "port", "workers")


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
    ours = {name: getattr(running.server, name) for name in _FIXED}
    kept = tuple(f"server.{name}" for name, value in ours.items() if getattr(wanted.server, name) != value)
    return replace(wanted, server=replace(wanted.server, **ours)), kept
