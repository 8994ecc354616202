"""How a command ends: its exit status, and the sentence that an operator gets."""

from __future__ import annotations

from enum import IntEnum

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

_REFUSED_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException", "InvalidSignatureException", "InvalidAccessKeyId"}
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})

NO_PERMISSION = "You have no permission for {operation}: see docs/operator-policy.json."


class Exit(IntEnum):
    """The exit statuses, for scripts."""

    DONE = 0
    """The command has done what it was asked for."""
    FAULT = 1
    """The command has failed. Standard error says why, and what to do."""
    USAGE = 2
    """The command line is wrong."""
    WAITING = 3
    """What was asked for has not ended yet. It continues by itself."""


class OperatorError(Exception):
    """The command cannot be carried out. The text is a sentence that says why, and what to do."""


# What is shown as a sentence. Everything else is a fault of the command itself.
TOLD = (OperatorError, BotoCoreError, ClientError)


def sentence(error: Exception) -> str:
    """Return the sentence that an operator gets for a fault.

    Parameters
    ----------
    error : Exception
        The fault.

    Returns
    -------
    str
        What it is, and what to do about it if that is known.

    Examples
    --------
    >>> sentence(NoRegionError())
    'There is no AWS region: give --region, or set AWS_REGION.'
    """
    if isinstance(error, NoRegionError):
        return "There is no AWS region: give --region, or set AWS_REGION."
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "There are no AWS credentials: give --profile, set AWS_PROFILE, or log in."
    if isinstance(error, ProfileNotFound):
        return f"{error}: give --profile another name, or set AWS_PROFILE."
    if isinstance(error, EndpointConnectionError):
        return f"AWS cannot be reached: is the region right, or is `make local` up? {error}"
    if isinstance(error, ClientError):
        code, message = (error.response["Error"].get(name, "") for name in ("Code", "Message"))
        if code in _REFUSED_CREDENTIALS:
            return f"AWS does not take the credentials: log in again ({code})."
        if code in DENIED:
            return f"{NO_PERMISSION.format(operation=error.operation_name)} {message}"
        return f"AWS refuses {error.operation_name}: {message} ({code})"
    return str(error)


def told(error: Exception) -> str | None:
    """Return the sentence for any error; None if it is a fault of the command itself.

    The layer's own code has errors of its own for what AWS refuses, and so has boto3 for files that it uploads. Their
    sentence is that of AWS's error.
    """
    behind = error.__context__ if isinstance(error, Boto3Error) else error.__cause__
    return next((sentence(each) for each in (error, behind) if isinstance(each, TOLD)), None)
