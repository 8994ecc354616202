"""Lambda's poller of a DynamoDB stream, as AWS documents it, in place of the local AWS's own.

The poller of the local AWS knows neither partial batch responses nor the halving of a batch. This one knows both. If
the function answers with a record, the poller continues from there. If the function fails, it tries each half of the
batch alone. Records that get too old go to the queue of the mapping. All settings are those of the deployed mapping.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from local.stack import wait_until
from tests.streams import TableStream, lambda_event, passes, sequence_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from local.stack import LocalStack
    from tests.streams import Change

# Lambda waits longer from try to try, and a second where there was nothing new. A test has less time.
PAUSE = 0.05
IDLE = 0.2


class FunctionBrokeOffError(Exception):
    """The function has no answer: it raised an exception, or its process crashed."""


class StreamPoller:
    """Polls the table's stream for the function that publishes outcomes, as long as this context.

    Parameters
    ----------
    stack : LocalStack
        The stack, whose own mapping rests from then on: it does not know what has been dealt with here.
    clock : Callable[[], float]
        Seconds since the epoch, by which records get too old.
    """

    def __init__(self, stack: LocalStack, *, clock: Callable[[], float] = time.time) -> None:
        self.function = stack.outputs["PublishOutcomesFunctionName"]
        self.broken_off = 0
        """How often the function broke off."""
        self.answered_partly = 0
        """How often it named a record to go on from."""
        self.clock = clock
        self._functions: Any = stack.aws.client("lambda", read_timeout=90)
        (self._mapping,) = self._functions.list_event_source_mappings(FunctionName=self.function)["EventSourceMappings"]
        assert self._mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert self._mapping["BisectBatchOnFunctionError"]
        # For ever, or until a record is too old.
        assert self._mapping.get("MaximumRetryAttempts", -1) == -1
        self._sqs = stack.sqs
        self._stream = TableStream(stack.aws.client("dynamodbstreams"), self._mapping["EventSourceArn"])
        self._checkpoint: str | None = None
        self._thread = threading.Thread(target=self._run)
        self._stopping = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._functions.update_event_source_mapping(UUID=self._mapping["UUID"], Enabled=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if not error and self._error:
            raise self._error

    def drain(self, *, timeout: float = 120.0) -> None:
        """Wait until all that has been written so far is dealt with."""
        last = self._last()
        wait_until(
            "the stream to be dealt with", lambda: self._error or (self._checkpoint or "") >= last, timeout=timeout
        )

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                batch = self._stream.read(self._checkpoint, self._mapping["BatchSize"])
                if batch:
                    self._process(batch)
                else:
                    time.sleep(IDLE)
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it
            self._error = error

    def _process(self, batch: list[Change]) -> None:
        while batch and not self._stopping.is_set():
            batch = self._without_too_old(batch)
            wanted = [change for change in batch if self._is_wanted(change)]
            if not wanted:
                break
            try:
                failed = self._invoke(wanted)
            except FunctionBrokeOffError:
                self.broken_off += 1
                if len(batch) > 1:
                    middle = len(batch) // 2
                    self._process(batch[:middle])
                    batch = batch[middle:]
            else:
                if failed is None:
                    break
                self.answered_partly += 1
                batch = [change for change in batch if sequence_number(change) >= failed]
            time.sleep(PAUSE)
        if batch and not self._stopping.is_set():
            self._checkpoint = sequence_number(batch[-1])

    def _invoke(self, changes: Sequence[Change]) -> str | None:
        """Invoke the function, and return the sequence number to go on from, where it gives one."""
        answer = self._functions.invoke(
            FunctionName=self._mapping["FunctionArn"], Payload=json.dumps(lambda_event(changes)).encode()
        )
        body = answer["Payload"].read()
        if "FunctionError" in answer:
            raise FunctionBrokeOffError(body.decode())
        failures = [each["itemIdentifier"] for each in json.loads(body)["batchItemFailures"]]
        # "If the array contains multiple items, Lambda uses the record with the lowest sequence number."
        return min(failures) if failures else None

    def _without_too_old(self, batch: list[Change]) -> list[Change]:
        oldest = self.clock() - self._mapping["MaximumRecordAgeInSeconds"]
        too_old = [change for change in batch if change["dynamodb"]["ApproximateCreationDateTime"] < oldest]
        if too_old:
            self._checkpoint = sequence_number(too_old[-1])
        if any(map(self._is_wanted, too_old)):
            self._give_up(too_old)
        return batch[len(too_old) :]

    def _give_up(self, changes: Sequence[Change]) -> None:
        # The position of the records, without their content.
        arrivals = [
            datetime.fromtimestamp(change["dynamodb"]["ApproximateCreationDateTime"], UTC).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            )
            for change in (changes[0], changes[-1])
        ]
        _, _, _, _, _, queue = self._mapping["DestinationConfig"]["OnFailure"]["Destination"].split(":")
        body = {
            "requestContext": {"functionArn": self._mapping["FunctionArn"], "condition": "RecordAgeExceeded"},
            "DDBStreamBatchInfo": {
                "shardId": self._stream.shard_id,
                "startSequenceNumber": sequence_number(changes[0]),
                "endSequenceNumber": sequence_number(changes[-1]),
                "approximateArrivalOfFirstRecord": arrivals[0],
                "approximateArrivalOfLastRecord": arrivals[1],
                "batchSize": len(changes),
                "streamArn": self._stream.arn,
            },
        }
        url = self._sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        self._sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))

    def _is_wanted(self, change: Change) -> bool:
        return passes(self._mapping["FilterCriteria"]["Filters"], change)

    def _last(self) -> str:
        """Return the sequence number of the last record there is."""
        last = self._checkpoint
        while page := self._stream.read(last):
            last = sequence_number(page[-1])
        return last or ""
