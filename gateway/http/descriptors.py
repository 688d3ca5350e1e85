"""File descriptors: as many as the system allows, and how many of them clients may take."""

import contextlib
import sys
from typing import Final

# For what is neither a client nor upstream: the log, the store, secrets that are read again.
_OWN: Final = 64
# macOS says "unlimited" and refuses it.
_MANY: Final = 65_536
_FEWEST_CONNECTIONS: Final = 16
# More is a matter of `server.max_connections`: each may hold a head and the beginning of a body.
_MOST_CONNECTIONS: Final = 16_384


def connections_for(limit: int | None) -> int:
    """How many clients may be connected with so many descriptors: one is kept for each one's request to upstream."""
    if limit is None:
        return _MOST_CONNECTIONS
    return max(_FEWEST_CONNECTIONS, (limit - _OWN) // 2)


def default_connections(limit: int | None) -> int:
    """The same, where nobody has asked for more."""
    return min(_MOST_CONNECTIONS, connections_for(limit))


if sys.platform == "win32":

    def raise_limit() -> None:
        """Nothing limits them here."""

    def limit() -> int | None:
        """How many this process may have open; None is any number."""
        return None

else:
    import resource

    def raise_limit() -> None:
        """Let this process, and those it starts, have as many as the system allows it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for wanted in (hard, _MANY):
            if soft != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or wanted > soft):
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                    return

    def limit() -> int | None:
        """How many this process may have open; None is any number."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return None if soft == resource.RLIM_INFINITY else soft
