"""What the wires of several endpoints have in common."""

from typing import Annotated, Final

import msgspec
from msgspec import Raw, Struct

from translators.wire.raw import NULL

# Names of models are kept: for a while, in tables and in the log. No real one is nearly as long.
MAX_MODEL_NAME: Final = 256
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_MODEL_NAME)]


class StreamOptions(Struct):
    """What a stream should carry."""

    include_usage: bool | None = None
    # Ignored: nothing is added to hide lengths.
    include_obfuscation: Raw = NULL
