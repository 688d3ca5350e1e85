"""Reads the tools of a Responses request into those of an intent, and notes what each is to the caller."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Raw, Struct

from translators.errors import TranslationError
from translators.limits import MAX_NAME, MAX_TOOL_VALUES, MAX_TOOLS, check_length, check_text, too_many_values
from translators.messages.hosted import HOSTED_TYPES
from translators.messages.names import upstream_tool_name
from translators.reading import decode, is_null, missing_parameter
from translators.remembered import Remembered
from translators.responses.client_functions import CLIENT_TOOLS
from translators.responses.kinds import Kind, ToolKind, ToolKinds
from translators.weight import has_more_values
from translators.wire.raw import NULL, OBJECT_DECODER
from translators.wire.responses import ENVIRONMENT_DECODER, TOOL_DECODER, Tool

# Tools that only OpenAI runs, or that Anthropic would run elsewhere: dropped and reported.
NOT_OFFERED: Final = frozenset(
    {
        *("file_search", "image_generation", "computer", "computer_use_preview", "computer_use", "mcp"),
        *("tool_search", "programmatic_tool_calling"),
    }
)
_NAMESPACE: Final = "namespace"
# The namespace under which `local_shell`, `shell` and `apply_patch` are listed.
_CLIENT: Final = ""
_SEPARATOR: Final = "__"
# The types of Anthropic's own tools, which end in a date.
_NATIVE: Final = re.compile(r"_20\d{6}\Z|\Amcp_toolset\Z")
_SUPPORTED: Final = ", ".join(f"'{kind}'" for kind in ("function", "custom", _NAMESPACE, *CLIENT_TOOLS, *HOSTED_TYPES))
# Fields that Messages does not have, with the values (JSON) that ask for nothing.
_NEUTRAL: Final[Mapping[str, tuple[bytes, ...]]] = {
    "defer_loading": (b"false",),
    "allowed_callers": (b'["direct"]', b"[]"),
    "output_schema": (),
    "async": (b"false",),
    "external_web_access": (b"true",),
}
# The size of a remembered entry in texts of the tools: the key, and twice the tools as read.
_COPIES: Final = 3
_OBJECT_BYTES: Final = 2_000
_ENCODE: Final = msgspec.json.encode


class ReadTools(Struct, frozen=True):
    """Tools as the intent has them (`listed`), and as the response shows them (`shown`).

    `places` are those in the caller's body. `names` maps namespace and caller's name to the name in the intent, where
    it differs.
    """

    listed: Sequence[Raw] = ()
    shown: Sequence[Raw] = ()
    places: Sequence[str] = ()
    kinds: ToolKinds = {}
    names: Mapping[tuple[str, str], str] = {}
    lost: Sequence[str] = ()

    def name_of(self, namespace: str | None, name: str) -> str:
        """The name of a tool in the intent; for an unknown tool the name that it would have."""
        if not namespace:
            return name
        return self.names.get((namespace, name)) or _joined(namespace, name)

    def client_tool(self, name: str) -> str:
        """The name in the intent of `local_shell`, `shell` or `apply_patch`."""
        return self.names.get((_CLIENT, name), name)


NO_TOOLS: Final = ReadTools()
_REMEMBERED: Final = Remembered[ReadTools](8 * 2**20)


def read_tools(tools: Sequence[tuple[Raw, str]]) -> Generator[None, None, ReadTools]:
    """Read the tools, each given with its place. The result is remembered: the next turn has the same tools."""
    if not tools:
        return NO_TOOLS
    # With a place: the same tools may stand elsewhere in the body.
    key = (b",".join([raw for raw, _ in tools]), tools[-1][1])
    found = _REMEMBERED.get(key)
    if found is None:
        check_length(tools, MAX_TOOLS, "tools")
        reader = _ToolReader()
        for raw, path in tools:
            reader.read(raw, path)
            yield
        found = reader.finished()
        _REMEMBERED.put(key, found, _COPIES * len(key[0]) + _OBJECT_BYTES)
    return found


class _ToolReader:
    """Reads tool after tool. Names that the caller chose are taken first; the gateway's own names give way to them."""

    def __init__(self) -> None:
        self._listed: list[tuple[Callable[[str], Raw], ToolKind | None, str | None]] = []
        self._shown: list[Raw] = []
        self._places: list[str] = []
        self._taken: set[str] = set()
        self._lost: dict[str, None] = {}

    def read(self, raw: Raw, path: str) -> None:
        """Take one entry of `tools`."""
        tool = _decoded(raw, path)
        self._shown.append(_shown(tool, raw))
        if tool.type in ("function", "custom"):
            self._add_named(tool, raw, path)
        elif tool.type == _NAMESPACE:
            self._add_members(tool, path)
        elif tool.type in CLIENT_TOOLS and _is_local(tool, path):
            self._add_client_tool(tool, path)
        elif tool.type in NOT_OFFERED or tool.type in CLIENT_TOOLS or _stays_inside(tool):
            self._lost[f"tools.{tool.type}"] = None
        elif tool.type in HOSTED_TYPES:
            self._add(lambda _: self._stripped(tool, raw), None, None, path)
        elif _NATIVE.search(tool.type):
            self._add(lambda _: raw, None, None, path)
        else:
            message = f"Invalid value: '{tool.type}'. Supported values are: {_SUPPORTED}."
            raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def finished(self) -> ReadTools:
        """All tools, in order, each with a name of its own."""
        listed, kinds, names = list[Raw](), dict[str, ToolKind](), dict[tuple[str, str], str]()
        for write, kind, name in self._listed:
            if kind is not None and name is not None:
                name = self._free(name)
                kinds[name] = kind
                names[kind.namespace or _CLIENT, kind.name] = name
            listed.append(write(name or ""))
        return ReadTools(listed, self._shown, self._places, kinds, names, [*self._lost])

    def _add(self, write: Callable[[str], Raw], kind: ToolKind | None, name: str | None, path: str) -> None:
        self._listed.append((write, kind, name))
        self._places.append(path)

    def _add_named(self, tool: Tool, raw: Raw, path: str) -> None:
        """A function or a custom tool under its own name."""
        self._taken.add(_checked_name(tool.name, f"{path}.name"))
        self._add(lambda _: self._stripped(tool, raw), None, None, path)

    def _add_members(self, namespace: Tool, path: str) -> None:
        """The tools of a namespace, under longer names. The first one's description also has the namespace's."""
        within = _checked_name(namespace.name, f"{path}.name")
        members = namespace.tools or ()
        if len(members) + len(self._listed) > MAX_TOOLS:
            check_length(range(len(members) + len(self._listed)), MAX_TOOLS, f"{path}.tools")
        for index, raw in enumerate(members):
            place = f"{path}.tools[{index}]"
            tool = _decoded(raw, place)
            if tool.type not in ("function", "custom"):
                message = f"Invalid value: '{tool.type}'. Supported values are: 'function' and 'custom'."
                raise TranslationError(message, param=f"{place}.type", code="invalid_value")
            name = _checked_name(tool.name, f"{place}.name")
            about = namespace.description if index == 0 else None
            self._add(
                self._member(tool, raw, within, about),
                ToolKind(Kind(tool.type), name, within),
                _joined(within, name),
                place,
            )

    def _member(self, tool: Tool, raw: Raw, namespace: str, about: str | None) -> Callable[[str], Raw]:
        words = [f"About the tools `{namespace}{_SEPARATOR}*`: {about}"] if about else []
        words += [tool.description] if tool.description else []
        changed = {"description": Raw(_ENCODE("\n\n".join(words)))} if words else {}
        return lambda name: self._stripped(tool, raw, {"name": Raw(_ENCODE(name)), **changed})

    def _add_client_tool(self, tool: Tool, path: str) -> None:
        known = CLIENT_TOOLS[tool.type]
        self._note(tool)

        def write(name: str) -> Raw:
            function = {"type": "function", "name": name, "description": known.description}
            return Raw(_ENCODE({**function, "parameters": known.parameters}))

        self._add(write, ToolKind(known.kind, known.name), known.name, path)

    def _stripped(self, tool: Tool, raw: Raw, changed: Mapping[str, Raw] = {}) -> Raw:
        """A tool without the fields that Messages does not have."""
        if not self._note(tool) and not changed:
            return raw
        fields = {name: value for name, value in OBJECT_DECODER.decode(raw).items() if name not in _NEUTRAL}
        return Raw(_ENCODE({**fields, **changed}))

    def _note(self, tool: Tool) -> bool:
        """Note which fields of a tool are lost; returns whether it has any that Messages does not have."""
        values = (
            tool.defer_loading,
            tool.allowed_callers,
            tool.output_schema,
            tool.is_async,
            tool.external_web_access,
        )
        found = False
        for (name, neutral), value in zip(_NEUTRAL.items(), values, strict=True):
            found = found or value is not NULL
            if not is_null(value) and b"".join(bytes(value).split()) not in neutral:
                self._lost[f"tools.{name}"] = None
        return found

    def _free(self, name: str) -> str:
        """The name, or a new one made from it if another tool has it."""
        if name in self._taken:
            name = f"{name}_{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        self._taken.add(name)
        return name


def _decoded(raw: Raw, path: str) -> Tool:
    """A tool, checked for its size; of a namespace, each member is checked."""
    tool: Tool = decode(TOOL_DECODER, raw, path)
    if tool.type != _NAMESPACE and has_more_values(raw, MAX_TOOL_VALUES):
        raise too_many_values(path, MAX_TOOL_VALUES)
    return tool


def _joined(namespace: str, name: str) -> str:
    return upstream_tool_name(f"{namespace}{_SEPARATOR}{name}")


def _checked_name(name: str | None, path: str) -> str:
    if not name:
        raise missing_parameter(path)
    check_text(name, MAX_NAME, path)
    return name


def _is_local(tool: Tool, path: str) -> bool:
    """Whether the caller runs a client tool; a `shell` may also be one in a container of OpenAI's."""
    if is_null(tool.environment):
        return True
    return bool(decode(ENVIRONMENT_DECODER, tool.environment, f"{path}.environment").type == "local")


def _stays_inside(tool: Tool) -> bool:
    """Whether a search must not leave OpenAI's index: Anthropic's would."""
    return tool.type in HOSTED_TYPES and b"".join(bytes(tool.external_web_access).split()) == b"false"


def _shown(tool: Tool, raw: Raw) -> Raw:
    """A tool as the response shows it: a function's `parameters` and `strict` have to be there."""
    if tool.type != "function" or (tool.strict is not NULL and tool.parameters is not NULL):
        return raw
    absent = {"parameters": NULL, "strict": NULL if is_null(tool.parameters) else Raw(b"false")}
    return Raw(_ENCODE({**absent, **OBJECT_DECODER.decode(raw)}))
