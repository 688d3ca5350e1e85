"""The names of the request log's views: its entries, contents that may be kept, and both sides of tapped requests."""

from typing import Final

REQUESTS: Final = "requests"
CONTENTS: Final = "contents"
WIRES: Final = "wires"
