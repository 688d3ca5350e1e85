"""What a Messages host accepts, as far as the translation needs to know."""

from dataclasses import dataclass
from typing import Final

CURRENT_VERSION: Final = "2026-10-21"
# The only version that still takes temperature, top_p and top_k (section 1.4 of the Messages reference).
SAMPLING_VERSION: Final = "2023-06-01"


@dataclass(frozen=True, slots=True)
class HostProfile:
    """The API versions of one host; `sampling_version` is None if sampling fields cannot be sent at all.

    `name` identifies the host: lessons about a model apply to one host.
    """

    version: str = CURRENT_VERSION
    sampling_version: str | None = SAMPLING_VERSION
    name: str = ""
