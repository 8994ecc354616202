"""What the scripts that operate a deployed stack share: its outputs, and faults told in a sentence."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# As a shell has it for what Ctrl-C has ended.
INTERRUPTED = 130

_REFUSED_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "RequestExpired", "SignatureDoesNotMatch"}
    | {"UnrecognizedClientException", "InvalidSignatureException", "InvalidAccessKeyId"}
)


class OperatorError(Exception):
    """The command cannot be carried out; the text is the sentence that says why."""


def stack_outputs(stack: str, *names: str) -> list[str]:
    """Return outputs of a stack.

    Parameters
    ----------
    stack : str
        Its name.
    *names : str
        The outputs that are wanted.

    Returns
    -------
    list[str]
        Their values.

    Raises
    ------
    OperatorError
        If there is no such stack, or it has no such output.
    """
    client = boto3.client("cloudformation")
    try:
        (described,) = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if not is_missing_stack(error):
            raise
        raise OperatorError(
            f"there is no stack {stack} in {client.meta.region_name}: is the name right, and the region?"
        ) from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    if missing := [name for name in names if name not in outputs]:
        raise OperatorError(f"the stack {stack} has no output {', '.join(missing)}: is it one of cube-sms?")
    return [outputs[name] for name in names]


def is_missing_stack(error: ClientError) -> bool:
    """Return whether CloudFormation says that there is no such stack."""
    return "does not exist" in error.response["Error"].get("Message", "")


def moment(text: str) -> datetime:
    """Read a time with its offset, such as an option gives.

    Examples
    --------
    >>> moment("2027-01-31T13:00:00+01:00").isoformat()
    '2027-01-31T12:00:00+00:00'
    """
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError("a time without an offset")
    return read.astimezone(UTC)


def run(main: Callable[[], int | None]) -> None:
    """Run a command, and end the process: with what it returns, or with 1 and a sentence on standard error.

    Parameters
    ----------
    main : Callable[[], int or None]
        The command. It returns the exit status, None for success.
    """
    try:
        sys.exit(main())
    except (OperatorError, BotoCoreError, ClientError) as error:
        sys.exit(sentence(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def sentence(error: Exception) -> str:
    """Return what an operator is told of a fault.

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
    'there is no AWS region: set AWS_DEFAULT_REGION'
    """
    if isinstance(error, NoRegionError):
        return "there is no AWS region: set AWS_DEFAULT_REGION"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "there are no AWS credentials: set AWS_PROFILE, or log in"
    if isinstance(error, EndpointConnectionError):
        return f"AWS cannot be reached: is the region right? {error}"
    if isinstance(error, ClientError):
        code, message = (error.response["Error"].get(name, "") for name in ("Code", "Message"))
        if code in _REFUSED_CREDENTIALS:
            return f"AWS does not take the credentials: log in again ({code})"
        return f"AWS refuses {error.operation_name}: {message} ({code})"
    return str(error)
