"""A request that is signed in one of the possible forms, and Cube's answer."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from cube_sms.request import SendRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cube_sms.provider import Credentials, Query
    from cube_sms.provider.client import Client
    from cube_sms.provider.http import Connections

type Flaw = Literal["signature", "clock"]
"""What is wrong with a request on purpose."""

# So old that Cube refuses it: its limit is ten minutes.
OLD_SECONDS = 3600.0


@dataclass(frozen=True)
class Trial:
    """A request.

    Parameters
    ----------
    name : str
        Its name, by which the operator can ask for it.
    about : str
        What it tries.
    client : Client
        Signs and posts it.
    query : Query
        What is posted.
    group : str
        Requests of one group are compared with one another.
    flaw : {"signature", "clock"}, optional
        What is wrong with it on purpose, to see how Cube refuses that.
    settings : Mapping[str, str]
        The template's parameters with which the functions sign in this form.
    has_setting : bool
        Whether the functions can sign in this form.
    doubt : str, optional
        The characters whose form is in doubt. Of the requests with one doubt, the first is signed as the functions do.
    """

    name: str
    about: str
    client: Client[Any, Any]
    query: Query[Any]
    group: str
    flaw: Flaw | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    has_setting: bool = True
    doubt: str | None = None


class Answer(NamedTuple):
    """An answer of Cube.

    Parameters
    ----------
    status : int or None
        HTTP status; None if no answer came.
    code : str or None
        Cube's code, if it gave one.
    words : str or None
        Cube's words, or what happened.
    is_accepted : bool
        Whether Cube accepted the message.
    """

    status: int | None
    code: str | None
    words: str | None
    is_accepted: bool = False

    @property
    def seen(self) -> tuple[int | None, str | None]:
        """What distinguishes answers. Words do not: they may quote what differs in each request."""
        return self.status, self.code


class Explanation(NamedTuple):
    """How a request is signed.

    Parameters
    ----------
    text : str
        The signed text.
    signature : str
        Its signature.
    """

    text: str
    signature: str


class Probe[C: Credentials](ABC):
    """The open questions about a dialect, as requests of one account.

    Parameters
    ----------
    credentials : Credentials
        The account's credentials.
    device_id : str
        The device that does not exist.
    base_url : str
        Cube's address.
    connections : Connections
        The connections to it.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    dialect: ClassVar[str]
    client: ClassVar[type[Client[Any, Any]]]

    def __init__(
        self,
        credentials: C,
        device_id: str,
        base_url: str,
        connections: Connections,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._device_id = device_id
        self._base_url = base_url
        self._connections = connections
        self._clock = clock

    def _trial(
        self,
        name: str,
        about: str,
        options: Mapping[str, Any],
        text: str,
        *,
        by: C | None = None,
        age: float = 0.0,
        **told: Any,
    ) -> Trial:
        """Make a request, with a client that has these options."""
        client = self.client(
            self._base_url,
            self._connections,
            language="en-US",
            keeps_messages=True,
            clock=lambda: self._clock() - age,
            **options,
        )
        query = client.prepare(by or self._credentials, [SendRequest(device_id=self._device_id, content=text)])
        return Trial(name, about, client, query, **told)

    @abstractmethod
    def first(self) -> Sequence[Trial]:
        """Return the requests to begin with."""

    @abstractmethod
    def then(self, passed: Sequence[Trial]) -> Sequence[Trial]:
        """Return the requests that depend on which of the first passed."""

    @abstractmethod
    def explain(self, trial: Trial) -> Explanation:
        """Sign a request, and return what was signed. Nothing is sent."""
