"""A Messages request, ready to be sent."""

from collections.abc import Mapping

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import replace
from orjson import Fragment

from translators.answers.recorder import Block as RecordedBlock
from translators.answers.recorder import content_of, is_whole
from translators.answers.shape import AnswerShape
from translators.errors import ErrorKind, FailedError, Failure
from translators.kept.turns import Origin
from translators.message_usage import STANDARD, Terms
from translators.messages.blocks import Block
from translators.wire.raw import OBJECT_DECODER


class MessagesRequest(Struct, frozen=True):
    """A Messages request, ready to be sent.

    `streams` is also true where the caller asked for no stream but the answer could take too long for one piece.
    `expects_call` says that the model could only be asked, not forced, to call a tool; `fills_cache` that there is a
    mark, and enough before it to be cached; `schemas` are the hashes of those that upstream makes a grammar of, by the
    place that it would name in an error (`tools.0`, `output_config.format`);
    `has_thinking` that signed thinking goes back with it. `origin` is what its answer is kept with, if it is. `terms`
    are what it asks for that changes its price.
    """

    body: bytes
    version: str
    streams: bool
    shape: AnswerShape
    adjusted: str | None
    betas: tuple[str, ...] = ()
    expects_call: bool = False
    fills_cache: bool = False
    schemas: Mapping[str, str] = {}
    has_thinking: bool = False
    origin: Origin | None = None
    terms: Terms = STANDARD

    def continued(self, content: list[RecordedBlock]) -> "MessagesRequest":
        """The request that lets a paused turn go on: the same, with what the model has said so far at its end.

        Raises `FailedError` where that is no JSON.
        """
        if not all(map(is_whole, content)):
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, "Upstream paused in a block that cannot be read."))
        fields = OBJECT_DECODER.decode(self.body)
        messages = msgspec.json.decode(fields["messages"], type=list[msgspec.Raw])
        spliced: Block = {name: Fragment(bytes(value)) for name, value in fields.items()}
        turn = {"role": "assistant", "content": Fragment(content_of(content))}
        spliced["messages"] = [*(Fragment(bytes(message)) for message in messages), turn]
        return replace(self, body=orjson.dumps(spliced))
