"""Everything that is known of a message: record, waits, event, dead letters, and log lines with its attempts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cube_sms.delivery import Record, Refusal, SpoiledRecordError, State
from cube_sms.delivery.records import REFUSED_KEY, read_item
from cube_sms.outcomes.events import Ended, detail_of
from cube_sms.platform import SOURCE, RecordsUnavailableError, get_item, rfc3339
from cube_sms.queue.dead_letters import ACCOUNT, REQUEST_ID

from .letters import value_of, whole
from .log_lines import Found, LogLines
from .look import Look
from .output import NONE

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from .stack import Stack

# The queues on which a dead letter of a message may be, by what they are called.
QUEUES = {"dead letters": "DeadLetterQueueUrl", "rejected messages": "RejectedQueueUrl"}

# Enough for some thousand dead letters. They are hidden from others for so long.
LOOK_SECONDS = 10.0

# The clocks of a sender, of AWS and of this machine differ by less. A line is written when its invocation ends.
_MARGIN = 60.0
_LATER = 900.0


@dataclass(frozen=True)
class Dossier:
    """What is known of a message.

    Parameters
    ----------
    request_id, account : str
        Which.
    record : Record or SpoiledRecordError, optional
        Its record, or why that cannot be read.
    refusal : Refusal, optional
        The word that was left for a task whose request was not accepted.
    letters : list of dict
        Its dead letters, and the copies of it that Cube rejected.
    unseen : int
        About how many other dead letters could not be looked at.
    logged : Found
        What the functions have logged of it.
    """

    request_id: str
    account: str
    record: Record | SpoiledRecordError | None
    refusal: Refusal | None
    letters: list[dict[str, Any]]
    unseen: int
    logged: Found

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return not (self.record or self.refusal or self.letters or self.logged.lines)

    @property
    def members(self) -> dict[str, Any]:
        """All of it, as JSON members."""
        return {
            "requestId": self.request_id,
            "account": self.account,
            "record": record_members(self.record),
            "refusal": self.refusal.members if self.refusal else None,
            "waits": waits(self.record) if isinstance(self.record, Record) else None,
            "attempts": [
                {"at": rfc3339(line.at), "function": line.function, **line.told}
                for line in self.logged.lines
                if line.is_attempt
            ],
            "event": event_of(self.record) if isinstance(self.record, Record) else None,
            "letters": self.letters,
            "lettersUnseen": self.unseen,
            "lines": [
                {"at": rfc3339(line.at), "function": line.function, "level": line.level, "text": line.text}
                | line.fields
                for line in self.logged.lines
            ],
            "linesAreCut": self.logged.is_cut,
        }


def gather(stack: Stack, account: str, request_id: str, *, hours: float, most_lines: int, has_content: bool) -> Dossier:
    """Gather what is known of a message.

    Parameters
    ----------
    stack : Stack
        The stack.
    account, request_id : str
        Which message.
    hours : float
        How far back the logs are searched if there is no record.
    most_lines : int
        How many lines of each log at the most.
    has_content : bool
        Whether the dead letters are to have the body of the message.
    """
    record = _item(stack, f"{account}#{request_id}")
    refusal = _item(stack, f"{REFUSED_KEY}{request_id}")
    letters, unseen = _letters(stack, account, request_id, has_content=has_content)
    now = time.time()
    since, until = now - hours * 3600, now + _MARGIN
    if isinstance(record, Record):
        since = datetime.fromisoformat(record.created_at).timestamp() - _MARGIN
        if record.state.is_final:
            until = datetime.fromisoformat(record.updated_at).timestamp() + _LATER
    return Dossier(
        request_id,
        account,
        record if not isinstance(record, Refusal) else None,
        refusal if isinstance(refusal, Refusal) else None,
        letters,
        unseen,
        LogLines(stack, since, until, most_lines).of_message(account, request_id),
    )


def record_members(record: Record | SpoiledRecordError | None) -> dict[str, Any] | None:
    """Return what the record has, with what the API leaves out: since when, until when and who waits for it."""
    if not isinstance(record, Record):
        return {"fault": str(record)} if record else None
    return {
        **record.members,
        "begunAt": record.begun_at,
        "expectedAt": record.expected_at,
        "leaseUntil": rfc3339(record.lease_until) if record.lease_until else None,
        "isUnsettled": record.unsettled,
        "waitingTasks": len(record.task_tokens),
    }


def waits(record: Record) -> str | None:
    """Return what a message waits for; None for one that has ended."""
    match record.state:
        case State.QUEUED:
            return f"It waits on the send queue, until {record.expected_at or 'a worker takes it'}."
        case State.RETRYING:
            return (
                "It waits for its next attempt: on the send queue, or for the caller if the API was to send it at once."
            )
        case State.SENDING:
            lease = rfc3339(record.lease_until)
            return f"A worker has it until {lease}. If it has crashed, another one takes the message after that."
    return None


def event_of(record: Record) -> dict[str, Any] | None:
    """Return the event of a message's outcome; None while it has none."""
    if not record.state.is_final:
        return None
    ended = Ended(record.state.title(), detail_of(record), record.state.is_sent, True, frozenset())
    return {"source": SOURCE, "detail-type": ended.detail_type, "detail": ended.detail}


def _item(stack: Stack, key: str) -> Record | Refusal | SpoiledRecordError | None:
    try:
        item = get_item(stack.client("dynamodb"), stack.output("MessagesTableName"), key)
    except RecordsUnavailableError as error:
        # What AWS says of it.
        raise (error.__cause__ or error) from None
    try:
        return read_item(item) if item else None
    except SpoiledRecordError as error:
        return error


def _letters(stack: Stack, account: str, request_id: str, *, has_content: bool) -> tuple[list[dict[str, Any]], int]:
    """Return the dead letters of a message, and about how many there was no time for."""
    sqs: SQSClient = stack.client("sqs")
    found: list[dict[str, Any]] = []
    unseen = 0
    for queue, output in QUEUES.items():

        def take(letter: MessageTypeDef, queue: str = queue) -> bool:
            # What SQS put there itself has no attributes.
            if value_of(letter, REQUEST_ID) == request_id and value_of(letter, ACCOUNT) in (account, NONE):
                found.append({"queue": queue, **whole(letter, has_content=has_content)})
            return False

        with Look(sqs, stack.output(output), take) as look:
            if look.expected:
                look.run(LOOK_SECONDS)
            unseen += look.unseen
    return found, unseen
