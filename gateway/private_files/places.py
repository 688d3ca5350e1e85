"""Where files are if the configuration does not say."""

import os.path
from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path


def state_folder(environ: Mapping[str, str] = _environ) -> Path:
    """The folder for what programs keep, by the XDG base directory specification."""
    folder = environ.get("XDG_STATE_HOME", "")
    # The specification says to ignore relative paths.
    if not os.path.isabs(folder):
        home = os.path.expanduser("~")
        # In a container nobody may know the user's home. Most then name the root, and no folder is called "~".
        folder = os.path.join(home if os.path.isabs(home) else "/", ".local/state")
    return Path(folder, "dragoman")
