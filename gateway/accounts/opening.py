"""The accounts that a configuration asks for: its clients, and the stored keys where there is a database for them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gateway.accounts.auth import Authenticator, Caller
from gateway.accounts.guesses import Guesses
from gateway.accounts.keys.book import KeyBook
from gateway.accounts.pace import Pace
from gateway.config import AccountsConfig, Config, is_loopback
from gateway.ledger.opening import accounts_file
from gateway.private_files.database import is_missing
from gateway.secret import Secret

if TYPE_CHECKING:
    from gateway.accounts.keys.service import StoredKeys
    from gateway.ledger.lane import AccountsFile


class KeysOfProcess:
    """The key book of this process, and what keeps it up to date; `stored` is None if there is no database.

    `pace` is for those who change keys.
    """

    def __init__(self, config: Callable[[], Config], now: Callable[[], float], file: "AccountsFile | None") -> None:
        self.book = KeyBook(now)
        self.pace = Pace()
        self.stored = None if file is None else _stored_keys(config, now, file, self.book)
        self._used: dict[str, float] = {}
        self._now = now

    async def use_once(self, name: str, until: float) -> bool:
        """Use up something that is valid until a Unix time; returns whether nobody has used it before.

        That is known to all workers by the database, and to this process only if there is none.
        """
        if self.stored is not None:
            return await self.stored.use_once(name, until)
        self._used = {each: end for each, end in self._used.items() if end > self._now()}
        is_new = name not in self._used
        self._used[name] = until
        return is_new

    async def note(self, actor: str, action: str, subject: str) -> None:
        """Write a line into the audit, if there is one."""
        if self.stored is not None:
            await self.stored.run(lambda table: table.note(actor, action, subject))

    async def start(self) -> None:
        """Read the keys, before the first request."""
        if self.stored is not None:
            await self.stored.start()

    async def watch(self) -> None:
        """Keep the book up to date until cancelled."""
        if self.stored is not None:
            await self.stored.watch()


def authenticator_of(config: Config, guesses: Guesses, book: KeyBook) -> Authenticator:
    """Who may call: the clients of a configuration, and stored keys."""
    return Authenticator(
        _clients_of(config),
        has_keys=bool(config.keys),
        guesses=guesses,
        keys=book,
        is_private=is_loopback(config.server.host),
    )


def has_stored_keys(config: AccountsConfig) -> bool:
    """Whether there is or was a key, so that callers need one; also if nobody can tell. Opens the database for it."""
    file = accounts_file(config)
    if file is None or is_missing(file.file):
        return False
    from gateway.accounts.keys.reading import has_keys
    from gateway.ledger.trouble import AccountsFileError

    try:
        return file.run_now(has_keys)
    except AccountsFileError:
        return True


def _stored_keys(
    config: Callable[[], Config], now: Callable[[], float], file: "AccountsFile", book: KeyBook
) -> "StoredKeys":
    # SQLite is loaded only where it is used.
    from gateway.accounts.keys.service import StoredKeys

    return StoredKeys(file, config().accounts.secret, book, now, lambda: {client.name for client in config().clients})


def _clients_of(config: Config) -> Iterator[tuple[Caller, Secret]]:
    for client in config.clients:
        content = client.log_content
        caller = Caller(
            client.name,
            sees_key=client.sees_key,
            group=client.group,
            keep_content_seconds=content.keep_seconds if content is not None else None,
            traces_content=content is not None and content.traces,
        )
        yield caller, client.api_key
