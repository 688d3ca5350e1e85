"""Optional packages that some settings need."""

from importlib.util import find_spec
from typing import Final

# By kind of store. The packages have the same names as their modules.
_PACKAGES: Final = {"sqlite": ("cryptography",), "valkey": ("redis", "cryptography")}


def missing_extra(kind: str) -> str | None:
    """The command that installs the missing packages of a kind of store, or None."""
    missing = [package for package in _PACKAGES.get(kind, ()) if find_spec(package) is None]
    # Not `dragoman[store]`: the gateway is on no package index, where another project has that name.
    return f"pip install {' '.join(missing)}" if missing else None
