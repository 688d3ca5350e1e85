"""Time limits for calls to upstream."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds for a connection, for the head of an answer, between two pieces of its body, and for a whole call."""

    connect_seconds: float = 10.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 600.0
    total_seconds: float = 3600.0
