"""The ledger: every token the simulator answered with, per API key. It is the oracle that other counts are held to."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Final, TypedDict

MAX_KEYS: Final = 10_000
"""Keys kept apart; a further one is entered under :data:`OTHER`, so hostile credentials cannot fill the memory."""

OTHER: Final = "(other)"


@dataclass(slots=True)
class Account:
    """What one API key was answered with. Tokens are those that went out, also of an answer that was cut."""

    requests: int = 0
    """Completions answered, plain or streamed, whole or cut."""
    plain: int = 0
    streamed: int = 0
    cut: int = 0
    """Answers whose client left, or whose connection a fault ended, before their end."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    reported_tokens: int = 0
    """Sum of the ``usage.total_tokens`` that went out truthfully: less than ``total_tokens`` if a client did not ask
    for usage in its stream, left before it, or asked for a false one."""
    errors: int = 0
    """Requests answered with an error, and no tokens."""
    overridden: int = 0
    """Requests whose whole body was dictated by the client (see :mod:`.override`); they have no tokens."""


class MaskedAccount(TypedDict):
    """One row of ``GET /ledger``."""

    key: str
    fingerprint: str
    account: dict[str, int]


class LedgerView(TypedDict):
    """The document of ``GET /ledger``."""

    total: dict[str, int]
    keys: list[MaskedAccount]


@dataclass(slots=True)
class Answered:
    """What really went out of one completion, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reported_tokens: int = 0


class Ledger:
    """Accounts by API key. Raw keys stay in memory: :meth:`view` shows them masked."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def enter(self, key: str, answered: Answered, *, streamed: bool, cut: bool) -> None:
        """Enter one completion when its last byte is out, or when it was cut."""
        account = self._account(key)
        account.requests += 1
        account.streamed += streamed
        account.plain += not streamed
        account.cut += cut
        account.prompt_tokens += answered.prompt_tokens
        account.completion_tokens += answered.completion_tokens
        account.total_tokens += answered.prompt_tokens + answered.completion_tokens
        account.reported_tokens += answered.reported_tokens

    def enter_error(self, key: str) -> None:
        self._account(key).errors += 1

    def enter_overridden(self, key: str) -> None:
        self._account(key).overridden += 1

    def snapshot(self) -> dict[str, Account]:
        """A copy of all accounts by raw key (``""`` if a request had none). For the process that runs the simulator."""
        return {key: Account(**asdict(account)) for key, account in self._accounts.items()}

    def total(self) -> Account:
        """The sum of all accounts."""
        total = Account()
        for account in self._accounts.values():
            for name, value in asdict(account).items():
                setattr(total, name, getattr(total, name) + value)
        return total

    def view(self) -> LedgerView:
        """All accounts with their keys masked, fit to be shown."""
        return {
            "total": asdict(self.total()),
            "keys": [
                {"key": mask(key), "fingerprint": fingerprint(key), "account": asdict(account)}
                for key, account in self._accounts.items()
            ],
        }

    def _account(self, key: str) -> Account:
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= MAX_KEYS:
                key = OTHER
            account = self._accounts.setdefault(key, Account())
        return account


def credential(authorization: str) -> str:
    """The credential of an ``authorization`` header: what follows its scheme (RFC 9110, 11.6.2), or all of it."""
    _scheme, separator, rest = authorization.strip().partition(" ")
    return rest.strip() if separator else authorization.strip()


def mask(key: str) -> str:
    """*key* made unusable: three characters of a long one, none of a short one."""
    if key in ("", OTHER):
        return key
    return f"{key[:3]}***" if len(key) >= 12 else "***"


def fingerprint(key: str) -> str:
    """Tells masked keys apart: the first 8 hex digits of the key's SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]
