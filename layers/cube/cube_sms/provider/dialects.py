"""The provider's dialects. The secret decides: an account speaks the one that its credentials belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.platform import Fault, SettingsError

from . import csss

if TYPE_CHECKING:
    from collections.abc import Callable

    from cube_sms.platform import Settings

    from .base import Provider


class Dialect(NamedTuple):
    """One way to talk to the provider.

    Parameters
    ----------
    fields : tuple of str
        What its credentials hold in the secret.
    credentials : Callable[..., AnyCredentials]
        Makes them, from these fields by name.
    provider : Callable[[Settings, int], Provider]
        Makes what speaks it, for a deployment and so many connections.
    """

    fields: tuple[str, ...]
    credentials: Callable[..., AnyCredentials]
    provider: Callable[[Settings, int], Provider[Any, Any, Any]]


def _csss(settings: Settings, connections: int) -> Provider[Any, Any, Any]:
    try:
        return csss.CubeClient(
            settings.cube_base_url,
            language=settings.cube_language,
            timestamp_unit=settings.cube_timestamp_unit,
            connect_timeout=settings.cube_connect_timeout,
            read_timeout=settings.cube_read_timeout,
            answer_codes=settings.cube_answer_codes,
            keeps_messages=settings.keep_provider_messages,
            max_connections=connections,
        )
    except ValueError as error:
        raise SettingsError([Fault("CUBE_ANSWER_CODES", str(error))]) from None


type AnyCredentials = csss.CsssCredentials
"""Those of any dialect."""

CSSS = Dialect(csss.FIELDS, csss.CsssCredentials, _csss)


def make_provider(settings: Settings, connections: int) -> Provider[Any, Any, Any]:
    """Make the provider of a deployment.

    Parameters
    ----------
    settings : Settings
        The deployment's settings.
    connections : int
        Queries at the same time.

    Returns
    -------
    Provider
        What sends messages.

    Raises
    ------
    SettingsError
        Where the settings contradict what the dialect knows.
    """
    return CSSS.provider(settings, connections)
