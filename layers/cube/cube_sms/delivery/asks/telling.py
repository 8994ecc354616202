"""Answers to the tasks that wait for a device.

The decision is written before the answer, and a note of the answer after it. After a crash in between, the next run
answers again. Step Functions refuses the second answer.
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


def tell_tasks(asks: Asks | None, tasks: Tasks, device: Device, meeting: Meeting) -> TaskAnswers:
    """Answer the tasks that wait for a device.

    Parameters
    ----------
    asks : Asks or None
        Notes which tasks have their answer; None if the meeting is in no table.
    tasks : Tasks
        The tasks.
    device : Device
        The device.
    meeting : Meeting
        Its meeting, with the decisions.

    Returns
    -------
    TaskAnswers
        The answers.

    Raises
    ------
    BotoCoreError, ClientError
        If Step Functions is unavailable. The tasks without an answer are due again after a minute.
    RecordsUnavailableError
        If DynamoDB is unavailable. The next run answers the same tasks again.
    """
    told = TaskAnswers()
    for verdict in meeting.verdicts:
        told += _tell(tasks, device, verdict)
        if asks:
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
