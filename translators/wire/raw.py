"""JSON that passes through as it stands, and the decoders that every reader of JSON needs."""

from typing import Annotated, Final

import msgspec
from msgspec import Raw

NULL: Final = Raw(b"null")
TRUE: Final = Raw(b"true")
# What every reader of JSON holds exactly.
INTEGER_DECODER: Final = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)])
TEXT_DECODER: Final = msgspec.json.Decoder(str)
OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])
RAW_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])
