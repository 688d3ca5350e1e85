"""What a conversation's requests owe to each other: each repeats the one before it, and the answer to it, thinking too.

All of it works on bodies of Messages as upstream received them, and on the `content` of its answers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import msgspec

from gateway.demo import ReceivedRequest

JSONObject = Mapping[str, Any]
THINKING = ("thinking", "redacted_thinking")


class Placed(NamedTuple):
    """One block and who says it; `json` is its own bytes, its fields in their own order, without its cache mark."""

    role: str
    type: str
    json: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that was answered, and the content of its answer."""

    body: JSONObject
    content: Sequence[JSONObject]

    @property
    def calls(self) -> int:
        """How many of the caller's tools the answer calls."""
        return sum(block["type"] == "tool_use" for block in self.content)

    @property
    def thoughts(self) -> list[JSONObject]:
        """The thinking of the answer."""
        return [block for block in self.content if block["type"] in THINKING]


def exchanges(received: Iterable[ReceivedRequest]) -> list[Exchange]:
    """The messages that upstream has answered, the oldest first."""
    answered = [each for each in received if each.path == "/v1/messages" and each.status == 200]
    return [Exchange(each.body, each.answer["content"]) for each in answered]


def refusals(received: Iterable[ReceivedRequest]) -> list[str]:
    """What upstream has said to bodies that it did not take."""
    return [each.answer["error"]["message"] for each in received if each.status in (400, 413)]


def thoughts_of(received: ReceivedRequest) -> list[JSONObject]:
    """The thinking blocks in a request's conversation, whatever its body is."""
    messages = _found(_field(received.body, "messages"))
    blocks = [block for message in messages for block in _found(_field(message, "content"))]
    return [block for block in blocks if _field(block, "type") in THINKING]


def blocks_of(body: JSONObject) -> list[Placed]:
    """A request as its blocks, in the order that caches and signatures follow: tools, system, messages."""
    tools = [_placed("tools", tool) for tool in body.get("tools", [])]
    system = [_placed("instructions", block) for block in _listed(body.get("system", []))]
    said = [_placed(message["role"], block) for message in body["messages"] for block in _listed(message["content"])]
    return [*tools, *system, *said]


def answer_blocks(content: Iterable[JSONObject]) -> list[Placed]:
    """An answer as the blocks that the next request has to hold."""
    return [_placed("assistant", block) for block in content]


def visible(blocks: Iterable[Placed]) -> list[Placed]:
    """The blocks without thinking: what is left of a conversation whose thinking got lost.

    The texts of an answer are one, and in front of its calls: how they were interleaved no client can tell.
    """
    left: list[Placed] = []
    for role, run in groupby((block for block in blocks if block.type not in THINKING), lambda block: block.role):
        turn = [*run]
        if role == "assistant" and (texts := [block for block in turn if block.type == "text"]):
            said = "".join(msgspec.json.decode(block.json)["text"] for block in texts)
            left.append(_placed(role, {"type": "text", "text": said}))
            turn = [block for block in turn if block.type != "text"]
        left += turn
    return left


def assert_repeated(earlier: JSONObject, later: JSONObject) -> None:
    """A request repeats an earlier one block by block, thinking included and cache marks aside."""
    assert_begins_with(blocks_of(later), blocks_of(earlier))


def assert_continued(earlier: Exchange, later: JSONObject) -> None:
    """A request repeats an earlier one and the answer to it.

    An answer with tool calls comes back whole; of another one the thinking may have been left out.
    """
    before, said = blocks_of(earlier.body), answer_blocks(earlier.content)
    blocks = blocks_of(later)
    if not earlier.calls and blocks[len(before) :][: len(said)] != said:
        said = [block for block in said if block.type not in THINKING]
    assert_begins_with(blocks, [*before, *said])


def assert_kept(conversation: Sequence[Exchange]) -> None:
    """Each request of a conversation repeats all that went before it, thinking included."""
    for earlier, later in pairwise(conversation):
        assert_continued(earlier, later.body)


def assert_visible_kept(conversation: Sequence[Exchange]) -> None:
    """Each request of a conversation repeats all that went before it, but for thinking."""
    for earlier, later in pairwise(conversation):
        before = [*blocks_of(earlier.body), *answer_blocks(earlier.content)]
        assert_begins_with(visible(blocks_of(later.body)), visible(before))


def assert_begins_with(blocks: Sequence[Placed], beginning: Sequence[Placed]) -> None:
    """The blocks begin with these; what is said otherwise names the first one that differs."""
    for place, (found, wanted) in enumerate(zip(blocks, beginning, strict=False)):
        assert found == wanted, f"block {place} differs"
    assert len(blocks) >= len(beginning), f"{beginning[len(blocks) :]} are missing at the end"


def _listed(content: str | Sequence[JSONObject]) -> Sequence[JSONObject]:
    """Text is one block of text; none is no block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _placed(role: str, block: JSONObject) -> Placed:
    # Who calls is said in answers, and need not be said back where it is the ordinary case.
    kept = {
        name: value
        for name, value in block.items()
        if name != "cache_control" and not (name == "caller" and value == {"type": "direct"})
    }
    return Placed(role, block.get("type", ""), msgspec.json.encode(kept))


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _found(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
