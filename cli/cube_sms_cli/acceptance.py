"""Whether Cube accepts the credentials of an account: asked now, or read from the functions' logs of its messages."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from cube_sms.delivery.states import State
from cube_sms.provider import read_credentials

from .errors import OperatorError
from .log_lines import entry_of
from .probing import conclude, probe_of, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mypy_boto3_logs import CloudWatchLogsClient

    from .stack import Stack

_GROUPS = ("SendFromQueueLogGroup", "SendFromApiLogGroup")

# The most answers that are read of each log group. CloudWatch may send empty ones while it looks.
_MOST_PAGES = 50


def check_accepted(stack: Stack, entry: Mapping[str, str], device_id: str) -> None:
    """Ask Cube whether it takes credentials, in the form in which the functions sign. No message is sent to anybody.

    Parameters
    ----------
    stack : Stack
        The stack.
    entry : Mapping[str, str]
        The credentials.
    device_id : str
        A device that cannot exist.

    Raises
    ------
    OperatorError
        If it does not, or if that cannot be found out.
    """
    results = run(probe_of(stack, read_credentials(entry, 0), device_id), note=lambda _: None)
    found = conclude(results, stack.parameters)
    if not found.fits:
        raise OperatorError(" ".join(["Nothing was stored.", *found.sentences]))


def is_accepted_since(stack: Stack, account: str, since: datetime) -> bool:
    """Return whether Cube has accepted a message of an account.

    Parameters
    ----------
    stack : Stack
        The stack.
    account : str
        Whose.
    since : datetime
        Since when.

    Returns
    -------
    bool
        Whether a function has written so. With a `LogLevel` above INFO, none does.
    """
    logs = stack.client("logs")
    return any(_is_told(logs, stack.output(group), account, since) for group in _GROUPS)


def _is_told(logs: CloudWatchLogsClient, group: str, account: str, since: datetime) -> bool:
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        startTime=int(since.timestamp() * 1000),
        filterPattern=f'{{ $.account = "{account}" && $.state = "SENT" }}',
    )
    events = (event for page in islice(pages, _MOST_PAGES) for event in page["events"])
    return any(_is_acceptance(event["message"], account) for event in events)


def _is_acceptance(line: str, account: str) -> bool:
    """Return whether a line reports a message that was sent with present credentials.

    The local AWS does not filter.
    """
    entry = entry_of(line) or {}
    is_wanted = entry.get("account") == account and entry.get("state") == State.SENT
    return is_wanted and bool(entry.get("latencies_ms")) and not entry.get("stale_credentials")
