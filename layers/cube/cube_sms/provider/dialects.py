"""The provider's dialects. The secret decides: an account uses the one of its credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.platform import Fault, SettingsError

from . import csss, v4
from .http import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cube_sms.platform import ProviderSettings
    from cube_sms.request import SendRequest

    from .base import CubeAnswer, Line, Lists, Provider, Query

type AnyCredentials = csss.CsssCredentials | v4.V4Credentials
"""Those of any dialect."""

type AnyProvider = Provider[Any, Any, Any]
"""One of any dialect, or of several."""


class Dialect(NamedTuple):
    """One way to talk to the provider.

    Parameters
    ----------
    credentials : type
        What its accounts have in the secret.
    provider : Callable[[ProviderSettings, Connections], Provider]
        Makes its provider, for a deployment.
    """

    credentials: type[AnyCredentials]
    provider: Callable[[ProviderSettings, Connections], AnyProvider]


def _csss(settings: ProviderSettings, connections: Connections) -> AnyProvider:
    return csss.CubeClient(
        settings.cube_base_url,
        connections,
        timestamp_unit=settings.cube_timestamp_unit,
        **_options(settings),
    )


def _v4(settings: ProviderSettings, connections: Connections) -> AnyProvider:
    return v4.CubeV4Client(
        settings.cube_v4_base_url,
        connections,
        signed_spaces=settings.cube_v4_signed_spaces,
        **_options(settings),
    )


def _options(settings: ProviderSettings) -> dict[str, Any]:
    return {
        "language": settings.cube_language,
        "answer_codes": settings.cube_answer_codes,
        "keeps_messages": settings.keep_provider_messages,
    }


DIALECTS = (Dialect(csss.CsssCredentials, _csss), Dialect(v4.V4Credentials, _v4))


class Dialects:
    """A provider in all of its dialects: each account in its own. Safe to share between threads.

    Parameters
    ----------
    providers : Mapping[type, Provider]
        Those of the dialects, by the class of their credentials.
    connections : Connections
        Those that they share.
    """

    def __init__(self, providers: Mapping[type[AnyCredentials], AnyProvider], connections: Connections) -> None:
        self._providers = providers
        self._connections = connections

    @property
    def longest_post(self) -> float:
        """The most seconds that one query takes: see `cube_sms.provider.base.Provider` for this and what follows."""
        return self._connections.longest_post

    def most_recipients(self, credentials: AnyCredentials) -> int:
        """Return the most messages of one query."""
        return self._of(credentials).most_recipients(credentials)

    def repeats_within(self, credentials: AnyCredentials) -> float:
        """Return how long a query can be repeated."""
        return self._of(credentials).repeats_within(credentials)

    def lists(self, credentials: AnyCredentials) -> Lists[Any, Any] | None:
        """Return what can be asked of a device's messages."""
        return self._of(credentials).lists(credentials)

    def prepare(self, credentials: AnyCredentials, messages: Sequence[SendRequest]) -> Query[AnyCredentials]:
        """Make a query."""
        query: Query[AnyCredentials] = self._of(credentials).prepare(credentials, messages)
        return query

    def connection(self, credentials: AnyCredentials) -> AbstractContextManager[Line]:
        """Take one of the lines as long as a context."""
        return self._of(credentials).connection(credentials)

    def send(self, query: Query[AnyCredentials], *, over: Line, left: Callable[[], None]) -> CubeAnswer:
        """Send a query, once."""
        return self._of(query.credentials).send(query, over=over, left=left)

    def close(self) -> None:
        """Close every line."""
        self._connections.close()

    def _of(self, credentials: AnyCredentials) -> AnyProvider:
        return self._providers[type(credentials)]


def read_credentials(entry: Mapping[str, object], version: int) -> AnyCredentials:
    """Read the entry of an account in the secret.

    Parameters
    ----------
    entry : Mapping[str, object]
        The entry.
    version : int
        Which fetch it comes from.

    Returns
    -------
    Credentials
        Those of the dialect whose fields it has.

    Raises
    ------
    ValueError
        If it has fields of both dialects, or a fault. The text names the field and quotes no value.
    """
    found = [kind.credentials for kind in DIALECTS if not entry.keys().isdisjoint(kind.credentials.FIELDS)]
    if len(found) == 1:
        return found[0].from_entry(entry, version)
    choice = " or ".join(" and ".join(kind.credentials.FIELDS) for kind in DIALECTS)
    raise ValueError(f"must have {choice}, " + ("not fields of both" if found else "and has none of these"))


def make_provider(settings: ProviderSettings, connections: int) -> AnyProvider:
    """Make the provider of a deployment.

    Parameters
    ----------
    settings : Settings
        The deployment's settings.
    connections : int
        Queries at the same time, of all dialects together.

    Returns
    -------
    Provider
        What sends messages, each in the dialect of its account.

    Raises
    ------
    SettingsError
        If the settings contradict what a dialect knows.
    """
    shared = Connections(
        connect_timeout=settings.cube_connect_timeout, read_timeout=settings.cube_read_timeout, size=connections
    )
    try:
        return Dialects({kind.credentials: kind.provider(settings, shared) for kind in DIALECTS}, shared)
    except ValueError as error:
        raise SettingsError([Fault("CUBE_ANSWER_CODES", str(error))]) from None
