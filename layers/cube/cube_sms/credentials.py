"""Credentials of the accounts, from one secret in AWS Secrets Manager."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from .errors import CredentialsError, UnknownAccountError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

# After a failure, and for an account that is not in the secret, Secrets Manager is asked again after this many seconds,
# not for every message.
RETRY_SECONDS = 5.0

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


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one account signs with.

    Parameters
    ----------
    access_code : str
        The partner code, such as "P002276".
    secret : str
        The signing secret. Not shown by ``repr``.
    stale : bool
        Whether this is the last good value, served while Secrets Manager is away.
    version : int
        Which fetch it comes from.
    """

    access_code: str
    secret: str = field(repr=False)
    stale: bool = field(default=False, compare=False)
    version: int = field(default=0, compare=False, repr=False)


class CredentialStore:
    """The accounts' credentials, fetched from one secret and kept for a while. Safe to share between threads.

    Parameters
    ----------
    client : SecretsManagerClient
        boto3's client.
    secret_id : str
        Name or ARN of the secret, whose value is ``{"<account>": {"access_code": "…", "secret": "…"}, …}``.
    max_age : float
        Seconds a fetched value is used before it is fetched again.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        secret_id: str,
        *,
        max_age: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._secret_id = secret_id
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[str, object] | None = None
        self._error: str | None = None
        self._stale = False
        self._version = 0
        self._fetched_at = self._fetch_at = -math.inf

    def get(self, account: str) -> Credentials:
        """Return the account's credentials.

        Parameters
        ----------
        account : str
            Name of the account.

        Returns
        -------
        Credentials
            At most `max_age` seconds old, or ``stale`` where Secrets Manager is away.

        Raises
        ------
        UnknownAccountError
            Where the secret, fetched afresh if need be, does not hold the account.
        CredentialsError
            Where the secret is missing, cannot be read, or lacks a field. The message names it and shows no value.
        """
        with self._lock:
            now = self._clock()
            if now >= self._fetch_at:
                self._fetch()
            try:
                return self._select(account)
            except CredentialsError:
                # The account may have been stored, or mended, since.
                if now < self._fetched_at + RETRY_SECONDS:
                    raise
            self._fetch()
            return self._select(account)

    def refresh(self, account: str, refused: Credentials) -> Credentials:
        """Return the account's credentials after Cube has refused some.

        Parameters
        ----------
        account : str
            Name of the account.
        refused : Credentials
            The ones that were refused. Fetches nothing where another thread has fetched others since.

        Returns
        -------
        Credentials
            Fetched afresh, or ``stale`` where Secrets Manager is away.

        Raises
        ------
        CredentialsError
            As for `get`.
        """
        with self._lock:
            current = self._select(account)
            is_newer = current.version != refused.version or current != refused
            if not is_newer and not (self._stale and self._clock() < self._fetch_at):
                self._fetch()
            return self._select(account)

    def _fetch(self) -> None:
        self._fetched_at = self._clock()
        self._fetch_at = self._fetched_at + RETRY_SECONDS
        self._error = None
        try:
            value = self._client.get_secret_value(SecretId=self._secret_id).get("SecretString", "")
        except (BotoCoreError, ClientError) as error:
            self._stale = self._accounts is not None and _is_transient(error)
            if not self._stale:
                self._error = f"secret {self._secret_id} cannot be fetched: {_reason(error)}"
            return
        try:
            accounts = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            accounts = None
        if not isinstance(accounts, dict):
            self._error = f"secret {self._secret_id} must be a JSON object with a member for each account"
            return
        self._accounts = accounts
        self._version += 1
        self._stale = False
        self._fetch_at = self._fetched_at + self._max_age

    def _select(self, account: str) -> Credentials:
        if self._error:
            raise CredentialsError(self._error)
        accounts = self._accounts or {}
        if account not in accounts and self._stale:
            raise CredentialsError(f"secret {self._secret_id} had no account {account!r} when it could be fetched")
        if account not in accounts:
            raise UnknownAccountError(f"secret {self._secret_id} has no account {account!r}")
        entry = accounts[account]
        values = [entry.get(name) if isinstance(entry, dict) else None for name in ("access_code", "secret")]
        for name, value in zip(("access_code", "secret"), values, strict=True):
            if not isinstance(value, str) or not value:
                raise CredentialsError(f"secret {self._secret_id}, account {account!r}: {name} must be a string")
        if not str(values[0]).isprintable():
            # It is signed, and a text with a control character is not (`signing.canonical_json`).
            raise CredentialsError(f"secret {self._secret_id}, account {account!r}: access_code must be printable")
        return Credentials(str(values[0]), str(values[1]), self._stale, self._version)


def _is_transient(error: BotoCoreError | ClientError) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= _SERVER_ERROR or error.response["Error"]["Code"] in _TRANSIENT_CODES
    # Everything else botocore raises here comes from the connection.
    return True


def _reason(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"]
    return type(error).__name__
