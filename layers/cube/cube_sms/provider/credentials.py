"""Credentials of the accounts, from one secret in AWS Secrets Manager."""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import error_name

from .base import CredentialsError, UnknownAccountError
from .dialects import DIALECTS, read_credentials
from .fields import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

    from .dialects import AnyCredentials

MAX_AGE = 300.0
"""Seconds that the functions use credentials before they fetch them again."""

# After a failure, or for an account that is not in the secret, Secrets Manager is asked again so many seconds after its
# last answer. So a message seldom asks.
RETRY_SECONDS = 5.0

# Secrets Manager answers in milliseconds; what takes longer than this is a Secrets Manager in trouble.
PATIENCE = 0.5

# How long a caller waits if there are no credentials, or if Cube has refused them: what the three tries of
# `aws.AWS_CONFIG` take.
LONGEST_WAIT = 12.0

FIELDS = tuple(name for dialect in DIALECTS for name in dialect.credentials.FIELDS)
SHAPE = " or ".join(json.dumps({"default": dict.fromkeys(kind.credentials.FIELDS, "...")}) for kind in DIALECTS)

# What Secrets Manager answers while it is briefly away. Anything else (no such secret, no permission) is a fault of
# the deployment, which a good value of yesterday would only hide.
_TRANSIENT_CODES = frozenset(
    {
        "InternalServiceError",
        "InternalServiceErrorException",
        "InternalFailure",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_SERVER_ERROR = 500


def read_accounts(text: str) -> dict[str, object] | None:
    """Read the entries of all accounts, of which none need be right.

    Parameters
    ----------
    text : str
        The value of the secret.

    Returns
    -------
    dict or None
        The entries by the names of the accounts, None if the text is something else.
    """
    try:
        # Editors, and PowerShell, put a byte order mark before it.
        accounts = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        # The error holds the text.
        return None
    return accounts if isinstance(accounts, dict) else None


class Members(NamedTuple):
    """What the accounts have in the secret beside their credentials.

    Parameters
    ----------
    accounts : dict
        Of each account that has any of the members, those that it has.
    faults : tuple of str
        What is wrong with those of the accounts that are left out. Never a value.
    """

    accounts: dict[str, dict[str, str]]
    faults: tuple[str, ...]


class CredentialStore:
    """The accounts' credentials, fetched from one secret and kept for a while. Safe to share between threads.

    A thread of its own fetches them, one fetch at a time, while senders go on with what is held.

    Parameters
    ----------
    client : SecretsManagerClient
        boto3's client.
    secret_id : str
        Name or ARN of the secret, whose value is ``{"<account>": {"access_code": "…", …}, …}``. An entry's fields
        decide the dialect of its account.
    max_age : float
        Seconds a fetched value is used before it is fetched again.
    patience : float
        Seconds a caller waits for a fetch though there are credentials that may still do.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        secret_id: str,
        *,
        max_age: float = MAX_AGE,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._secret_id = secret_id
        self._max_age = max_age
        self._patience = patience
        self._clock = clock
        # Guards what follows, and is never held during a fetch.
        self._lock = threading.Lock()
        self._fetch: _Fetch | None = None
        self._accounts: dict[str, object] | None = None
        # Those that were asked for, so that an entry is read once for each fetch.
        self._credentials: dict[str, AnyCredentials] = {}
        self._error: str | None = None
        self._is_away = False
        self._version = 0
        self._fresh_until = self._answered_at = self._due_at = -math.inf

    def get(self, account: str) -> AnyCredentials:
        """Return the account's credentials.

        Parameters
        ----------
        account : str
            Name of the account.

        Returns
        -------
        Credentials
            At most `max_age` seconds old, or ``stale`` if Secrets Manager is unavailable or slow.

        Raises
        ------
        UnknownAccountError
            If the secret, fetched again if need be, does not hold the account.
        CredentialsError
            If the secret is missing, cannot be read, or lacks a field. The message names it and shows no value.
        """
        self._look()
        with self._lock:
            try:
                return self._select(account)
            except CredentialsError:
                # The account may have been stored, or mended, since.
                if not self._fetch and self._clock() < self._answered_at + RETRY_SECONDS:
                    raise
                fetch = self._begin()
        fetch.wait(self._patience)
        with self._lock:
            return self._select(account)

    def accounts(self) -> list[str]:
        """Return the names of the accounts in the secret, whether their credentials are complete or not.

        Raises
        ------
        CredentialsError
            If the secret is missing, cannot be read, or holds no accounts.
        """
        with suppress(UnknownAccountError):
            # Each account has a name, so this only fetches the secret if need be.
            self.get("")
        with self._lock:
            return sorted(self._accounts or ())

    def refresh(self, account: str, refused: AnyCredentials) -> AnyCredentials:
        """Return the account's credentials after Cube has refused some.

        Parameters
        ----------
        account : str
            Name of the account.
        refused : Credentials
            The ones that were refused. Fetches nothing if another thread has fetched others since.

        Returns
        -------
        Credentials
            Fetched again, or ``stale`` if Secrets Manager is unavailable.

        Raises
        ------
        CredentialsError
            As for `get`.
        """
        with self._lock:
            current = self._select(account)
            if current.version != refused.version or current != refused:
                return current
            if self._is_away and not self._fetch and self._clock() < self._due_at:
                return current
            fetch = self._begin()
        fetch.wait(LONGEST_WAIT)
        with self._lock:
            return self._select(account)

    def members(self, *names: str, afresh: bool = False) -> Members:
        """Return what the accounts have beside their credentials. What it means is up to who asks.

        Parameters
        ----------
        *names : str
            Names of the members, which are texts.
        afresh : bool
            Whether the secret is fetched again, unless it was within the last `RETRY_SECONDS`.

        Returns
        -------
        Members
            Those of the accounts that have any.

        Raises
        ------
        CredentialsError
            If the secret is missing or cannot be read.
        """
        self._look(afresh=afresh)
        with self._lock:
            found = {
                account: {name: entry[name] for name in names if name in entry}
                for account, entry in self._held().items()
                if isinstance(entry, dict)
            }
        faults = {
            account: f"secret {self._secret_id}, account {account!r}: {name} {fault}"
            for account, members in found.items()
            for name, value in members.items()
            if (fault := fault_of(value))
        }
        sound = {account: members for account, members in found.items() if members and account not in faults}
        return Members(sound, tuple(faults.values()))

    def _look(self, *, afresh: bool = False) -> None:
        """Fetch the secret if that is due, and wait for a fetch that is under way."""
        with self._lock:
            # Read under the lock: another thread may have fetched since this one began.
            if self._clock() >= (self._answered_at + RETRY_SECONDS if afresh else self._due_at):
                self._begin()
            fetch, is_usable = self._fetch, self._accounts is not None and not self._error
        if fetch:
            fetch.wait(self._patience if is_usable else LONGEST_WAIT)

    def _begin(self) -> _Fetch:
        """Begin a fetch, or return the one that is under way."""
        if not self._fetch:
            fetch = _Fetch()
            # A daemon: Lambda freezes it between invocations, and nothing waits for it at the end.
            threading.Thread(target=self._run, args=(fetch, self._clock()), daemon=True).start()
            self._fetch = fetch
        return self._fetch

    def _run(self, fetch: _Fetch, started_at: float) -> None:
        accounts, error, is_away = None, None, False
        try:
            accounts = self._read(self._client.get_secret_value(SecretId=self._secret_id))
        except CredentialsError as fault:
            error = str(fault)
        except Exception as fault:  # noqa: BLE001 - whatever it is, those who wait learn of it
            is_away = _is_transient(fault)
            error = f"secret {self._secret_id} cannot be fetched: {error_name(fault)}"
        with self._lock:
            now = self._answered_at = self._clock()
            self._due_at = now + RETRY_SECONDS
            # An old value serves while Secrets Manager is unavailable, and hides no fault of the deployment.
            self._is_away = is_away and self._accounts is not None
            self._error = None if self._is_away else error
            if accounts is not None:
                self._accounts, self._credentials = accounts, {}
                self._version += 1
                # It is as old as the question: Lambda may have frozen this thread before it had the answer.
                self._fresh_until = started_at + self._max_age
                self._due_at = max(self._fresh_until, now + min(self._max_age, RETRY_SECONDS))
            self._fetch = None
        fetch.done.set()

    def _read(self, answer: GetSecretValueResponseTypeDef) -> dict[str, object]:
        wanted = f"secret {self._secret_id} must be a JSON object of accounts such as {SHAPE}"
        if "SecretString" not in answer:
            raise CredentialsError(f"{wanted}, stored as text and not as binary")
        accounts = read_accounts(answer["SecretString"])
        if accounts is None:
            raise CredentialsError(wanted)
        # One bad entry stops no other account, but these are none: the console makes text of what it is given by key.
        if not any(isinstance(entry, dict) for entry in accounts.values()):
            raise CredentialsError(f"{wanted}, and holds no object; in the console, use the plaintext form")
        return accounts

    def _held(self) -> dict[str, object]:
        if self._accounts is None or self._error:
            raise CredentialsError(self._error or f"secret {self._secret_id} cannot be fetched: no answer yet")
        return self._accounts

    def _select(self, account: str) -> AnyCredentials:
        accounts = self._held()
        where = f"secret {self._secret_id}, account {account!r}"
        if account not in accounts:
            if self._is_away or self._fetch:
                raise CredentialsError(f"secret {self._secret_id} had no account {account!r} when it could be fetched")
            if any(isinstance(accounts.get(name), str) for name in FIELDS):
                # Its credentials may be among those that belong to none.
                raise CredentialsError(f"{where}: is not there; credentials must be in an account: {SHAPE}")
            raise UnknownAccountError(f"secret {self._secret_id} has no account {account!r}")
        entry = accounts[account]
        if not isinstance(entry, dict):
            raise CredentialsError(f"{where}: must be an object, as in {SHAPE}; in the console, use the plaintext form")
        if account not in self._credentials:
            try:
                self._credentials[account] = read_credentials(entry, self._version)
            except ValueError as fault:
                raise CredentialsError(f"{where}: {fault}") from None
        credentials = self._credentials[account]
        return replace(credentials, stale=True) if self._is_away or self._clock() >= self._fresh_until else credentials


class _Fetch:
    """A fetch that is under way."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self._started_at = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait until it is done, or it has taken so many seconds: who comes later waits no more."""
        self.done.wait(max(0.0, self._started_at + seconds - time.monotonic()))


def _is_transient(error: Exception) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= _SERVER_ERROR or error.response["Error"]["Code"] in _TRANSIENT_CODES
    # Everything that botocore raises here comes from the connection.
    return isinstance(error, BotoCoreError)
