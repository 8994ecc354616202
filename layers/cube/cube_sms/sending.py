"""Sending one message: from a valid request to the state one attempt leaves it in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from .client import CubeAnswer, CubeClient
from .credentials import CredentialStore
from .errors import (
    CredentialsError,
    CubeAuthenticationError,
    CubeError,
    CubeOutcomeUnknown,
    CubeRejected,
    CubeThrottled,
    Fault,
    InvalidRequestError,
    UnknownAccountError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from .credentials import Credentials
    from .models import SendRequest
    from .settings import Settings


class State(StrEnum):
    """What has become of a message. All but `RETRYING` are final."""

    SENT = "SENT"
    """Cube accepted it."""
    REJECTED = "REJECTED"
    """Cube said no."""
    EXPIRED = "EXPIRED"
    """Its time was over before it was sent."""
    UNKNOWN = "UNKNOWN"
    """It may have been sent, and is not to be sent again."""
    RETRYING = "RETRYING"
    """It was not sent, or may not have been, and is to be tried again."""
    FAILED = "FAILED"
    """Its attempts are used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attempt to send a message came to.

    Parameters
    ----------
    state : State
        The state of the message now.
    posts : tuple of CubeAnswer or CubeError
        What each POST came to: none, one, or two where the first was refused for its credentials.
    error : CubeError or CredentialsError, optional
        What stands between the message and `State.SENT`.
    stale_credentials : bool
        Whether the last good credentials were used because Secrets Manager was away.
    """

    state: State
    posts: tuple[CubeAnswer | CubeError, ...] = ()
    error: CubeError | CredentialsError | None = None
    stale_credentials: bool = False

    @property
    def code(self) -> str | None:
        """The provider's code in its last answer."""
        return self.posts[-1].code if self.posts else None

    @property
    def message(self) -> str | None:
        """The provider's message in its last answer."""
        return self.posts[-1].message if self.posts else None

    @property
    def throttled(self) -> int:
        """How many POSTs were answered with HTTP 429."""
        return sum(isinstance(post, CubeThrottled) for post in self.posts)

    @property
    def retry_after(self) -> float | None:
        """Seconds the provider asks to wait."""
        return self.error.retry_after if isinstance(self.error, CubeError) else None


class Sender:
    """Sends messages. Safe to share between threads.

    Parameters
    ----------
    client : CubeClient
        The provider.
    credentials : CredentialStore
        The accounts' credentials.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, client: CubeClient, credentials: CredentialStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._clock = clock
        self.longest_send = 2 * client.longest_post
        """The most seconds one `send` takes at the provider."""

    @classmethod
    def from_settings(cls, settings: Settings, secrets_manager: SecretsManagerClient, *, connections: int = 1) -> Self:
        """Make a sender for a deployment.

        Parameters
        ----------
        settings : Settings
            The deployment's settings.
        secrets_manager : SecretsManagerClient
            boto3's client.
        connections : int
            How many messages are sent at the same time.

        Returns
        -------
        Sender
            A sender with a client and a credential store of its own.
        """
        client = CubeClient(
            settings.cube_base_url,
            language=settings.cube_language,
            timestamp_unit=settings.cube_timestamp_unit,
            connect_timeout=settings.cube_connect_timeout,
            read_timeout=settings.cube_read_timeout,
            max_connections=connections,
        )
        return cls(client, CredentialStore(secrets_manager, settings.cube_secret_id, max_age=settings.secret_max_age))

    def send(self, request: SendRequest) -> Outcome:
        """Try once to send a message.

        Parameters
        ----------
        request : SendRequest
            The message.

        Returns
        -------
        Outcome
            Whatever came of it.

        Raises
        ------
        InvalidRequestError
            Where there is no such account.
        """
        try:
            credentials = self._credentials.get(request.account)
        except UnknownAccountError as error:
            fault = Fault("account", "has no credentials in this deployment")
            raise InvalidRequestError([fault], request.request_id or None) from error
        except CredentialsError as error:
            return Outcome(state=State.RETRYING, error=error)
        outcome = self._post(credentials, request, ())
        if isinstance(outcome.error, CubeAuthenticationError):
            # The account's secret may just have been rotated.
            try:
                credentials = self._credentials.refresh(request.account, credentials)
            except CredentialsError as error:
                return Outcome(state=State.RETRYING, posts=outcome.posts, error=error)
            outcome = self._post(credentials, request, outcome.posts)
        return outcome

    def _post(
        self, credentials: Credentials, request: SendRequest, earlier: tuple[CubeAnswer | CubeError, ...]
    ) -> Outcome:
        error = None
        posts = earlier
        if request.expires_at and request.expires_at.timestamp() <= self._clock():
            state = State.EXPIRED
        else:
            try:
                posts = (*earlier, self._client.send_sms(credentials, request))
                state = State.SENT
            except CubeError as caught:
                error = caught
                posts = (*earlier, error)
                state = _state_after(error, request)
        return Outcome(state=state, posts=posts, error=error, stale_credentials=credentials.stale)


def _state_after(error: CubeError, request: SendRequest) -> State:
    if isinstance(error, CubeRejected):
        return State.REJECTED
    if isinstance(error, CubeOutcomeUnknown) and request.delivery == "at-most-once":
        return State.UNKNOWN
    return State.RETRYING
