"""Consistent hashing: the home of a prefix, and the order of workspaces that take over from it.

Rendezvous hashing would compute a hash for every workspace. The ring gives an order that is just as stable when
workspaces come and go, and finds it with one search.
"""

import zlib
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from gateway.keypool.domains import Workspace

# More points per workspace make the shares more even: with 64, most are within an eighth of their target.
_POINTS: Final = 64
_FEWEST_POINTS, _MOST_POINTS = 4, 1024


class Ring:
    """Workspaces at many points of a circle; the number of points follows the capacity."""

    def __init__(self) -> None:
        self._points: list[tuple[int, str]] = []
        self._own_points: dict[str, list[int]] = {}
        self._capacities: dict[str, float] = {}
        self._workspaces: dict[str, Workspace] = {}
        # The total capacity of all workspaces.
        self.capacity = 0.0

    def __len__(self) -> int:
        return len(self._workspaces)

    @property
    def workspaces(self) -> Iterable[Workspace]:
        return self._workspaces.values()

    def put(self, workspace: Workspace) -> None:
        """Add a workspace, or update its capacity; one without keys is removed."""
        name, capacity = workspace.name, workspace.capacity
        if workspace.weight and self._capacities.get(name) == capacity:
            self._workspaces[name] = workspace
            return
        for point in self._own_points.pop(name, ()):
            del self._points[bisect_left(self._points, (point, name))]
        self._workspaces.pop(name, None)
        self._capacities.pop(name, None)
        if workspace.weight:
            own = self._own_points[name] = _points(name, capacity)
            for point in own:
                insort(self._points, (point, name))
            self._workspaces[name] = workspace
            self._capacities[name] = capacity
        self.capacity = sum(self._capacities.values())

    def home(self, prefix: bytes) -> Workspace | None:
        """The workspace at the first point after a prefix's hash."""
        points = self._points
        if len(self._workspaces) < 2:
            return next(iter(self._workspaces.values()), None)
        at = bisect_left(points, (_place(prefix), ""))
        return self._workspaces[points[at if at < len(points) else 0][1]]

    def nearest(self, prefix: bytes, among: Collection[Workspace]) -> Iterator[Workspace]:
        """Some of the workspaces, in the order of `from_home`."""
        if len(among) < 2:
            return iter(among)
        if len(among) ** 2 > len(self):
            # With so many, one of them is found soon.
            return (workspace for workspace in self.from_home(prefix) if workspace in among)
        place = _place(prefix)
        return iter(sorted(among, key=lambda workspace: self._next_point(workspace.name, place)))

    def _next_point(self, name: str, place: int) -> tuple[bool, int, str]:
        """The workspace's next point after a position, as a sort key."""
        own = self._own_points[name]
        at = bisect_left(own, place)
        return (False, own[at], name) if at < len(own) else (True, own[0], name)

    def from_home(self, prefix: bytes) -> Iterator[Workspace]:
        """The workspaces in the order for a prefix: its home, then its successors."""
        points, workspaces = self._points, self._workspaces
        start = bisect_left(points, (_place(prefix), ""))
        seen: set[str] = set()
        for index in range(start - len(points), start):
            name = points[index][1]
            if name not in seen:
                seen.add(name)
                yield workspaces[name]
                if len(seen) == len(workspaces):
                    return


def _points(name: str, capacity: float) -> list[int]:
    count = max(_FEWEST_POINTS, min(round(_POINTS * capacity), _MOST_POINTS))
    encoded = name.encode()
    return sorted(_place(b"%d:%b" % (number, encoded)) for number in range(count))


def _place(data: bytes) -> int:
    # Two checksums, since one alone does not spread short similar texts evenly.
    first = zlib.crc32(data)
    return (first * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 16 ^ zlib.crc32(data, first)
