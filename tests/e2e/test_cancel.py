"""Messages that are cancelled while they wait, against real workers: none is posted, or the caller gets a refusal."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from cube_sms.delivery.states import State
from local.stack import LocalStack, wait_until
from tests.e2e.aws_proxy import NOTE, AwsProxy, Rule, change_environment, route
from tests.e2e.http_proxy import HangUp
from tests.e2e.outcomes import OutcomeConsumer
from tests.e2e.verdicts import (
    SENT_ONCE,
    Message,
    set_mapping,
    set_visibility_timeout,
    verdicts,
    wait_until_the_queue_is_empty,
)
from tests.e2e.workers import Workers, kill
from tests.integration.days import avoid_midnight, until_tomorrow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import HttpAnswer
    from tests.e2e.aws_proxy import AwsCall
    from tests.e2e.http_proxy import Answer

# How soon the message of a dead worker comes back, in seconds.
VISIBILITY_TIMEOUT = 21


@pytest.fixture(scope="module")
def spent() -> Iterator[LocalStack]:
    """Return a stack whose quota for the day is used up. Its functions may do what their roles allow."""
    avoid_midnight()
    with LocalStack({"CubeDailyQuota": "1"}, authenticate=True, quota=0) as stack:
        assert stack.call_api("POST", "/messages", Message.make().json).status == 200
        yield stack


def shown(stack: LocalStack, message: Message) -> HttpAnswer:
    return stack.call_api("GET", f"/messages/{message.request_id}")


def cancel(stack: LocalStack, message: Message) -> HttpAnswer:
    return stack.call_api("DELETE", f"/messages/{message.request_id}")


def wait_until_queued(stack: LocalStack, message: Message) -> None:
    def waits() -> bool:
        answer = shown(stack, message)
        return answer.status == 200 and bool(answer.body.get("expectedAt"))

    wait_until(f"{message.request_id} to be put back", waits)


def test_message_that_waits_for_tomorrow_is_found_cancelled_and_never_posted(spent: LocalStack) -> None:
    # Given messages that come through both inputs when the day's quota is spent
    consumer = OutcomeConsumer(spent)
    stopped, posted, kept = Message.make(), Message.make(), Message.make()
    before = time.time()
    spent.enqueue(stopped.json)
    spent.enqueue(kept.json)
    assert spent.call_api("POST", "/messages", posted.json, Prefer="respond-async").status == 202
    for message in (stopped, posted, kept):
        wait_until_queued(spent, message)
        record = shown(spent, message).body
        # Then it is known since when they wait, and until when
        assert (record["state"], record["attempts"], record["deviceId"]) == ("QUEUED", 0, message.device_id)
        expected = datetime.fromisoformat(record["expectedAt"]).timestamp()
        assert abs(expected - time.time() - until_tomorrow()) < 60
        assert before - 1 < datetime.fromisoformat(record["createdAt"]).timestamp() <= time.time()

    # When two are cancelled, and then there is quota, and their messages come again
    for message in (stopped, posted):
        answer = cancel(spent, message)
        assert (answer.status, answer.body["state"]) == (200, "CANCELLED")
    change_environment(spent, CUBE_DAILY_QUOTA="100")
    for message in (stopped, posted, kept):
        spent.enqueue(message.json)
    wait_until("the third to be sent", lambda: shown(spent, kept).body["state"] == "SENT")

    def acknowledged() -> bool:
        entries = [entry for entry in spent.outcomes() if entry["message"] == "message was cancelled"]
        return {entry["request_id"] for entry in entries} >= {stopped.request_id, posted.request_id}

    wait_until("the others to be acknowledged", acknowledged)

    # Then they were not posted, and one event reports each
    found = {verdict.message: verdict for verdict in verdicts(spent, [stopped, posted, kept], consumer)}
    assert found[kept].ending == SENT_ONCE
    for message in (stopped, posted):
        assert (found[message].state, found[message].posts) == (State.CANCELLED, [])
        assert [event["state"] for event in found[message].events or ()] == ["CANCELLED"]
        assert not found[message].faults
        assert (cancel(spent, message).status, shown(spent, message).body["state"]) == (200, "CANCELLED")
    too_late = cancel(spent, kept)
    assert (too_late.status, too_late.body["state"]) == (409, "SENT")
    assert spent.dead_letters() == []


def test_message_that_is_cancelled_while_workers_send_is_not_posted_or_the_caller_is_told(
    open_stack: LocalStack,
) -> None:
    # Given messages, each of which is cancelled about when a worker takes it
    messages = [Message.make() for _ in range(40)]

    def send_and_cancel(message: Message) -> HttpAnswer:
        open_stack.enqueue(message.json)
        time.sleep(messages.index(message) % 8 * 0.02)
        return cancel(open_stack, message)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send_and_cancel, messages))
    wait_until_the_queue_is_empty(open_stack)

    # Then each is cancelled and was not posted, or was sent once and the caller who cancelled it knows
    for answer, verdict in zip(answers, verdicts(open_stack, messages), strict=True):
        assert not verdict.faults
        if answer.status == 200:
            assert (verdict.state, list(verdict.posts)) == (State.CANCELLED, [])
        else:
            assert (answer.status, verdict.ending) == (409, SENT_ONCE)
            assert answer.body["state"] in ("SENDING", "SENT")


@pytest.mark.parametrize("is_written", [False, True], ids=["before", "after"])
def test_message_outlives_whoever_leaves_word_that_it_waits(is_written: bool) -> None:
    # Given a function that is killed right before or after it has written that a message waits
    with AwsProxy() as proxy, LocalStack(is_limited=False) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "DYNAMODB")
        set_visibility_timeout(stack, VISIBILITY_TIMEOUT)
        set_mapping(stack, BatchSize=1)
        workers = Workers(stack, stack.outputs["SendFromApiFunctionName"])
        message = Message.make()
        killed = []

        def strike(call: AwsCall) -> Answer | None:
            if call.message_id != message.message_id:
                return None
            # Linux shows its sockets one after the other, and may leave one out while others come and go.
            pid = wait_until("the process that calls", lambda: workers.with_port(call.port))
            assert pid
            killed.append(pid)
            kill(pid)
            raise HangUp

        # When it has put a message onto the queue
        with proxy.applying(Rule(NOTE, strike, is_forwarded=is_written)):
            answer = stack.call_api("POST", "/messages", message.json, Prefer="respond-async")
        assert killed
        assert answer.status >= 500

        # Then the message is sent, and its caller may repeat the call
        wait_until("the message to be sent", lambda: shown(stack, message).body.get("state") == "SENT")
        assert stack.call_api("POST", "/messages", message.json, Prefer="respond-async").status == 202
        wait_until_the_queue_is_empty(stack)
        (verdict,) = verdicts(stack, [message])
        assert verdict.ending == SENT_ONCE
        assert not verdict.faults
