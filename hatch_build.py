"""How the wheel is put together; used by hatchling alone, never at run time."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class OnePackage(BuildHookInterface[Any]):
    """Puts the packages of a checkout into the one that is installed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build; `version` is "standard" or "editable"."""
        if version == "standard":
            build_data["force_include"] |= {name: f"dragoman/{name}" for name in ("gateway", "translators")}
