"""The accounts' credentials, read with the caller's own permission as the functions read them. None is ever shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cube_sms.provider import CredentialStore
from cube_sms.provider.csss import CsssCredentials

from .errors import DENIED, NO_PERMISSION

if TYPE_CHECKING:
    from cube_sms.provider import AnyCredentials, CredentialsError

    from .stack import Stack

# The parameter with Cube's address, by the dialect of an account.
ADDRESS = {"csss": "CubeBaseUrl", "v4": "CubeV4BaseUrl"}


def credential_store(stack: Stack) -> CredentialStore:
    """Return what reads the secret of a stack."""
    return CredentialStore(stack.client("secretsmanager"), stack.output("CubeSecretId"))


def is_denied(error: CredentialsError) -> bool:
    """Return whether the caller may not read the secret. The store keeps only the code of AWS's answer."""
    return str(error).rpartition(": ")[2] in DENIED


def told(error: CredentialsError) -> str:
    """Return the sentence for what is wrong with the secret."""
    if is_denied(error):
        return NO_PERMISSION.format(operation="GetSecretValue")
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."


def dialect_of(credentials: AnyCredentials) -> Literal["csss", "v4"]:
    """Return the dialect that an account uses."""
    return "csss" if isinstance(credentials, CsssCredentials) else "v4"
