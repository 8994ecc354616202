"""The outcome of each message: its record beside the provider's request log, the queues and the events."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from boto3.dynamodb.types import TypeDeserializer

from cube_sms.delivery.states import State
from local.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from local.stack import LocalStack
    from tests.e2e.outcomes import Detail, OutcomeConsumer

AT_LEAST_ONCE = "at-least-once"
AT_MOST_ONCE = "at-most-once"
DELIVERIES = (AT_LEAST_ONCE, AT_MOST_ONCE)


@dataclass(frozen=True, eq=False)
class Message:
    """A request of a test, with a device and an id of its own."""

    body: dict[str, Any]

    @classmethod
    def make(cls, delivery: str = AT_LEAST_ONCE, **fields: Any) -> Message:
        """Make a request; a field given as None is left out."""
        number = uuid4().int % 10**16
        given = {
            "requestId": f"message-{number}",
            "deviceId": f"8931{number:016d}",
            "delivery": delivery,
            "content": "Report your position",
            **fields,
        }
        return cls({name: value for name, value in given.items() if value is not None})

    @property
    def request_id(self) -> str:
        return str(self.body["requestId"])

    @property
    def message_id(self) -> str:
        return f"{self.body.get('account', 'default')}#{self.request_id}"

    @property
    def device_id(self) -> str:
        return str(self.body["deviceId"])

    @property
    def delivery(self) -> str:
        return str(self.body["delivery"])

    @property
    def json(self) -> str:
        return json.dumps(self.body)


class Ending(NamedTuple):
    """How a message ended.

    Parameters
    ----------
    state : State
        Its final state.
    accepted : int
        How often the provider accepted it.
    attempts : int
        How often it was posted, after its record.
    possibly_duplicated : bool
        Whether its record says that it may have been sent before.
    """

    state: State
    accepted: int
    attempts: int
    possibly_duplicated: bool = False


SENT_ONCE = Ending(State.SENT, accepted=1, attempts=1)
SENT_TWICE = Ending(State.SENT, accepted=2, attempts=2, possibly_duplicated=True)
PERHAPS_SENT_TWICE = Ending(State.SENT, accepted=1, attempts=2, possibly_duplicated=True)
UNKNOWN_SENT = Ending(State.UNKNOWN, accepted=1, attempts=1)
UNKNOWN_NOT_SENT = Ending(State.UNKNOWN, accepted=0, attempts=1)


class Verdict(NamedTuple):
    """A message, its record, its queries in the provider's request log, and its events if somebody listened."""

    message: Message
    record: Mapping[str, Any]
    posts: Sequence[Mapping[str, Any]]
    events: Sequence[Detail] | None = None

    @property
    def state(self) -> State | None:
        """Its state, or None if there is no record."""
        return State[self.record["state"]] if self.record else None

    @property
    def accepted(self) -> int:
        """How often the provider accepted it."""
        return sum(post["accepted"] for post in self.posts)

    @property
    def attempts(self) -> int:
        """How often it was posted: a query that is repeated is one, and one refused for others is none of its own."""
        own = [post for post in self.posts if not (post["isShared"] and _is_refused_for_some(post))]
        return len({post["nonce"] or post["n"] for post in own})

    @property
    def ending(self) -> Ending | None:
        """How it ended, or None where there is no record."""
        if not self.state:
            return None
        return Ending(self.state, self.accepted, int(self.record["attempts"]), bool(self.record["possiblyDuplicated"]))

    @property
    def faults(self) -> list[str]:
        """Every promise that is broken, in words."""
        possibly_duplicated, unsettled = self.record.get("possiblyDuplicated"), self.record.get("unsettled")
        is_once = self.message.delivery == AT_MOST_ONCE
        broken = {
            "has no final state": not (self.state and self.state.is_final),
            "SENT, but never accepted": self.state is State.SENT and not self.accepted,
            "accepted twice though at-most-once": is_once and self.accepted > 1,
            "accepted twice, and not told": self.accepted > 1 and not possibly_duplicated,
            "perhaps sent twice though at-most-once": possibly_duplicated and is_once,
            "accepted, but the record rules it out": bool(self.accepted)
            and self.state is not State.SENT
            and not unsettled,
            "EXPIRED, but accepted": self.state is State.EXPIRED and self.accepted,
            "UNKNOWN though it could be sent again": self.state is State.UNKNOWN
            and not is_once
            and "expiresAt" not in self.message.body,
            "more POSTs than attempts": self.attempts > self.record.get("attempts", 0),
            **self._faults_of_events,
        }
        return [f"{self.message.request_id}: {words}: {self}" for words, is_broken in broken.items() if is_broken]

    @property
    def _faults_of_events(self) -> dict[str, bool]:
        if self.events is None:
            return {}
        has_ended = bool(self.state and self.state.is_final)
        told = ("state", "attempts", "possiblyDuplicated", "code", "message", "reason", "createdAt", "updatedAt")
        return {
            "has ended, and no event tells it": has_ended and not self.events,
            "an event tells of an end that is none": not has_ended and bool(self.events),
            "events tell of more ends than one": len({event["eventId"] for event in self.events}) > 1,
            "an event tells otherwise than the record": has_ended
            and any(event[name] != self.record.get(name) for event in self.events for name in told),
        }

    def __str__(self) -> str:
        kept = ("attempts", "possiblyDuplicated", "unsettled", "code", "reason")
        posts = [f"{post['status']}{'+' if post['accepted'] else '-'}{post['fault'] or ''}" for post in self.posts]
        return f"{self.message.delivery} {self.state} {[self.record.get(name) for name in kept]} posts {posts}"


def _is_refused_for_some(post: Mapping[str, Any]) -> bool:
    return post["reason"] in ("device", "foreign-device") or (post["fault"] or "").startswith("rejected")


def verdicts(stack: LocalStack, messages: Iterable[Message], consumer: OutcomeConsumer | None = None) -> list[Verdict]:
    """Return what happened to messages, and which events of it a consumer got."""
    events = defaultdict(list)
    if consumer:
        consumer.catch_up()
        for detail in consumer.outcomes():
            events[detail["messageId"]].append(detail)
    pages = stack.aws.client("dynamodb").get_paginator("scan").paginate(TableName=stack.outputs["MessagesTableName"])
    value = TypeDeserializer().deserialize
    records = {}
    for item in (item for page in pages for item in page["Items"]):
        record = {name: value(typed) for name, typed in item.items()}
        records[record["messageId"]] = record
    posts = defaultdict(list)
    requests = stack.cube.requests()
    recipients = Counter(post["n"] for post in requests)
    for post in requests:
        posts[post["deviceId"]].append({**post, "isShared": recipients[post["n"]] > 1})
    return [
        Verdict(
            each,
            records.get(each.message_id, {}),
            posts[each.device_id],
            events[each.message_id] if consumer else None,
        )
        for each in messages
    ]


def queued(stack: LocalStack) -> int:
    """Return how many messages are on the send queue, in whatever way."""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    url = stack.outputs["SendQueueUrl"]
    attributes = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def wait_until_the_queue_is_empty(stack: LocalStack, *, timeout: float = 120.0) -> None:
    """Wait until every message is off the send queue."""
    wait_until("the send queue to be empty", lambda: queued(stack) == 0, timeout=timeout)


def set_visibility_timeout(stack: LocalStack, seconds: int) -> None:
    """Change how soon a message becomes visible again if its worker was killed."""
    stack.sqs.set_queue_attributes(
        QueueUrl=stack.outputs["SendQueueUrl"], Attributes={"VisibilityTimeout": str(seconds)}
    )


def set_mapping(stack: LocalStack, **properties: Any) -> None:
    """Change how the queue function is given its messages."""
    functions = stack.aws.client("lambda")
    name = stack.outputs["SendFromQueueFunctionName"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], **properties)
