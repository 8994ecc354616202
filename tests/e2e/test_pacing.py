"""The provider's limits, by its own count: a stack with the template's defaults in front of a strict simulator."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cube_sms.delivery.states import State
from cube_sms.pacing.gate_item import GATE_KEY
from local.stack import LocalStack, wait_until
from tests.e2e.aws_proxy import change_environment
from tests.e2e.http_proxy import Answer, Call, HttpProxy
from tests.e2e.verdicts import SENT_ONCE, Ending, Message, queued, verdicts, wait_until_the_queue_is_empty
from tests.integration.days import avoid_midnight, until_tomorrow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.stack import HttpAnswer

# The defaults: of the template, and of the provider.
QPS = 10
CONNECTIONS = 3
BATCH_SIZE = 10
QUEUE_WORKERS = 2

LATENCY = 0.05


@pytest.fixture(scope="module")
def strict() -> Iterator[LocalStack]:
    """Return a stack as the template has it, in front of a provider with the limits of the real one."""
    with LocalStack(latency=LATENCY) as stack:
        warm_up(stack)
        yield stack


@pytest.fixture
def cube_stack(strict: LocalStack) -> LocalStack:
    """Return the stack, in front of a provider with an empty request log."""
    strict.cube.reset()
    return strict


def warm_up(stack: LocalStack) -> None:
    """Start the functions."""
    assert stack.call_api("POST", "/messages", Message.make().json).status == 200
    stack.enqueue(Message.make().json)
    wait_until_the_queue_is_empty(stack)


def burst(stack: LocalStack, number: int, campaign: str | None = None) -> list[Message]:
    """Put messages onto the queue, many at a time; those of a campaign as it does."""
    group: Any = {"MessageGroupId": campaign} if campaign else {}
    messages = [Message.make(priority="bulk" if campaign else None) for _ in range(number)]
    for first in range(0, number, BATCH_SIZE):
        stack.sqs.send_message_batch(
            QueueUrl=stack.outputs["SendQueueUrl"],
            Entries=[
                {"Id": str(index), "MessageBody": message.json, **group}
                for index, message in enumerate(messages[first : first + BATCH_SIZE])
            ],
        )
    return messages


def accepted(stack: LocalStack) -> int:
    number: int = stack.cube.stats()["accepted"]
    return number


def hidden(stack: LocalStack) -> int:
    """Return how many messages on the send queue cannot be received now."""
    name = "ApproximateNumberOfMessagesNotVisible"
    url = stack.outputs["SendQueueUrl"]
    return int(stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def closed_until(stack: LocalStack) -> float:
    """Return until when the gate is closed, in seconds since the epoch; 0 where it is open."""
    found = stack.aws.client("dynamodb").get_item(
        TableName=stack.outputs["MessagesTableName"], Key={"messageId": {"S": GATE_KEY}}, ConsistentRead=True
    )
    return float(found["Item"].get("closedUntil", {"N": "0"})["N"])


def call_until_sent(stack: LocalStack, message: Message) -> list[HttpAnswer]:
    """Call the API again as its answers say, until the message is sent."""
    answers = [stack.call_api("POST", "/messages", message.json)]
    while answers[-1].status != 200:
        assert answers[-1].status in (429, 503), answers[-1]
        time.sleep(int(answers[-1].headers["Retry-After"]))
        answers.append(stack.call_api("POST", "/messages", message.json))
    return answers


def assert_sent_once(stack: LocalStack, messages: Sequence[Message]) -> None:
    found = verdicts(stack, messages)
    assert [str(verdict) for verdict in found if verdict.ending != SENT_ONCE or verdict.faults] == []


def assert_accepted_once(stack: LocalStack, messages: Sequence[Message]) -> None:
    """See that Cube has accepted each message once, whether or not it refused it before."""
    found = verdicts(stack, messages)
    assert [str(each) for each in found if (each.state, each.accepted) != (State.SENT, 1) or each.faults] == []


def test_burst_is_sent_at_the_providers_rate_and_nothing_is_refused(cube_stack: LocalStack) -> None:
    # The workers share the rate, unless the machine delays them: one worker alone would be far below it. A worker that
    # is delayed between its last look at the clock and its query may be too late for its slot (docs/pacing.md)
    wait_until("a burst at the rate", lambda: rate_of_a_burst(cube_stack) > 0.7 * QPS, timeout=180)


def rate_of_a_burst(stack: LocalStack) -> float:
    """Send a burst, see that all of it is sent, and return its rate on the queue; 0 if Cube refused some of it."""
    # When messages come through the queue, and callers of the API do not wait for them
    stack.cube.reset()
    messages = burst(stack, 60)
    called = [Message.make() for _ in range(6)]
    for message in called:
        call_until_sent(stack, message)
    wait_until_the_queue_is_empty(stack)

    # Then each is accepted once, and the provider's limits hold by its own count
    assert_accepted_once(stack, [*messages, *called])
    assert stack.dead_letters() == []
    stats = stack.cube.stats()
    if stats["refused"]:
        return 0.0
    assert stats["received"] == 66
    assert stats["highestRate"] <= QPS
    assert stats["highestConcurrency"] <= CONNECTIONS

    requests = stack.cube.requests()
    queued_devices = {message.device_id for message in messages}
    last = max(number for number, request in enumerate(requests) if request["deviceId"] in queued_devices)
    return float(last / (requests[last]["at"] - requests[0]["at"]))


def place(stack: LocalStack, message: Message) -> int:
    """Wait until a message is posted, and return how many were before it."""
    wait_until("a message to be posted", lambda: stack.cube.requests(message.device_id))
    return [request["deviceId"] for request in stack.cube.requests()].index(message.device_id)


def test_single_messages_are_not_behind_a_campaign(cube_stack: LocalStack) -> None:
    # Given a campaign whose messages have been on the queue for a while
    stack = cube_stack
    bulk = burst(stack, 400, campaign="spring")
    wait_until("the campaign to be under way", lambda: accepted(stack) >= 30)

    singles, ahead = [], []
    for send in (stack.enqueue, partial(stack.call_api, "POST", "/messages")) * 3:
        # When a single message is put onto the queue, or comes through the API
        before, single = accepted(stack), Message.make()
        send(single.json)
        ahead.append(place(stack, single) - before)
        singles.append(single)

    # Then of all those that were there before it, few are posted. On the queue these are at most what both
    # invocations had received, and a batch on its way to one of them. By the API they are fewer
    assert max(ahead[::2]) <= (QUEUE_WORKERS + 1) * BATCH_SIZE, ahead
    assert max(ahead[1::2]) <= 2 * BATCH_SIZE, ahead
    assert accepted(stack) < len(bulk)

    # And none of them is lost
    wait_until_the_queue_is_empty(stack)
    assert_accepted_once(stack, [*bulk, *singles])
    assert stack.cube.stats()["highestConcurrency"] <= CONNECTIONS


class Throttle(HttpProxy):
    """A proxy in front of the provider that answers one POST with HTTP 429, and notes when which POST arrives.

    Parameters
    ----------
    upstream : str
        The provider.
    retry_after : int
        Seconds that it asks to wait.
    """

    def __init__(self, upstream: str, retry_after: int) -> None:
        super().__init__(upstream)
        self.retry_after = retry_after
        self.is_due = False
        self.throttled_at = 0.0
        self.posts: list[float] = []
        self._lock = threading.Lock()

    def before(self, call: Call) -> Answer | None:
        """Answer the POST that is due."""
        with self._lock:
            self.posts.append(time.time())
            if not self.is_due:
                return None
            self.is_due = False
            self.throttled_at = self.posts[-1]
        return Answer(429, {"Retry-After": str(self.retry_after)}, b"")


def test_throttling_in_the_middle_of_a_burst_stops_both_functions_for_that_long(cube_stack: LocalStack) -> None:
    # Given a burst that is on its way
    stack = cube_stack
    with Throttle(stack.cube.url, retry_after=4) as throttle:
        change_environment(stack, CUBE_BASE_URL=f"{throttle.url}/cube/v4")
        warm_up(stack)
        warm = len(throttle.posts)
        messages = burst(stack, 35)
        wait_until("the burst to be under way", lambda: len(throttle.posts) >= warm + 12)

        # When the provider asks to be left alone
        throttle.is_due = True
        wait_until("the provider to refuse", lambda: throttle.throttled_at)
        opens_at = throttle.throttled_at + throttle.retry_after
        wait_until("the gate to be closed", lambda: closed_until(stack) > time.time())

        # Then the API reports that to its callers at once, with the time that is left
        called = [Message.make() for _ in range(3)]
        for message in called:
            asked_at = time.time()
            reply = stack.call_api("POST", "/messages", message.json)
            assert (reply.status, reply.body["state"], reply.body["attempts"]) == (429, "RETRYING", 0)
            assert asked_at + int(reply.headers["Retry-After"]) >= opens_at - 0.1
            time.sleep(0.3)

        # And later all of it is sent
        for message in called:
            call_until_sent(stack, message)
        wait_until_the_queue_is_empty(stack)
        change_environment(stack, CUBE_BASE_URL=stack.cube_url)

    # A worker looks at the gate when it reserves slots, a batch at a time. The one that was refused stops at once, and
    # every other one may finish its batch.
    early = [at for at in throttle.posts if throttle.throttled_at < at < opens_at]
    assert len(early) <= (QUEUE_WORKERS - 1) * BATCH_SIZE

    # And what returned to the queue meanwhile has used up no attempt
    endings = [verdict.ending for verdict in verdicts(stack, [*messages, *called])]
    refused_once = Ending(State.SENT, accepted=1, attempts=2)
    assert sorted(endings, key=str) == sorted([SENT_ONCE] * (len(endings) - 1) + [refused_once], key=str)
    assert len(throttle.posts) == warm + len(endings) + 1
    assert stack.dead_letters() == []


def test_messages_over_the_daily_quota_stay_on_the_queue() -> None:
    avoid_midnight()
    # Given
    with LocalStack({"CubeDailyQuota": "5"}, quota=5) as stack:
        # When
        messages = burst(stack, 12)
        wait_until("the quota to be used up", lambda: accepted(stack) == 5)
        reply = stack.call_api("POST", "/messages", Message.make().json)
        remaining = until_tomorrow()
        wait_until("the rest to be put back", lambda: hidden(stack) == 7)
        time.sleep(2.0)

        # Then the others are still there, and have not been posted
        assert (hidden(stack), queued(stack)) == (7, 7)
        stats = stack.cube.stats()
        assert (stats["received"], stats["refused"]) == (5, {})
        assert stack.dead_letters() == []
        found = [verdict for verdict in verdicts(stack, messages) if not verdict.posts]
        assert len(found) == 7
        assert all(verdict.record.get("attempts", 0) == 0 for verdict in found)

        # And callers get the answer to come again tomorrow
        assert (reply.status, reply.body["state"]) == (429, "RETRYING")
        assert remaining - 5 < int(reply.headers["Retry-After"]) <= remaining + 5


def test_urgent_messages_find_what_a_campaign_has_left_of_the_quota() -> None:
    avoid_midnight()
    # Given a campaign for more devices than a day has room for, of which it has sent what it may
    quota, reserved = 60, 6
    with LocalStack({"CubeDailyQuota": str(quota)}, quota=quota) as stack:
        bulk = burst(stack, quota + 10, campaign="spring")
        wait_until("the campaign to come to the reserve", lambda: accepted(stack) == quota - reserved)
        wait_until("the rest to be put back", lambda: hidden(stack) == len(bulk) - quota + reserved)

        # When urgent messages come
        called = [Message.make() for _ in range(reserved - 1)]
        answers = [stack.call_api("POST", "/messages", message.json).status for message in called]
        closed = [metric for metric in stack.metrics() if "GateClosed" in metric]
        single = Message.make()
        stack.enqueue(single.json)
        wait_until("the single message to be sent", lambda: accepted(stack) == quota)
        late = stack.call_api("POST", "/messages", Message.make().json)

        # Then each finds its place, until the whole quota is spent
        assert answers == [200] * len(called)
        assert late.status == 429
        assert_sent_once(stack, [*called, single])
        assert (hidden(stack), queued(stack)) == (len(bulk) - quota + reserved,) * 2
        stats = stack.cube.stats()
        assert (stats["received"], stats["refused"]) == (quota, {})
        assert stack.dead_letters() == []
        # And until then no metric reported a closed gate
        assert closed == []
