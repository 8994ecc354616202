"""Lambda handler: handle due receipts and replies, once a minute."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery import WAITING_KEY, Asks, FollowedRecords, ReplyRecords, ReplyTaker, report_paced
from cube_sms.followup import Asker, Follower, FollowUp, ReceiptFollower, ReplyFollower, Shift, report_told
from cube_sms.platform import (
    DAY,
    SERVICE,
    EventBus,
    FollowUpSettings,
    Tasks,
    Telemetry,
    aws_client,
    direct_client,
    invocation,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

telemetry = Telemetry(os.environ.get("POWERTOOLS_SERVICE_NAME", SERVICE))

# A run ends so many seconds before Lambda stops the invocation: time for its last writes.
MARGIN = 5.0


class Work(NamedTuple):
    """The objects of an invocation."""

    follow_up: FollowUp
    asker: Asker


@cache
def work() -> Work:
    """Create the objects, once for each execution environment."""
    settings = FollowUpSettings.from_environment(os.environ)
    dynamodb = direct_client("dynamodb", os.environ)
    table = settings.messages_table
    shift = Shift(dynamodb, table, settings.cube_daily_quota * settings.receipt_quota_percent // 100)
    asker = Asker.from_settings(settings, direct_client("secretsmanager", os.environ), dynamodb, shift)
    records = FollowedRecords(dynamodb, table, retention=settings.record_retention_days * DAY)
    receipts = ReceiptFollower(records, asker, window=settings.receipt_window_hours * 3600.0)
    followers: dict[str, Follower] = {}
    if asks := Asks.if_any(lambda: dynamodb, table, settings.replies):
        history = ReplyRecords.if_any(
            dynamodb,
            table,
            has_history=settings.device_history,
            retention_days=settings.record_retention_days,
            content_days=settings.keep_replies,
        )
        bus = EventBus(aws_client("events"), settings.event_bus)
        taker = ReplyTaker(asks, bus, Tasks(), history)
        # Replies first: a task waits for them.
        followers[WAITING_KEY] = ReplyFollower(asks, taker, asker)
    followers[""] = receipts
    return Work(FollowUp(dynamodb, table, shift, followers), asker)


@invocation(telemetry)
def handler(_event: dict[str, Any], context: LambdaContext) -> None:
    """Handle an event of the schedule."""
    until = time.time() + context.get_remaining_time_in_millis() / 1000 - MARGIN
    for told in work().follow_up.run(until=until):
        report_told(telemetry, told, context.aws_request_id)
    report_paced(telemetry, work().asker.gate_status)


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    # Before the first event Lambda gives it more CPU than the function has.
    work()
