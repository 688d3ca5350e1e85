"""What is known of an answer while it is read: its state, its calls, its end."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from msgspec import Struct
from orjson import Fragment

from translators.answers.filters import TextFilter

EMPTY: Final = b'""'


class State(Enum):
    """Where an answer is: `IDLE → OPEN → DONE`, `PAUSED` until upstream is asked to go on, `FAILED` from anywhere."""

    IDLE = auto()
    OPEN = auto()
    PAUSED = auto()
    DONE = auto()
    FAILED = auto()


@dataclass(slots=True)
class Call:
    """A tool call that is being read: its place among the calls, and what is done to its arguments.

    One that `is_answer` is no call for the caller: its arguments are the text.
    """

    index: int
    id: str
    name: str
    is_custom: bool = False
    is_answer: bool = False
    filter: TextFilter | None = None
    whole_input: bytes = b"{}"
    has_arguments: bool = False


class StoppedError(Exception):
    """The text has come to a stop sequence that the gateway looks for."""


class Ending(Struct, frozen=True):
    """What is known once an answer is complete."""

    finish_reason: str
    refusal: str | None
    annotations: list[dict[str, object]]
    citations: list[Fragment]
    thinking_blocks: list[Fragment]


class TextBlock(Struct):
    """A text block's place in the joined text, and what it cites."""

    start: int
    citations: list[bytes] = []
