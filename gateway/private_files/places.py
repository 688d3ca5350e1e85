"""Where files are if the configuration does not say."""

import os.path
from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path


def state_folder(environ: Mapping[str, str] = _environ) -> Path:
    """The folder for what programs keep, by the XDG base directory specification."""
    folder = environ.get("XDG_STATE_HOME", "")
    # The specification says to ignore relative paths.
    state = folder if os.path.isabs(folder) else os.path.expanduser("~/.local/state")
    return Path(state, "dragoman")
