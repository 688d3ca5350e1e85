"""The rules of one process: those of a configuration, and those that operators add at run time."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from secrets import token_bytes
from typing import Final

from msgspec.structs import replace

from gateway.accounts.rules.admission import Rules
from gateway.accounts.rules.authority import Authority
from gateway.accounts.rules.book import Book, Setting
from gateway.accounts.rules.local import LocalAuthority
from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.reading import rule_of
from gateway.accounts.rules.rule import MODEL_PREFIX, Rule
from gateway.accounts.rules.tariff import Priced, Terms
from gateway.config import Config
from gateway.service.routing import Aliases
from translators.models import ModelTable
from translators.prices import Prices

_SPEED: Final = "speed"
_GEO: Final = "inference_geo"
_EVERYTHING: Final = "*"


class RulesOfProcess:
    """Counts by the rules of the current configuration. `now` is Unix time.

    `authority` gives out the meters; None: they are all here, and begin with nothing spent.
    """

    def __init__(
        self,
        now: Callable[[], float],
        authority: Authority | None = None,
        hash_user: Callable[[str], bytes] | None = None,
    ) -> None:
        authority = authority or LocalAuthority(None, now)
        self._book = Book(authority, clock=now, hash_user=hash_user or _hashed)
        self.rules = Rules(self._book)
        self._configured: Sequence[Rule] = ()
        self._added: Sequence[Rule] = ()
        self._resolve: Callable[[str], str] = str
        self._priced: Callable[[str], Priced] | None = None

    def reload(self, config: Config, models: ModelTable, prices: Prices, aliases: Aliases) -> None:
        """Use another configuration; the meters of rules that stay go on."""
        self._configured = [rule_of(each) for each in config.rules]
        self._resolve = lambda name: aliases.resolve(name).id
        self._priced = _pricing(models, prices)
        self._book.setting = _setting_of(config)
        self._update()

    def add(self, rules: Sequence[Rule]) -> None:
        """Count by these rules as well. Of two with one id that of the configuration counts."""
        self._added = rules
        self._update()

    def meters(self) -> list[Meter]:
        """All meters that are in use, for those who watch them."""
        return self._book.meters

    @property
    def in_force(self) -> Sequence[Rule]:
        """All rules, those of the configuration first."""
        return self._book.setting.rules

    def _update(self) -> None:
        if self._priced is None:
            return
        rules: dict[str, Rule] = {}
        for rule in (*self._configured, *self._added):
            rules.setdefault(rule.id, self._resolved(rule))
        self._book.update(replace(self._book.setting, rules=tuple(rules.values())), self._priced)

    def _resolved(self, rule: Rule) -> Rule:
        other = rule.other_model
        return rule if other is None else replace(rule, over=MODEL_PREFIX + self._resolve(other))


def _setting_of(config: Config) -> Setting:
    allowed = {*config.translation.allow_native, *config.native.fields}
    return Setting(
        hold=config.accounts.hold,
        queue_size=config.accounts.queue_size,
        queue_seconds=config.accounts.queue_timeout_seconds,
        terms=Terms(fast=bool(allowed & {_SPEED, _EVERYTHING}), geo=bool(allowed & {_GEO, _EVERYTHING})),
        stand_ins=config.models.fallbacks,
    )


def _pricing(models: ModelTable, prices: Prices) -> Callable[[str], Priced]:
    def priced(model: str) -> Priced:
        listed = prices.listed(model)
        return Priced(models.row(model), listed.prices, listed.fast_prices)

    return priced


# Where no ledger knows end users, what stands for them is only known to this process.
_PEPPER: Final = token_bytes(32)


def _hashed(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=_PEPPER).digest()
