"""What is decided about a translation besides the request itself: by the operator, and by where it goes."""

from dataclasses import dataclass

from msgspec import Struct

from translators.beginnings import NOT_SHARED, Sharing
from translators.hosts import HostProfile
from translators.messages.marking import Caching
from translators.models import ModelRow
from translators.server_tools import SERVER_TOOLS


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator, and in part the caller, decided about translations.

    `allowed_fields` are native fields (`speed`, ...) and `file_ids` that may be used with shared keys. `caching` is
    where requests without cache marks are marked, `sharing` how much of the prompt was seen lately, which `auto` goes
    by. `server_tools` are those of Anthropic's own that may be used. `betas` are what the caller asks for in
    `anthropic-beta` and may have, `refused_betas` the others.
    """

    max_output_tokens: int | None = None
    always_show_reasoning: bool = False
    reject_unsupported: bool = False
    show_thinking_blocks: bool = False
    caching: Caching = "off"
    sharing: Sharing = NOT_SHARED
    allowed_fields: frozenset[str] = frozenset()
    max_choices: int = 8
    server_tools: frozenset[str] = SERVER_TOOLS
    betas: tuple[str, ...] = ()
    refused_betas: tuple[str, ...] = ()


class Target(Struct, frozen=True):
    """Where a request goes: the upstream's model id, what that model can do, and what the host accepts.

    `refused_schemas` are hashes of schemas that upstream could not make a grammar of.
    """

    model: str
    row: ModelRow
    host: HostProfile = HostProfile()
    refused_schemas: frozenset[str] = frozenset()

    @property
    def refused(self) -> frozenset[str]:
        """Schemas that upstream has refused, and the uses of schemas that the model does not have."""
        return self.refused_schemas.union(self.row.refuses) if self.row.refuses else self.refused_schemas
