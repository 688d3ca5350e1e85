"""Who types a command, for the audit."""

import getpass
import os


def actor() -> str:
    """The system's user, and not a name that the environment gives."""
    if hasattr(os, "getuid"):
        import pwd

        try:
            return f"{pwd.getpwuid(os.getuid()).pw_name} on the command line"
        except KeyError:
            return f"uid {os.getuid()} on the command line"
    return f"{getpass.getuser()} on the command line"
