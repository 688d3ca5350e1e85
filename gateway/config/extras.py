"""What has to be installed for some settings, and how."""

from importlib.util import find_spec
from typing import Final

# By kind of store; packages of the same names as the modules that they bring.
_PACKAGES: Final = {"sqlite": ("cryptography",), "valkey": ("redis", "cryptography")}


def missing_extra(kind: str) -> str | None:
    """The command that installs what a kind of store needs, if anything of it is missing."""
    missing = [package for package in _PACKAGES.get(kind, ()) if find_spec(package) is None]
    # Not our own name with an extra: we are on no package index, and somebody else may be.
    return f"pip install {' '.join(missing)}" if missing else None
