"""Who sends an alert: the process that claims its name first."""

from collections import OrderedDict
from typing import Final, Protocol

from gateway.alerts.alert import Alert

_MOST_NAMES: Final = 10_000


class Claims(Protocol):
    """Remembers the names of alerts that were sent."""

    async def claim(self, alert: Alert) -> bool:
        """Whether nobody has claimed the alert before; from now on it is claimed. Raises `OSError`."""
        ...


class MemoryClaims:
    """The names that this process has claimed."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, float] = OrderedDict()

    async def claim(self, alert: Alert) -> bool:
        return self.claim_now(alert)

    def claim_now(self, alert: Alert) -> bool:
        """The same, without waiting."""
        if alert.name in self._names:
            return False
        if alert.earlier is not None and self._names.get(alert.earlier, float("-inf")) >= alert.quiet_since:
            return False
        self._names[alert.name] = alert.at
        if len(self._names) > _MOST_NAMES:
            self._names.popitem(last=False)
        return True
