"""Checks of the caller, of this machine's clock, and of the stack."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cube_sms import __version__
from cube_sms_cli.errors import sentence

from .finding import fault, not_checked, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cube_sms_cli.stack import Stack

    from .finding import Finding

# AWS refuses a request that was signed five minutes off.
MOST_SECONDS_OFF = 300
SECONDS_WORTH_A_WORD = 30


def check_identity(stack: Stack) -> Iterator[Finding]:
    """Ask AWS who the caller is, which needs no permission, and what time it is there."""
    try:
        answer = stack.client("sts").get_caller_identity()
        yield ok("AWS", f"{answer['Arn']} in {stack.region}")
    except ClientError as error:
        answer = error.response
        yield fault("AWS", sentence(error), "Log in again, or give another --profile.")
    # A wrong clock may be the reason why AWS has refused the credentials.
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    yield clock(date, time.time()) if date else not_checked("clock", "AWS's answer has no date.")


def clock(date: str, now: float) -> Finding:
    """Compare a machine's clock, which says ``now``, with the date of an answer of AWS.

    Examples
    --------
    >>> clock("Thu, 01 Jan 1970 00:10:00 GMT", 540.0).detail
    "This machine's clock is 60 s behind AWS's."
    """
    seconds = round(now - parsedate_to_datetime(date).timestamp())
    if abs(seconds) < SECONDS_WORTH_A_WORD:
        return ok("clock", "as AWS's")
    found = f"This machine's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} AWS's."
    kind = fault if abs(seconds) >= MOST_SECONDS_OFF else warning
    return kind(
        "clock", found, "Set it by a time server. AWS refuses requests that are five minutes off, and Cube ten."
    )


def check_deployment(stack: Stack) -> Iterator[Finding]:
    """Check that the stack exists, is complete, and has this command's version."""
    yield whole(stack.name, stack.description["StackStatus"], stack.outputs)
    deployed = stack.outputs.get("Version")
    if deployed == __version__:
        yield ok("version", __version__)
    else:
        found = f"The stack has version {deployed or '(unknown)'}, and this command {__version__}."
        yield warning("version", found, "Install the command from the commit that the stack was deployed from.")


def whole(name: str, status: str, outputs: Mapping[str, str]) -> Finding:
    """Return whether a stack with this status and these outputs can be used."""
    advice = f"Look at its events: aws cloudformation describe-stack-events --stack-name {name}"
    if "SendQueueUrl" not in outputs:
        return fault("stack", f"{name} ({status}) has no outputs of cube-sms.", advice)
    if re.fullmatch("(CREATE|UPDATE|IMPORT)_COMPLETE", status):
        return ok("stack", f"{name}, {status}")
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return warning("stack", f"CloudFormation has rolled back the last deployment of {name}.", advice)
    if status.endswith("_IN_PROGRESS"):
        return warning("stack", f"CloudFormation is changing {name}: {status}.", "Check again afterwards.")
    return fault("stack", f"{name} is incomplete: {status}.", advice)
