"""The rules of one process: those of a configuration, and those that operators add at run time."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from gateway.accounts.auth import Caller
from gateway.accounts.rules.admission import Rules
from gateway.accounts.rules.authority import Authority
from gateway.accounts.rules.book import Book, Setting
from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.local import LocalAuthority
from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.reading import rule_of
from gateway.accounts.rules.rule import MODEL_PREFIX, Rule
from gateway.accounts.rules.tariff import Priced, Terms
from gateway.accounts.spending import LedgerSpending
from gateway.config import AccountsConfig, Config
from gateway.service.routing import Aliases
from translators.models import ModelTable
from translators.prices import Prices

if TYPE_CHECKING:
    from gateway.accounts.stored_rules import StoredRules
    from gateway.ledger.lane import AccountsFile

_SPEED: Final = "speed"
_GEO: Final = "inference_geo"
_EVERYTHING: Final = "*"


class RulesOfProcess:
    """Counts by the rules of the current configuration and of accounts.db; `now` is Unix time.

    `file` is None where accounts are off. `authority` gives out the meters; None: they are all here, and begin with
    what the ledger has.
    """

    def __init__(
        self, config: Config, now: Callable[[], float], file: "AccountsFile | None", authority: Authority | None = None
    ) -> None:
        self.stored = None if file is None else self._stored_rules(config.accounts, file, now)
        spending = None if file is None else LedgerSpending(file)
        serves_blindly = config.accounts.on_ledger_failure == "serve"
        self._authority = authority or LocalAuthority(spending, now, serves_blindly=serves_blindly)
        self._book = Book(self._authority, clock=now, hash_user=self._hash_user)
        self.rules = Rules(self._book)
        self._configured: Sequence[Rule] = ()
        self._added: Sequence[Rule] = ()
        self._resolve: Callable[[str], str] = str
        self._priced: Callable[[str], Priced] | None = None
        # Where no ledger knows end users, what stands for them is only known to this process.
        self._pepper = token_bytes(32)

    async def start(self) -> None:
        """Read the stored rules, before the first request."""
        if self.stored is not None:
            await self.stored.start()

    async def watch(self) -> None:
        """Keep them up to date until cancelled."""
        if self.stored is not None:
            await self.stored.watch()

    def close(self) -> None:
        """Give back what was given out."""
        self._authority.close()

    def reload(self, config: Config, models: ModelTable, prices: Prices, aliases: Aliases) -> None:
        """Use another configuration; the meters of rules that stay go on."""
        self._configured = [rule_of(each) for each in config.rules]
        self._resolve = lambda name: aliases.resolve(name).id
        self._priced = _pricing(models, prices)
        self._book.setting = _setting_of(config)
        self._update()

    def add(self, definitions: Sequence[Definition]) -> None:
        """Count by these rules of the table as well. Of two with one id that of the configuration counts."""
        added = [rule_of(each) for each in definitions]
        if added != self._added:
            self._added = added
            self._update()

    def meters(self) -> list[Meter]:
        """All meters that are in use, for those who watch them."""
        return self._book.meters

    async def facts(self, caller: Caller) -> Mapping[str, object]:
        """The rules that concern a caller, for `GET /v1/key`: how near they are, and when they reset."""
        return {"rules": [] if caller.own_key is not None else await self.rules.standing(caller)}

    def _stored_rules(self, config: AccountsConfig, file: "AccountsFile", now: Callable[[], float]) -> "StoredRules":
        # SQLite is loaded only where it is used.
        from gateway.accounts.stored_rules import StoredRules

        return StoredRules(file, config.secret, now, self.add)

    def _hash_user(self, name: str) -> bytes:
        known = None if self.stored is None else self.stored.hash_user(name)
        return known or blake2b(name.encode("utf-8", "replace"), digest_size=8, key=self._pepper).digest()

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
