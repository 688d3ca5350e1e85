"""The names of the request log's views: its entries, and the contents of those that may be kept with content."""

from typing import Final

REQUESTS: Final = "requests"
CONTENTS: Final = "contents"
