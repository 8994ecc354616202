"""Tell what is on the dead-letter queue or on that of rejected messages, or put some of it back onto the send queue.

A message keeps its identity: one whose attempts were used up, or that Cube refused, starts over with fresh attempts,
one that has been sent in the meantime is not sent again. Each letter is taken once: one that comes back is told, and
not put back again. A letter that holds only a part of its message is never put back.

Usage: ``python -m scripts.dlq [--stack NAME] [--queue rejected] list``, or ``redrive --all``, or one or more of
``--reason REASON``, ``--request-id ID``, ``--code CODE``, ``--account ACCOUNT``, ``--since TIME``, ``--until TIME``.
boto3's own environment (``AWS_PROFILE``, ``AWS_DEFAULT_REGION``, ``AWS_ENDPOINT_URL``) says where.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from cube_sms.queue.dead_letters import ACCOUNT, LAST_CODE, REQUEST_ID
from cube_sms_cli.letters import EXAMPLES, NONE, Summary, identities, is_cut, put_at, reason_of, value_of
from cube_sms_cli.look import THREADS, Look
from cube_sms_cli.output import printable
from scripts.deployment import moment, run, stack_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

type Choice = Callable[[MessageTypeDef], bool]

# The queues that have a name here, and the stack's outputs that say where they are.
QUEUES = {"dead-letters": "DeadLetterQueueUrl", "rejected": "RejectedQueueUrl"}

# What chooses letters, by the names of the options.
CHOICES = ("reason", "request_id", "code", "account", "since", "until")

# How long to wait for letters that come back at once, such as those of requests that are not valid.
WAIT_SECONDS = 10.0

# Enough for 20,000 letters if a call takes 0.2 s. What is known then is told, however many there are.
LIST_SECONDS = 30.0

# Of how many messages that were put back a line tells.
PROGRESS = 1000


def main() -> int | None:
    """Run the command."""
    arguments = parse_arguments()
    # Another one is given by its URL.
    send_queue, *named = stack_outputs(arguments.stack, "SendQueueUrl", *filter(None, [QUEUES.get(arguments.queue)]))
    sqs = boto3.client("sqs", config=Config(max_pool_connections=THREADS, retries={"mode": "standard"}))
    source, is_chosen = (named or [arguments.queue])[0], choice(arguments)
    if arguments.command == "list":
        noun = "rejected messages" if arguments.queue == "rejected" else "dead letters"
        show(sqs, source, is_chosen, noun, examples=arguments.examples, seconds=arguments.seconds)
        return None
    redrive = Redrive(sqs, source, send_queue, is_chosen)
    try:
        redrive.run(arguments.wait)
    finally:
        print("\n".join(redrive.lines()))
    return redrive.status(arguments.request_id or ())


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Tell what could not be sent, or what Cube rejected, or put messages back."
    )
    parser.add_argument("--stack", default="cube-sms", help="name of the CloudFormation stack (cube-sms)")
    parser.add_argument(
        "--queue",
        default="dead-letters",
        metavar="QUEUE",
        help="dead-letters (the default), rejected, or the URL of another queue, such as one of an earlier QueueType",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("list", help="how many there are by reason, and some of each")
    add_choice(shown)
    shown.add_argument(
        "--examples",
        type=int,
        default=EXAMPLES,
        help=f"how many of each reason: request id, reason, attempts, last code, detail ({EXAMPLES})",
    )
    shown.add_argument(
        "--seconds",
        type=float,
        default=LIST_SECONDS,
        help=f"how long to look at the most, if there are very many ({LIST_SECONDS:g})",
    )
    redrive = commands.add_parser("redrive", help="put messages back onto the send queue, each once")
    redrive.add_argument("--all", action="store_true", help="every letter")
    add_choice(redrive)
    redrive.add_argument(
        "--wait",
        type=float,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait for those that come back at once ({WAIT_SECONDS:g})",
    )
    arguments = parser.parse_args()
    if arguments.command == "redrive" and arguments.all is any(getattr(arguments, name) for name in CHOICES):
        redrive.error("say which letters: --all, or one or more of the other options that choose")
    return arguments


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose letters. One that is chosen meets all that are given."""
    parser.add_argument("--reason", help=f"those with this reason, such as AttemptsUsedUp; {NONE} for those without")
    parser.add_argument("--request-id", action="append", metavar="ID", help="the one with this id; may be repeated")
    parser.add_argument("--code", action="append", help=f"those with this last code, {NONE} for none; may be repeated")
    parser.add_argument("--account", action="append", help="those of this account; may be repeated")
    for name, which in (("--since", "at this time or later: 2027-01-31T12:00:00Z"), ("--until", "before this time")):
        parser.add_argument(name, type=moment, metavar="TIME", help=f"those that were put there {which}")


def choice(arguments: argparse.Namespace) -> Choice:
    """Return what tells whether a letter is chosen."""
    wanted = {REQUEST_ID: arguments.request_id, LAST_CODE: arguments.code, ACCOUNT: arguments.account}
    since = arguments.since.timestamp() if arguments.since else -math.inf
    until = arguments.until.timestamp() if arguments.until else math.inf

    def is_chosen(letter: MessageTypeDef) -> bool:
        return (
            all(not values or value_of(letter, name) in values for name, values in wanted.items())
            and arguments.reason in (None, reason_of(letter))
            and since <= put_at(letter) < until
        )

    return is_chosen


def show(sqs: SQSClient, queue_url: str, is_chosen: Choice, noun: str, *, examples: int, seconds: float) -> None:
    """Print what is on a queue."""
    summary = Summary(examples)

    def take(letter: MessageTypeDef) -> bool:
        if is_chosen(letter):
            summary.add(letter)
        return False

    with Look(sqs, queue_url, take) as look:
        look.run(seconds)
        # Before those that it holds are given back, which takes time too.
        print("\n".join([*summary.lines(), f"{summary.count} {noun}{and_unseen(look)}"]))


def and_unseen(look: Look) -> str:
    """Return a word about the letters that were not looked at, nothing if there are none."""
    if not look.unseen:
        return ""
    why = "another command looks at the others, or SQS counts some that are gone"
    if look.is_fifo:
        why = "the others are behind ten of their device, or another command looks at them"
    if look.ran_out_of_time:
        why = "there was no time for the others, give more --seconds"
    return f"; {look.expected - look.unseen} of about {look.expected} were looked at: {why}"


class Redrive:
    """Puts letters back onto the send queue, each once, and sees which of them come back.

    Parameters
    ----------
    sqs : SQSClient
        boto3's client.
    source, target : str
        URLs of the dead-letter queue and of the send queue.
    is_chosen : Choice
        Which are to be put back.
    """

    def __init__(self, sqs: SQSClient, source: str, target: str, is_chosen: Choice) -> None:
        self._sqs = sqs
        self._source = source
        self._target = target
        self._is_chosen = is_chosen
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._look = Look(sqs, source, self._take, self._later)
        self._wait = 0.0
        self._hidden = 0
        self.put_back = 0
        self.refused = Summary()
        self.came_back = Summary()

    def run(self, wait: float) -> None:
        """Put them back, and wait for those that come back at once, so many seconds at the most."""
        with self._look as look:
            look.run()
            if self.put_back:
                self._wait = wait
                look.wait(wait, lambda: self.came_back.count >= self.put_back)
                self._hidden = look.hidden

    def lines(self) -> Iterator[str]:
        """Yield what became of them."""
        if self.refused.count:
            yield "Not put back, because only a part of the message is there:"
            yield from self.refused.lines()
        if self.came_back.count:
            yield "Came back:"
            yield from self.came_back.lines()
        put_back, came_back, left = self.put_back, self.came_back.count, len(self._look.left)
        others = f" and about {self._hidden} behind them" if self._hidden else and_unseen(self._look)
        yield (
            f"{put_back} put back onto the send queue, {came_back} came back within {self._wait:g} s, "
            f"{left} left{others}"
        )

    def status(self, wanted: Sequence[str]) -> int:
        """Return the command's exit status: 1 if a letter that was asked for was not put back."""
        missing = [request_id for request_id in wanted if request_id not in self._ids]
        if missing and not self.refused.count:
            print(f"no letter has the id {', '.join(map(printable, missing))}", file=sys.stderr)
        return int(bool(missing or self.refused.count))

    def _take(self, letter: MessageTypeDef) -> bool:
        if self._look.age(letter) <= 0 and self._is_known(letter):
            # Within the second in which the look began.
            self.came_back.add(letter)
            return False
        if not self._is_chosen(letter):
            return False
        if is_cut(letter):
            self.refused.add(letter)
            return False
        # First the one, then the other: between them the message is there twice, which its record allows.
        request_id, digest = identities(letter)
        with self._lock:
            self._ids.add(digest if request_id == NONE else request_id)
        self._sqs.send_message(
            QueueUrl=self._target,
            MessageBody=letter["Body"],
            MessageAttributes=attributes_to_send(letter),
            **place(letter, self._target),
        )
        self._sqs.delete_message(QueueUrl=self._source, ReceiptHandle=letter["ReceiptHandle"])
        with self._lock:
            self.put_back += 1
            if self.put_back % PROGRESS == 0:
                print(f"{self.put_back} put back …", file=sys.stderr)
        return True

    def _later(self, letter: MessageTypeDef) -> None:
        if self._is_known(letter):
            self.came_back.add(letter)

    def _is_known(self, letter: MessageTypeDef) -> bool:
        with self._lock:
            return not self._ids.isdisjoint(identities(letter))


def attributes_to_send(letter: MessageTypeDef) -> dict[str, Any]:
    """Return the attributes as they were: the message's identity is among them, and the claim that failed."""
    known = ("DataType", "StringValue", "BinaryValue")
    return {
        name: {key: value for key, value in attribute.items() if key in known}
        for name, attribute in letter.get("MessageAttributes", {}).items()
    }


def place(letter: MessageTypeDef, queue_url: str) -> dict[str, Any]:
    """Return what a FIFO queue wants to know: a group, and an id by which it drops the letter that it has already.

    A letter without a group gets one that is no device's: the queue function puts it among the messages of its own.
    """
    if not queue_url.endswith(".fifo"):
        return {}
    group = letter["Attributes"].get("MessageGroupId", "redriven")
    return {"MessageGroupId": group, "MessageDeduplicationId": letter["MessageId"]}


if __name__ == "__main__":
    run(main)
