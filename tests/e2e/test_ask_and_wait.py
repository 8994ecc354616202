"""Workflows that ask a device and wait for its answer, on the local stack: by callbacks, and by asking the provider."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cube_sms.delivery.asks.store import Asks, Device
from local.stack import CALLBACK_TOKEN, V4_ACCOUNT, LocalStack, wait_until
from local.workflows import EventConsumer, Execution, create_state_machine
from tests.e2e.test_permissions import Permission, for_all_resources, without
from tests.e2e.test_send import a_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = "OK, door closed, PIN Kx4711q"


class Asking(NamedTuple):
    """A stack whose devices answer, the state machine of the example, and a consumer of all events."""

    stack: LocalStack
    machine: str
    consumer: EventConsumer

    def ask(self, device: str, **data: Any) -> Execution:
        """Start a workflow that asks a device."""
        data = {"deviceId": device, "content": "Is the door closed?", **data}
        return Execution.start(self.stack, self.machine, data)

    def wait_until_sent(self, execution: Execution) -> None:
        """Wait until an event reports that the message was sent: then it is known who waits for the reply."""
        wait_until("SMS Sent", lambda: [each for each in self.details(execution) if each["state"] == "SENT"])

    def details(self, execution: Execution) -> list[dict[str, Any]]:
        """Return the details of the events about the message of a workflow."""
        return self.consumer.details(execution.name)

    def replies(self, device: str) -> list[dict[str, Any]]:
        """Return the details of the events about what a device said."""
        found = [event["detail"] for event in self.consumer.events() if event["detail-type"] == "SMS Received"]
        return [detail for detail in found if detail["deviceId"] == device]

    def call_back(self, *callbacks: dict[str, Any]) -> None:
        """Have the provider call back, and wait for its answers."""
        self.stack.cube.configure(callback_url=self.stack.callback_url(CALLBACK_TOKEN), callback_tries=2)
        self.stack.cube.call_back(*({"content": TEXT, **callback} for callback in callbacks))

        def answered() -> bool:
            made = self.stack.cube.callbacks()[-len(callbacks) :]
            return all(len(each["statuses"]) > (each["fault"] == "again") for each in made)

        wait_until("the answers to callbacks", answered)

    def lines(self, function: str, text: str) -> list[dict[str, Any]]:
        """Return the entries of a function's log with a text."""
        return [entry for entry in self.stack.outcomes(function) if entry["message"] == text]

    def wait_for_line(self, function: str, text: str, action: Callable[[], None] = lambda: None) -> None:
        """Do something until there is such an entry."""

        def found() -> list[dict[str, Any]]:
            action()
            return self.lines(function, text)

        wait_until(f"the line {text!r}", found)

    def stop(self, execution: Execution) -> None:
        """Stop a workflow that gets no answer."""
        self.stack.aws.client("stepfunctions").stop_execution(executionArn=execution.arn)

    def follow_up(self) -> None:
        """Do what is done once a minute."""
        name = f"{self.stack.outputs['FollowUpFunctionName']}:live"
        self.stack.aws.client("lambda").invoke(FunctionName=name)


def ended(execution: Execution) -> dict[str, Any]:
    return wait_until(f"{execution.arn} to end", execution.ended) or {}


def made(stack: LocalStack) -> Asking:
    machine, consumer = create_state_machine(stack, "ask-and-wait"), EventConsumer(stack, {"source": ["cube-sms"]})
    return Asking(stack, machine, consumer)


# ── By callbacks ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def asking() -> Iterator[Asking]:
    """Return a stack that is called back, whose functions may do what their roles allow and nothing else."""
    with (
        LocalStack({"Replies": "callback"}, is_limited=False, authenticate=True) as stack,
        for_all_resources(stack, "PublishOutcomesRole", "AnswerTasks"),
        for_all_resources(stack, "ReceiveCallbackRole", "AnswerTasks"),
        for_all_resources(stack, "FollowUpRole", "AnswerTasks"),
    ):
        yield made(stack)


def test_a_workflow_goes_on_by_what_the_device_answers(asking: Asking) -> None:
    # Given a device that answers what it is sent, at once
    device = a_device()
    asking.stack.cube.configure(reply_devices={device: TEXT}, callback_url=asking.stack.callback_url(CALLBACK_TOKEN))
    # When a workflow asks it
    execution = asking.ask(device)
    # Then the task ends with the answer
    result = ended(execution)
    assert result["status"] == "SUCCEEDED"
    (event,) = wait_until("the event of the reply", lambda: asking.replies(device))
    assert result["output"] == {
        "requestId": execution.name,
        "account": "default",
        "deviceId": device,
        "eventId": event["eventId"],
        "messageType": "Text",
        "content": TEXT,
        "receivedAt": event["receivedAt"],
    }
    # And an event reports the message itself, as for every message
    (sent,) = wait_until("SMS Sent", lambda: asking.details(execution))
    assert sent["state"] == "SENT"


def test_each_answer_is_for_one_of_two_that_wait(asking: Asking) -> None:
    # Given two workflows that have asked one device, one after the other
    device, now = a_device(), int(time.time() * 1000)
    first = asking.ask(device)
    asking.wait_until_sent(first)
    second = asking.ask(device, content="And the window?")
    asking.wait_until_sent(second)
    # When the first answer comes twice
    asking.call_back({"deviceId": device, "content": "OK, the door", "receivedAt": now + 1000, "fault": "again"})
    # Then it is for the first alone, and its event says so each time
    assert ended(first)["output"]["content"] == "OK, the door"
    assert {each["inReplyTo"] for each in asking.replies(device)} == {first.name}
    assert second.ended() is None
    # And the second answer is for the second
    asking.call_back({"deviceId": device, "content": "OK, the window", "receivedAt": now + 2000})
    assert ended(second)["output"]["content"] == "OK, the window"


def test_a_workflow_hears_of_silence(asking: Asking) -> None:
    # Given a device that does not answer
    device = a_device()
    execution = asking.ask(device, awaitReply=1)
    asking.wait_until_sent(execution)

    # When its time is over
    def result() -> dict[str, Any] | None:
        asking.follow_up()
        return execution.ended()

    found = wait_until("the end of the time", result) or {}
    # Then the task fails, and says since when and until when
    assert (found["status"], found["error"]) == ("FAILED", "CubeSms.NoReply")
    cause = json.loads(found["cause"])
    assert (cause["requestId"], cause["deviceId"]) == (execution.name, device)
    assert cause["sentAt"] < cause["until"]
    # And a later reply of the device belongs to no message
    asking.call_back({"deviceId": device})
    (event,) = wait_until("the event of the reply", lambda: asking.replies(device))
    assert event["inReplyTo"] is None


def test_a_message_that_is_not_sent_is_answered_as_ever(asking: Asking) -> None:
    device = a_device()
    asking.stack.cube.configure(device_faults={device: "rejected:4711"})
    found = ended(asking.ask(device))
    assert (found["status"], found["error"]) == ("FAILED", "CubeSms.Rejected")
    # And no workflow waits for the device any more
    asks = Asks(asking.stack.aws.client("dynamodb"), asking.stack.outputs["MessagesTableName"])
    assert asks.meeting(Device("default", device)).asks == ()


@pytest.mark.parametrize(
    "permission",
    [
        Permission("ReceiveCallbackRole", "NoteReplies", "dynamodb:GetItem"),
        Permission("ReceiveCallbackRole", "NoteReplies", "dynamodb:UpdateItem"),
    ],
    ids=lambda permission: permission.action,
)
def test_without_this_permission_the_provider_has_to_repeat_the_reply(asking: Asking, permission: Permission) -> None:
    device = a_device()
    execution = asking.ask(device)
    asking.wait_until_sent(execution)
    with without(asking.stack, permission):
        asking.call_back({"deviceId": device})
        assert 200 not in asking.stack.cube.callbacks()[-1]["statuses"]
    asking.call_back({"deviceId": device})
    assert ended(execution)["status"] == "SUCCEEDED"


def test_a_task_that_the_receiver_may_not_answer_is_in_the_log(asking: Asking) -> None:
    # Given a receiver that may not answer tasks
    device = a_device()
    execution = asking.ask(device)
    asking.wait_until_sent(execution)
    with without(asking.stack, Permission("ReceiveCallbackRole", "AnswerTasks", "states:SendTaskSuccess")):
        asking.call_back({"deviceId": device})
        # Then the provider is answered, and the log reports the task
        assert 200 in asking.stack.cube.callbacks()[-1]["statuses"]
        asking.wait_for_line("ReceiveCallback", "task not answered")
        assert execution.ended() is None
    asking.stop(execution)


def test_a_task_that_may_not_be_told_of_silence_is_in_the_log(asking: Asking) -> None:
    execution = asking.ask(a_device(), awaitReply=1)
    asking.wait_until_sent(execution)
    with without(asking.stack, Permission("FollowUpRole", "AnswerTasks", "states:SendTaskFailure")):
        asking.wait_for_line("FollowUp", "task not answered", asking.follow_up)
        assert execution.ended() is None
    asking.stop(execution)


@pytest.mark.parametrize("action", ["dynamodb:GetItem", "dynamodb:UpdateItem"])
def test_without_this_permission_the_publisher_has_to_repeat(asking: Asking, action: str) -> None:
    # Given a publisher that may not note who waits
    with without(asking.stack, Permission("PublishOutcomesRole", "NoteWhoWaits", action)):
        before = len(asking.lines("PublishOutcomes", "not published"))
        execution = asking.ask(a_device())
        # Then it says so, and Lambda repeats it, which the local one does not
        wait_until("a line", lambda: len(asking.lines("PublishOutcomes", "not published")) > before)
    asking.stop(execution)


def test_no_log_has_what_was_said(asking: Asking) -> None:
    lines = asking.stack.log_lines()
    assert [line for line in lines if '"reply published"' in line]
    assert [line for line in lines if "Kx4711q" in line or "the window" in line] == []


# ── By asking the provider ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def polling() -> Iterator[Asking]:
    with (
        LocalStack({"Replies": "poll"}, is_limited=False, authenticate=True) as stack,
        for_all_resources(stack, "PublishOutcomesRole", "AnswerTasks"),
        for_all_resources(stack, "FollowUpRole", "AnswerTasks"),
    ):
        yield made(stack)


def test_the_provider_is_asked_for_the_answer(polling: Asking) -> None:
    # Given a device that has said something long before, and answers what it is sent
    device = a_device()
    polling.stack.cube.add_reply(device, "Good morning", receivedAt=int(time.time() * 1000) - 3_600_000)
    polling.stack.cube.configure(reply_devices={device: TEXT})
    # When a workflow asks it, with so little time that the provider is asked at once
    execution = polling.ask(device, account=V4_ACCOUNT, awaitReply=2)
    polling.wait_until_sent(execution)

    def result() -> dict[str, Any] | None:
        polling.follow_up()
        return execution.ended()

    # Then the answer comes, and no other message does
    found = wait_until("the answer", result) or {}
    assert (found["status"], found["output"]["content"]) == ("SUCCEEDED", TEXT)
    (event,) = wait_until("the event of the reply", lambda: polling.replies(device))
    assert (event["content"], event["inReplyTo"]) == (TEXT, execution.name)


@pytest.mark.parametrize(
    ("permission", "line"),
    [
        (Permission("FollowUpRole", "PublishReplies", "events:PutEvents"), "reply not published"),
        (Permission("FollowUpRole", "AnswerTasks", "states:SendTaskSuccess"), "task not answered"),
    ],
    ids=lambda value: value.action if isinstance(value, Permission) else "line",
)
def test_without_this_permission_the_answer_does_not_come(polling: Asking, permission: Permission, line: str) -> None:
    # Given a device that answers at once
    device = a_device()
    polling.stack.cube.configure(reply_devices={device: TEXT})
    with without(polling.stack, permission):
        execution = polling.ask(device, account=V4_ACCOUNT, awaitReply=1)
        polling.wait_until_sent(execution)
        polling.wait_for_line("FollowUp", line, polling.follow_up)
        assert execution.ended() is None
    polling.stop(execution)


def test_the_schedule_asks_the_provider(polling: Asking) -> None:
    # Given a workflow that asks a device, which answers at once
    device = a_device()
    polling.stack.cube.configure(reply_devices={device: TEXT})
    execution = polling.ask(device, account=V4_ACCOUNT, awaitReply=1)
    # When only the deployed schedule invokes the function
    found = wait_until("the answer", execution.ended, timeout=600) or {}
    # Then the task ends with the reply, and there is an event of it
    assert (found["status"], found["output"]["content"]) == ("SUCCEEDED", TEXT)
    (event,) = wait_until("the event of the reply", lambda: polling.replies(device))
    assert (event["eventId"], event["inReplyTo"]) == (found["output"]["eventId"], execution.name)


def test_a_device_that_says_nothing_is_silent_here_too(polling: Asking) -> None:
    device = a_device()
    execution = polling.ask(device, account=V4_ACCOUNT, awaitReply=1)
    polling.wait_until_sent(execution)

    def result() -> dict[str, Any] | None:
        polling.follow_up()
        return execution.ended()

    assert (wait_until("the end of the time", result) or {})["error"] == "CubeSms.NoReply"


def test_an_account_that_cannot_be_asked_is_told_so(polling: Asking) -> None:
    found = ended(polling.ask(a_device()))
    assert (found["status"], found["error"]) == ("FAILED", "CubeSms.InvalidRequest")
    assert found["cause"].find("awaitReply: cannot be met: Replies is poll, and account default") >= 0
