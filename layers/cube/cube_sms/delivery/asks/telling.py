"""Telling tasks what came of waiting for a device.

What they are told has been written before, and that they were told is written after it: whoever dies between leaves it
to the next one, and a task that is told twice does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cube_sms.platform import TaskAnswers, rfc3339

if TYPE_CHECKING:
    from cube_sms.platform import Tasks

    from .meeting import Meeting, Verdict
    from .store import Asks, Device

NO_REPLY = "NoReply"
"""The error of a task whose device did not reply in time."""


def tell_tasks(asks: Asks, tasks: Tasks, device: Device, meeting: Meeting) -> TaskAnswers:
    """Tell the tasks that wait for a device what was decided.

    Parameters
    ----------
    asks : Asks
        Where it is noted.
    tasks : Tasks
        The tasks.
    device : Device
        The device.
    meeting : Meeting
        What is known of it.

    Returns
    -------
    TaskAnswers
        What came of it.

    Raises
    ------
    BotoCoreError, ClientError
        If Step Functions is away. What was not told is due again within a minute.
    RecordsUnavailableError
        If DynamoDB is away. Tasks that were told are told once more then.
    """
    told = TaskAnswers()
    for verdict in meeting.verdicts:
        told += _tell(tasks, device, verdict)
        asks.change(device, lambda known, verdict=verdict: known.told(verdict))  # type: ignore[misc]
    return told


def _tell(tasks: Tasks, device: Device, verdict: Verdict) -> TaskAnswers:
    ask, reply = verdict
    detail: dict[str, Any] = {"requestId": ask.request_id, "account": device.account, "deviceId": device.device_id}
    if reply:
        detail |= {
            "eventId": reply.event_id,
            "messageType": reply.message_type,
            "content": reply.content,
            "receivedAt": rfc3339(reply.received_at),
        }
        return tasks.succeed(ask.tokens, detail)
    return tasks.fail(ask.tokens, NO_REPLY, {**detail, "sentAt": rfc3339(ask.sent_at), "until": rfc3339(ask.until)})
