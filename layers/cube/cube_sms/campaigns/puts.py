"""Rows on the send queue."""

from __future__ import annotations

import hashlib
import time
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.platform import FAILED_CLAIM, MAX_MESSAGE_BYTES, is_fifo, message_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mypy_boto3_sqs import SQSClient

    from cube_sms.request import SendRequest

# The messages that SQS takes at once, MAX_MESSAGE_BYTES in all; and the seconds before each repetition for those that
# it has left out.
_PUT_SIZE = 10
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)


class RowsNotPutError(Exception):
    """SQS has left out rows again and again."""


class Put(NamedTuple):
    """A row that goes onto the queue.

    Parameters
    ----------
    request : SendRequest
        What is sent for it.
    claim : str or None
        The `Record.owner` of its record, if it was cancelled and starts over.
    """

    request: SendRequest
    claim: str | None


class RowQueue:
    """Puts the rows of campaigns onto the send queue.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    queue_url : str
        URL of the queue.
    sleep : Callable[[float], None]
        Waits for seconds.
    """

    def __init__(self, sqs: SQSClient, queue_url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._is_fifo = is_fifo(queue_url)
        self._sleep = sleep

    def put(self, puts: Iterable[Put], *, campaign: str, execution: str) -> None:
        """Put rows onto the queue. As bulk messages, they let others go first.

        Parameters
        ----------
        puts : iterable of Put
            The rows.
        campaign : str
            The campaign's name. On a standard queue it is the message group, so that SQS is fair to other groups.
        execution : str
            ARN of the run. On a FIFO queue, SQS takes a row once in five minutes for a run, and again for the next run.

        Raises
        ------
        RowsNotPutError
            If SQS leaves out rows again and again.
        """
        for entries in self._batched(self._entry(put, campaign, execution) for put in puts):
            left = entries
            for pause in (*_PAUSES, None):
                answer = self._sqs.send_message_batch(QueueUrl=self._queue_url, Entries=left)
                failed = {failure["Id"] for failure in answer.get("Failed", [])}
                left = [entry for entry in left if entry["Id"] in failed]
                if not left:
                    break
                if pause:
                    self._sleep(pause)
            else:
                raise RowsNotPutError(f"{len(left)} rows were left out")

    def _entry(self, put: Put, campaign: str, execution: str) -> dict[str, Any]:
        request = put.request
        entry: dict[str, Any] = {"MessageBody": request.to_json().decode(), "MessageGroupId": campaign}
        if put.claim:
            entry["MessageAttributes"] = {FAILED_CLAIM: {"DataType": "String", "StringValue": put.claim}}
        if self._is_fifo:
            entry["MessageGroupId"] = request.device_id
            identity = f"{request.message_id} {execution}".encode()
            entry["MessageDeduplicationId"] = hashlib.sha256(identity).hexdigest()
        return entry

    def _batched(self, entries: Iterable[dict[str, Any]]) -> Iterator[Sequence[Any]]:
        batch: list[dict[str, Any]] = []
        size, numbers = 0, count()
        for entry in entries:
            more = message_size(entry["MessageBody"], entry.get("MessageAttributes", {}))
            if batch and (len(batch) == _PUT_SIZE or size + more > MAX_MESSAGE_BYTES):
                yield batch
                batch, size = [], 0
            batch.append({"Id": str(next(numbers)), **entry})
            size += more
        if batch:
            yield batch
