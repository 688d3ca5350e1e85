"""The state that all events of one response share, whichever attempt answers it: id, number, model, settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import orjson
from msgspec import Raw, Struct

from translators.responses.kinds import ToolKinds
from translators.wire.raw import NULL

# The settings of a response whose request does not have them, as api.openai.com answers.
DEFAULTS: Final[Mapping[str, bytes]] = {
    "background": b"false",
    "instructions": b"null",
    "max_output_tokens": b"null",
    "max_tool_calls": b"null",
    "metadata": b"{}",
    "parallel_tool_calls": b"true",
    "previous_response_id": b"null",
    "prompt_cache_key": b"null",
    "reasoning": b'{"effort":null,"summary":null}',
    "safety_identifier": b"null",
    "store": b"true",
    "temperature": b"1.0",
    "text": b'{"format":{"type":"text"},"verbosity":"medium"}',
    "tool_choice": b'"auto"',
    "tools": b"[]",
    "top_logprobs": b"0",
    "top_p": b"1.0",
    "truncation": b'"disabled"',
    "user": b"null",
}
_HEADS: Final = {name: b'"%b":' % name.encode() for name in (*DEFAULTS, "conversation")}
_DEFAULT_MEMBERS: Final = {name: _HEADS[name] + raw for name, raw in DEFAULTS.items()}
_RESPONSE: Final = (
    b'{"id":"%b","object":"response","created_at":%d,"status":"%b","completed_at":%b,"error":%b,'
    b'"incomplete_details":%b,"model":%b,"output":[%b],"service_tier":%b,"usage":%b,%b}'
)
# Settings that are larger in all are not repeated: those that are long get their defaults. And `response.in_progress`,
# which may come again and again, need not repeat what `response.created` has said.
MAX_ECHOED_BYTES: Final = 2**20
MAX_ECHOED_AGAIN_BYTES: Final = 16 * 1024
_LONG_BYTES: Final = 4 * 1024
NOTHING: Final[Mapping[int, "OutputItem"]] = {}


class Sealer(Protocol):
    """Seals own blocks as `encrypted_content`, for one caller and model. `Opener` in `seals.py` opens it."""

    def seal(self, blocks: Sequence[bytes]) -> str: ...

    @property
    def summaries(self) -> "Sealer":
        """Seals for the same caller and every model: summaries of conversations."""
        ...


class OutputItem(Struct, frozen=True, gc=False):
    """A finished item: its JSON without the closing brace, and its own blocks, which have to go back to upstream.

    `seal` is its `encrypted_content`; None if the caller does not get it.
    """

    members: bytes
    blocks: tuple[bytes, ...] = ()
    seal: str | None = None

    def as_json(self) -> bytes:
        """The item as the caller gets it."""
        return self.members + b"}" if self.seal is None else self._with(self.seal)

    def as_sealed_json(self, sealer: Sealer) -> bytes:
        """The item with its `encrypted_content`, whether or not the caller gets that: for the store."""
        return self._with(self.seal or (sealer.seal(self.blocks) if self.blocks else None))

    def _with(self, seal: str | None) -> bytes:
        return self.members + (b"}" if seal is None else b',"encrypted_content":%b}' % orjson.dumps(seal))


class ResponsesFrame(Struct):
    """One response; several attempts can follow each other in it until one of them says something.

    `settings` are echoed (JSON, by name); `now` gives Unix seconds. `kinds` says how the caller knows its tools.
    `sealer` is that of the model that is being asked, None where blocks cannot be sealed; `shows_seals` says that the
    caller gets `encrypted_content`.
    `summarizes` says that the answer is a summary, which becomes a compaction item.
    `carries_blocks` adds a reasoning item behind items of server tools, to carry their blocks. `shows_sources` and
    `shows_outputs` are for `include`.
    """

    id: str
    created_at: int
    model: str
    now: Callable[[], int]
    settings: Mapping[str, Raw] = {}
    kinds: ToolKinds = {}
    sealer: Sealer | None = None
    shows_seals: bool = False
    summarizes: bool = False
    carries_blocks: bool = True
    shows_sources: bool = False
    shows_outputs: bool = False
    # The number of the next event, and whether `response.created` was sent.
    sequence: int = 0
    has_begun: bool = False
    service_tier: str | None = None
    # The finished items of the attempt that answers, by index.
    items: Mapping[int, OutputItem] = {}
    _settings: bytes = b""
    _brief: bytes = b""

    def item_id(self, prefix: str, index: int) -> bytes:
        """The id of an item: the response's digits, 0 for output, and the index, so that the store finds it."""
        return f"{prefix}_{self.id.removeprefix('resp_')}0{index:03x}".encode()

    def seal(self, blocks: Sequence[bytes]) -> str | None:
        """The `encrypted_content` for the caller; None if it does not get any."""
        return self.sealer.seal(blocks) if blocks and self.shows_seals and self.sealer is not None else None

    def response(
        self,
        status: str,
        *,
        error: bytes = b"null",
        incomplete: str | None = None,
        items: Mapping[int, OutputItem] = NOTHING,
        usage: bytes = b"null",
        is_brief: bool = False,
    ) -> bytes:
        """The response object; one that `is_brief` does not repeat settings that are long."""
        return _RESPONSE % (
            self.id.encode(),
            self.created_at,
            status.encode(),
            b"%d" % self.now() if status == "completed" else b"null",
            error,
            b"null" if incomplete is None else b'{"reason":"%b"}' % incomplete.encode(),
            orjson.dumps(self.model),
            b",".join([items[index].as_json() for index in sorted(items)]),
            orjson.dumps(self.service_tier),
            usage,
            self._echoed(is_brief=is_brief),
        )

    @property
    def is_long(self) -> bool:
        """Whether a response that has been written repeats settings that a brief one does not."""
        return self._brief is not self._settings

    def _echoed(self, *, is_brief: bool) -> bytes:
        if not self._settings:
            self._settings, self._brief = _echoes(self.settings)
            self.settings = {}
        return self._brief if is_brief else self._settings


def _echoes(settings: Mapping[str, Raw]) -> tuple[bytes, bytes]:
    """The settings as members of the response, and the same with long ones left out if all are too long."""
    # What was sent as null is what was not sent.
    members = {name: _HEADS[name] + raw for name, raw in settings.items() if raw != NULL}
    size = sum(map(len, members.values()))
    all_members = _members(members if size <= MAX_ECHOED_BYTES else _short(members))
    return all_members, all_members if size <= MAX_ECHOED_AGAIN_BYTES else _members(_short(members))


def _members(members: dict[str, bytes]) -> bytes:
    return b",".join((_DEFAULT_MEMBERS | members).values())


def _short(members: dict[str, bytes]) -> dict[str, bytes]:
    return {name: member for name, member in members.items() if len(member) <= _LONG_BYTES}
