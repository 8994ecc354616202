"""The trials of `cube-sms probe`: they find out how an account's requests have to be signed.

The device of the requests does not exist, so that Cube refuses all of them. It refuses those with a right signature in
another way than those with a wrong one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.provider import CredentialsError
from cube_sms.provider.csss import CsssCredentials
from cube_sms.provider.http import Connections
from cube_sms_cli.errors import OperatorError
from cube_sms_cli.secret import ADDRESS, credential_store, dialect_of, told

from .conclusions import conclude
from .csss import CsssProbe
from .device import could_exist
from .run import run
from .trials import Probe
from .v4 import V4Probe
from .verdict import Result

if TYPE_CHECKING:
    from cube_sms.provider import AnyCredentials
    from cube_sms_cli.stack import Stack

__all__ = ["Probe", "Result", "conclude", "could_exist", "make_probe", "probe_of", "run"]


def make_probe(stack: Stack, account: str, device_id: str) -> Probe[Any]:
    """Return the probe for an account, in the dialect of its credentials.

    Parameters
    ----------
    stack : Stack
        The deployed stack.
    account : str
        Name of the account.
    device_id : str
        A device that cannot exist.

    Raises
    ------
    OperatorError
        If the account has no credentials, or they cannot be read.
    """
    try:
        credentials = credential_store(stack).get(account)
    except CredentialsError as error:
        raise OperatorError(told(error)) from None
    return probe_of(stack, credentials, device_id)


def probe_of(stack: Stack, credentials: AnyCredentials, device_id: str) -> Probe[Any]:
    """Return the probe for an account with these credentials: see `make_probe`."""
    # The functions have the same timeouts.
    connections = Connections(connect_timeout=3.0, read_timeout=10.0, size=1)
    base_url = stack.parameters[ADDRESS[dialect_of(credentials)]]
    if isinstance(credentials, CsssCredentials):
        return CsssProbe(credentials, device_id, base_url, connections)

    return V4Probe(credentials, device_id, base_url, connections)
