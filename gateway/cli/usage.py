"""The command as it was typed, and what is wrong with it."""

import shutil
import sys
from pathlib import Path


class UsageError(Exception):
    """The command cannot be carried out; the text is for the operator."""


def typed_command() -> str:
    """The command as the user can type it again."""
    given = Path(sys.argv[0])
    if given.name != "dragoman":
        # Started as a module, which has its folder's name.
        return f"python -m {given.parent.name}" if given.name == "__main__.py" else "dragoman"
    found = shutil.which("dragoman")
    if found is not None and Path(found).resolve() == given.resolve():
        return "dragoman"
    try:
        return str(given.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(given)
