"""Who the caller is, the time, and the stack."""

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

# AWS refuses what is signed five minutes off.
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
    # A clock that is wrong may be what AWS has refused the credentials for.
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    yield clock(date, time.time()) if date else not_checked("clock", "AWS's answer has no date.")


def clock(date: str, now: float) -> Finding:
    """Return how right a machine's clock is that says ``now`` when an answer of AWS has this date.

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
    return kind("clock", found, "Set it by a time server. AWS refuses what is signed five minutes off, and Cube ten.")


def check_deployment(stack: Stack) -> Iterator[Finding]:
    """Look whether the stack is there and whole, and whether it is of this command's version."""
    yield whole(stack.name, stack.description["StackStatus"], stack.outputs)
    deployed = stack.outputs.get("Version")
    if deployed == __version__:
        yield ok("version", __version__)
    else:
        found = f"The stack is of version {deployed or '(not told)'}, and this command of {__version__}."
        yield warning("version", found, "Install the command from the commit that the stack was deployed from.")


def whole(name: str, status: str, outputs: Mapping[str, str]) -> Finding:
    """Return whether a stack of this status, with these outputs, can be worked with."""
    advice = f"Look at its events: aws cloudformation describe-stack-events --stack-name {name}"
    if "SendQueueUrl" not in outputs:
        return fault("stack", f"{name} ({status}) has no outputs of cube-sms.", advice)
    if re.fullmatch("(CREATE|UPDATE|IMPORT)_COMPLETE", status):
        return ok("stack", f"{name}, {status}")
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return warning("stack", f"The last deployment of {name} was taken back.", advice)
    if status.endswith("_IN_PROGRESS"):
        return warning("stack", f"{name} is being changed: {status}.", "Ask again when that is over.")
    return fault("stack", f"{name} is not whole: {status}.", advice)
