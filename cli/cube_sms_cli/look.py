"""A look at a queue: each message once, however often it comes, and those that stay are given back."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from itertools import batched
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.platform import is_fifo

from .stack import MOST_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

type Key = tuple[str, str]
"""What makes a message the same: its id, and when it was sent. One that SQS moves to another queue keeps its id."""

# How long a message that is looked at stays hidden from others, if the command is killed before it gives it back.
LOOK_SECONDS = 300

# Received at once by each of the threads. SQS gives ten messages a call, so one thread takes minutes for 20,000.
THREADS = MOST_CONNECTIONS
BATCH_SIZE = 10

# SQS hides 120,000 messages of a queue at a time, and delivers no more until some return.
MOST_HELD = 100_000

# How often in a row a thread receives nothing that is to be taken before it ends. If messages keep arriving, a queue is
# never empty.
MOST_IDLE = 3


class Look:
    """The messages that are on a queue when the look begins, each of which is taken once.

    It leaves out later messages. So a look ends, even if what is taken off the queue returns.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client, with a connection for each of the threads.
    queue_url : str
        URL of the queue.
    take : Callable[[MessageTypeDef], bool]
        Called for each message, by several threads at once. It returns whether the message is off the queue now.
    later : Callable[[MessageTypeDef], None], optional
        Called for each message that was put there after the look began.
    threads : int
        How many.
    """

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        take: Callable[[MessageTypeDef], bool],
        later: Callable[[MessageTypeDef], None] = lambda _: None,
        *,
        threads: int = THREADS,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self.is_fifo = is_fifo(queue_url)
        self._take = take
        self._later = later
        self._threads = threads
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._deadline = math.inf
        self._seen: set[Key] = set()
        self._taken: set[Key] = set()
        self._receipts: dict[Key, str] = {}
        self.left: set[Key] = set()
        self.expected, date = self._count()
        """About how many messages were there, with those that others hold or that wait behind one of their group."""
        # By the clock that stamps the messages, in whole seconds.
        self.began_at = parsedate_to_datetime(date).timestamp() if date else time.time()

    def _count(self) -> tuple[int, str | None]:
        """Return about how many messages there are, and the time of the answer."""
        answer = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        count = sum(int(each) for each in answer["Attributes"].values())
        return count, answer["ResponseMetadata"]["HTTPHeaders"].get("date")

    @property
    def hidden(self) -> int:
        """About how many messages are there now that SQS has not shown, because they are behind others of a group."""
        return max(0, self._count()[0] - len(self.left)) if self.is_fifo else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            receipts, self._receipts = list(self._receipts.values()), {}
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(self._give_back, batched(receipts, BATCH_SIZE, strict=False)))

    @property
    def unseen(self) -> int:
        """About how many messages SQS has not shown."""
        with self._lock:
            return max(0, self.expected - len(self._seen))

    @property
    def seen(self) -> int:
        """How many messages were looked at."""
        with self._lock:
            return len(self._seen)

    @property
    def and_unseen(self) -> str:
        """A word about the messages that were not looked at, nothing if there are none."""
        if not (unseen := self.unseen):
            return ""
        why = "another command looks at the others, or SQS counts some that are gone"
        if self.is_fifo:
            why = "the others are behind ten of their device, or another command looks at them"
        if self.ran_out_of_time:
            why = "there was no time for the others, give more --seconds"
        return f"; {self.expected - unseen} of about {self.expected} were looked at: {why}"

    @property
    def ran_out_of_time(self) -> bool:
        """Whether there may be more to take."""
        return time.monotonic() >= self._deadline

    def run(self, seconds: float = math.inf) -> None:
        """Take every message that SQS shows.

        Parameters
        ----------
        seconds : float
            How long at the most.
        """
        self._deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                for future in [pool.submit(self._work) for _ in range(self._threads)]:
                    future.result()
            finally:
                # If one has failed, or Ctrl-C was pressed, the others stop.
                self._is_over.set()

    def wait(self, seconds: float, is_enough: Callable[[], bool]) -> None:
        """Go on for a time, to see what comes back.

        Parameters
        ----------
        seconds : float
            How long at the most.
        is_enough : Callable[[], bool]
            Whether it has all been seen.
        """
        deadline = time.monotonic() + seconds
        while not is_enough() and time.monotonic() < deadline:
            self._take_all(self._receive())

    def _work(self) -> None:
        idle = 0
        while idle < MOST_IDLE and not self._is_over.is_set() and len(self._receipts) < MOST_HELD:
            if self.ran_out_of_time or not (messages := self._receive()):
                return
            try:
                idle = 0 if self._take_all(messages) else idle + 1
            except BaseException:
                self._is_over.set()
                raise

    def _receive(self) -> list[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH_SIZE,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["MessageGroupId", "SentTimestamp"],
            VisibilityTimeout=LOOK_SECONDS,
            WaitTimeSeconds=1,
        )
        return answer.get("Messages", [])

    def _take_all(self, messages: list[MessageTypeDef]) -> bool:
        """Take messages in their order, and return whether there was one to take."""
        keys = [(message["MessageId"], message["Attributes"]["SentTimestamp"]) for message in messages]
        with self._lock:
            new = [key not in self._seen for key in keys]
            self._receipts |= {key: message["ReceiptHandle"] for key, message in zip(keys, messages, strict=True)}
            self.left.update(set(keys) - self._taken)
        has_taken = False
        moved_groups: set[str | None] = set()
        for key, message, is_new in zip(keys, messages, new, strict=True):
            if not is_new:
                continue
            is_later = self.age(message) < -1
            with self._lock:
                self._seen.add(key)
                self.expected += is_later
            if is_later:
                self._later(message)
                continue
            has_taken = True
            if self._take(message):
                with self._lock:
                    self._taken.add(key)
                    del self._receipts[key]
                    self.left.remove(key)
                moved_groups.add(message["Attributes"].get("MessageGroupId"))
        if self.is_fifo:
            self._let_groups_move(dict(zip(keys, messages, strict=True)), moved_groups)
        return has_taken

    def age(self, message: MessageTypeDef) -> float:
        """Return for how many seconds a message was there when the look began; negative if it came later."""
        return self.began_at - int(message["Attributes"]["SentTimestamp"]) / 1000

    def _let_groups_move(self, messages: dict[Key, MessageTypeDef], groups: Collection[str | None]) -> None:
        """Give back what stays of groups that others have left: SQS shows ten of a group, and so shows the next."""
        with self._lock:
            stay = [
                key
                for key, message in messages.items()
                if key in self._receipts and message["Attributes"].get("MessageGroupId") in groups
            ]
            receipts = [self._receipts.pop(key) for key in stay]
        if receipts:
            self._give_back(receipts)

    def _give_back(self, receipts: Sequence[str]) -> None:
        # They come back by themselves after LOOK_SECONDS.
        with contextlib.suppress(BotoCoreError, ClientError):
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                    for index, receipt in enumerate(receipts)
                ],
            )
