"""The operator's command for dead letters on queues alone, of either type: many letters, and faults of the operator."""

from __future__ import annotations

import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pexpect
import pytest

from local.ministack import MiniStack
from tests.e2e.command import COMMAND, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.processes import Ended

# MiniStack goes through all of them for each ten that it gives: 20,000 take it minutes, and SQS seconds.
MANY = 2_000


class Queues(NamedTuple):
    """A dead-letter queue and a send queue that nobody consumes, and the stack that tells where they are."""

    aws: MiniStack
    stack: str
    dead_letters: str
    send: str

    def put(self, letters: list[dict[str, Any]]) -> None:
        """Put letters there."""
        sqs = self.aws.client("sqs", max_pool_connections=8)

        def put(entries: tuple[dict[str, Any], ...]) -> None:
            numbered = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
            assert not sqs.send_message_batch(QueueUrl=self.dead_letters, Entries=numbered).get("Failed")

        with ThreadPoolExecutor(1 if self.dead_letters.endswith(".fifo") else 8) as pool:
            list(pool.map(put, batched(letters, 10, strict=False)))

    def bodies(self, queue_url: str) -> list[str]:
        """Receive everything from a queue, in its order, and delete it."""
        sqs, bodies = self.aws.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def dlq(self, *arguments: str, given: str | None = None) -> Ended:
        """Run the command."""
        members = {**os.environ, **self.aws.environment, "CUBE_SMS_STACK": self.stack}
        return run(members, "dlq", *arguments, given=given)

    def count(self, *arguments: str) -> int:
        """Return how many letters a list of some of them tells."""
        listed = self.dlq("list", "--json", *arguments)
        assert listed.status == 0, listed.err
        return int(listed.json["count"])


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    with MiniStack() as aws:
        yield aws


def queues_of(aws: MiniStack, *, is_fifo: bool = False, returns: bool = False) -> Queues:
    """Make a stack of queues; where what is put back returns, both are one."""
    name, fifo = f"dlq-{uuid4()}", {"FifoQueue": True} if is_fifo else {}
    template = {
        "Resources": {name: {"Type": "AWS::SQS::Queue", "Properties": fifo} for name in ("Letters", "Send")},
        "Outputs": {
            "DeadLetterQueueUrl": {"Value": {"Ref": "Letters"}},
            "SendQueueUrl": {"Value": {"Ref": "Letters" if returns else "Send"}},
        },
    }
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Queues(aws, name, outputs["DeadLetterQueueUrl"], outputs["SendQueueUrl"])


@pytest.fixture
def queues(aws: MiniStack) -> Queues:
    return queues_of(aws)


@pytest.fixture
def fifo(aws: MiniStack) -> Queues:
    return queues_of(aws, is_fifo=True)


def letter(number: int, reason: str = "AttemptsUsedUp", *, group: str | None = None, **more: str) -> dict[str, Any]:
    attributes = {"requestId": f"order-{number}", "reason": reason, **more}
    order = {"MessageGroupId": group, "MessageDeduplicationId": str(uuid4())} if group else {}
    return {
        "MessageBody": str(number),
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
        },
        **order,
    }


def test_many_letters_are_told_in_a_few_lines(queues: Queues) -> None:
    # Given as many letters of two reasons, some of which say something else than the others
    letters = [letter(number, detail="HTTP 503") for number in range(MANY - 3)]
    queues.put([*letters, *(letter(number, "InvalidRequest", detail=f"{number}: no field") for number in range(3))])

    # When they are listed
    done = queues.dlq("list", "--seconds", "1000")

    # Then all are counted, by reason, and a few are shown
    lines = done.out.splitlines()
    assert done.status == 0, done.err
    assert lines[0].startswith("1997 AttemptsUsedUp (")
    assert "… and 1992 more" in lines
    assert sum(line.startswith("order-") and "  InvalidRequest  " in line for line in lines) == 3
    assert lines[-1] == "2000 dead letters"
    assert len(lines) < 20


def test_list_tells_what_it_knows_after_its_time(queues: Queues) -> None:
    queues.put([letter(number) for number in range(100)])
    done = queues.dlq("list", "--seconds", "0")
    assert done.status == 0
    assert done.out.startswith("0 dead letters; 0 of about 100 were looked at: there was no time for the others")


def test_each_letter_can_be_had_again_at_once(queues: Queues) -> None:
    queues.put([letter(number, f"Reason{number % 3}") for number in range(100)])
    for _ in range(2):
        assert queues.count("--reason", "Reason1") == 33


@pytest.mark.parametrize("is_fifo", [False, True])
def test_letters_that_return_at_once_are_put_back_once(aws: MiniStack, is_fifo: bool) -> None:
    # Given letters, with and without an id, that are on the dead-letter queue again as soon as they are put back
    queues = queues_of(aws, is_fifo=is_fifo, returns=True)
    letters = [letter(number, group=f"device{number % 5}" if is_fifo else None) for number in range(25)]
    for each in letters[:5]:
        del each["MessageAttributes"]["requestId"]
    queues.put(letters)

    # When they are put back
    done = queues.dlq("redrive", "--all", "--wait", "2" if is_fifo else "100")

    # Then the command ends, with a word about each of them; of a FIFO queue SQS shows the first of each device
    assert done.status == 0, done.err
    told = r"25 redriven to the send queue, (\d+) returned within \d+ s, \1 left( and about (\d+) behind them)?"
    outcome = re.fullmatch(told, done.out.splitlines()[-1])
    assert outcome, done.out
    assert int(outcome[1]) + int(outcome[3] or 0) == 25
    assert sorted(queues.bodies(queues.dead_letters)) == sorted(map(str, range(25)))


def test_list_ends_while_letters_keep_coming(queues: Queues) -> None:
    # Given letters that come as fast as they can
    queues.put([letter(number) for number in range(20)])
    is_over = threading.Event()

    def put() -> None:
        while not is_over.is_set():
            queues.put([letter(number, "Late") for number in range(100, 110)])

    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(put)
        try:
            # When they are listed, and put back
            listed = queues.dlq("list", "--seconds", "1000")
            redriven = queues.dlq("redrive", "--reason", "AttemptsUsedUp", "--wait", "0")
        finally:
            is_over.set()
            putting.result()

    # Then both end
    assert (listed.status, redriven.status) == (0, 0), listed.err + redriven.err


@pytest.mark.parametrize("reason", ["AttemptsUsedUp", "-"])
def test_letters_are_put_back_by_their_reason_and_the_others_stay(queues: Queues, reason: str) -> None:
    queues.put([letter(1), letter(2), letter(3, "Conflict"), letter(4, ""), letter(5, "")])

    done = queues.dlq("redrive", "--reason", reason, "--wait", "0")

    assert "2 redriven to the send queue, 0 returned within 0 s, 3 left" in done.out
    assert sorted(queues.bodies(queues.send)) == (["1", "2"] if reason == "AttemptsUsedUp" else ["4", "5"])
    assert queues.count() == 3


CHOSEN = {
    "by its code": (["--code", "9403"], ["1", "2"]),
    "without a code": (["--code", "-"], ["4"]),
    "by its account": (["--account", "fleet"], ["1", "3"]),
    "by one of two codes": (["--code", "9404", "--code", "-"], ["3", "4"]),
    "by all that is given": (["--code", "9403", "--account", "fleet", "--since", "2020-01-01T00:00:00Z"], ["1"]),
    "since a time to come": (["--account", "fleet", "--since", "2999-01-01T00:00:00Z"], []),
    "until a time that is over": (["--until", "2020-01-01T00:00:00+01:00"], []),
    "until a time to come": (["--until", "2999-01-01T00:00:00Z"], ["1", "2", "3", "4"]),
}


@pytest.mark.parametrize(("options", "chosen"), CHOSEN.values(), ids=CHOSEN)
def test_letters_are_chosen_by_code_account_and_time(queues: Queues, options: list[str], chosen: list[str]) -> None:
    # Given what Cube rejected
    queues.put(
        [
            letter(1, "Rejected", account="fleet", lastCode="9403"),
            letter(2, "Rejected", account="default", lastCode="9403"),
            letter(3, "Rejected", account="fleet", lastCode="9404"),
            letter(4, "Rejected", account="default"),
        ]
    )

    # When some of it is listed, and put back
    count = queues.count(*options)
    done = queues.dlq("redrive", *options, "--wait", "0")

    # Then these and no others
    assert count == len(chosen)
    assert f"{len(chosen)} redriven to the send queue" in done.out, done.err
    assert sorted(queues.bodies(queues.send)) == chosen


def test_rejected_messages_are_counted_by_code_and_account(queues: Queues) -> None:
    queues.put([letter(number, "Rejected", account="fleet", lastCode="9403") for number in range(3)])
    queues.put([letter(9, "Rejected", account="default")])
    lines = queues.dlq("list").out.splitlines()
    assert [line.partition(" (")[0] for line in lines if " Rejected, " in line] == [
        "3 Rejected, code 9403, account fleet",
        "1 Rejected, code -, account default",
    ]


@pytest.mark.parametrize(
    "options", [[], ["--all", "--code", "9403"], ["--since", "yesterday"], ["--since", "2027-01-31"]]
)
def test_choice_that_says_nothing_or_two_things_is_refused(queues: Queues, options: list[str]) -> None:
    queues.put([letter(1)])
    done = queues.dlq("redrive", *options)
    assert done.status == 2
    assert "Usage: cube-sms dlq redrive" in done.err
    assert queues.bodies(queues.send) == []


def test_letter_that_is_cut_is_not_put_back(queues: Queues) -> None:
    queues.put([letter(1, cutFrom="1048576"), letter(2)])

    done = queues.dlq("redrive", "--all", "--wait", "0")

    assert done.status == 1
    assert "only a part of the message" in done.out
    assert "1048576 bytes" in done.out
    assert "1 redriven to the send queue" in done.out
    assert queues.bodies(queues.send) == ["2"]


def test_letter_that_is_not_there_is_a_failure(queues: Queues) -> None:
    queues.put([letter(1)])
    done = queues.dlq("redrive", "--request-id", "order-2")
    assert (done.status, done.err) == (1, "cube-sms: None of the dead letters has the id order-2.\n")


def test_what_a_sender_wrote_is_shown_harmless_and_short(queues: Queues) -> None:
    hostile = "\x9b2J\n" + "a" * 100_000
    queues.put([letter(number, f"{hostile}{number}", detail=hostile, lastCode=hostile) for number in range(30)])
    done = queues.dlq("list")
    assert "30 dead letters" in done.out
    assert "\x9b" not in done.out
    assert len(done.out) < 200_000


def test_letters_of_a_device_are_put_back_in_their_order(fifo: Queues) -> None:
    # Given more letters of each device than SQS shows at once
    fifo.put([letter(number, group=f"device{number % 3}") for number in range(75)])

    # When they are listed, and put back
    listed = fifo.dlq("list")
    done = fifo.dlq("redrive", "--all", "--wait", "0")

    # Then those that were not shown are counted, and those of each device are in their order
    (shown,) = re.findall(r"(\d+) dead letters; \1 of about 75 were looked at: ", listed.out)
    assert int(shown) >= 10
    assert "75 redriven to the send queue" in done.out, done.err
    numbers = [int(body) for body in fifo.bodies(fifo.send)]
    assert len(numbers) == 75
    for device in range(3):
        of_device = [number for number in numbers if number % 3 == device]
        assert of_device == sorted(of_device)


def test_letters_behind_others_that_stay_are_found(fifo: Queues) -> None:
    # Given letters of one device, some of which are not to be put back
    reasons = ["AttemptsUsedUp", "AttemptsUsedUp", "Conflict"]
    fifo.put([letter(number, reasons[number % 3], group="device") for number in range(24)])

    done = fifo.dlq("redrive", "--reason", "AttemptsUsedUp", "--wait", "0")

    assert "16 redriven to the send queue, 0 returned within 0 s, 8 left" in done.out, done.err
    assert [int(body) for body in fifo.bodies(fifo.dead_letters)] == list(range(2, 24, 3))


@pytest.mark.parametrize("group", ["dlq", "rejected", "outcomes"])
def test_stack_that_is_not_there_is_a_sentence(aws: MiniStack, group: str) -> None:
    done = run({**os.environ, **aws.environment}, group, "list", "--stack", "cube-sms-prdo")
    assert (done.status, done.out) == (1, "")
    told = "There is no stack cube-sms-prdo in eu-central-1. Is the name right (--stack), and the region?"
    assert done.err == f"cube-sms: {told}\n"


def test_stack_that_is_another_one_is_a_sentence(aws: MiniStack, queues: Queues) -> None:
    done = run({**os.environ, **aws.environment}, "outcomes", "list", "--stack", queues.stack)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"cube-sms: The stack {queues.stack} has no output UnpublishedQueueUrl.")


def test_queue_that_is_not_there_is_a_sentence(queues: Queues) -> None:
    done = queues.dlq("list", "--queue", f"{queues.aws.url}/000000000000/nothing")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("cube-sms: AWS refuses GetQueueAttributes: ")


def test_another_queue_is_given_by_its_url(queues: Queues) -> None:
    queues.aws.client("sqs").send_message(QueueUrl=queues.send, MessageBody="x")
    assert (queues.count("--queue", queues.send), queues.count()) == (1, 0)


HELD = {"note": "for the fleet", "detail": "HTTP 503", "account": "fleet", "lastCode": "9403"}


def test_letter_is_shown_whole_without_its_content(queues: Queues) -> None:
    # Given a letter with an attribute of its sender
    queues.put([letter(1, **HELD), letter(2)])

    # When it is shown
    shown = queues.dlq("show", "order-1", "--json")

    # Then all is there that the gateway knows of it, and nothing that the sender wrote
    assert shown.status == 0, shown.err
    (known,) = shown.json
    assert {name: known[name] for name in ("requestId", "reason", "account", "lastCode", "detail")} == {
        "requestId": "order-1",
        "reason": "AttemptsUsedUp",
        "account": "fleet",
        "lastCode": "9403",
        "detail": "HTTP 503",
    }
    assert (known["bodyBytes"], known["attributes"]) == (1, ["note"])
    assert "body" not in known
    assert "for the fleet" not in shown.out


def test_content_of_a_letter_is_shown_if_it_is_asked_for(queues: Queues) -> None:
    queues.put([{**letter(1, **HELD), "MessageBody": '{"content": "caf\u00e9\x9b2J"}'}])

    shown = queues.dlq("show", "order-1", "--content", "--json")
    read = queues.dlq("show", "order-1", "--content")

    (known,) = shown.json
    assert (known["body"], known["attributes"]) == ('{"content": "caf\u00e9\x9b2J"}', {"note": "for the fleet"})
    assert '"caf\u00e9\\u009b2J"' in read.out
    assert "\x9b" not in shown.out + read.out


def test_letter_that_cannot_be_shown_is_a_failure(queues: Queues) -> None:
    shown = queues.dlq("show", "order-1")
    assert (shown.status, shown.out) == (1, "")
    assert shown.err == "cube-sms: None of the dead letters has the id order-1.\n"


@pytest.mark.parametrize("is_fifo", [False, True])
def test_letters_are_deleted_by_their_reason_and_the_others_stay(aws: MiniStack, is_fifo: bool) -> None:
    # Given letters of two reasons
    queues = queues_of(aws, is_fifo=is_fifo)
    group = "device" if is_fifo else None
    reasons = ["Conflict", "Conflict", "AttemptsUsedUp"]
    queues.put([letter(number, reasons[number % 3], group=group) for number in range(24)])

    # When those of one are deleted
    deleted = queues.dlq("delete", "--reason", "Conflict", "--yes", "--json")

    # Then the others are there, and nothing was put onto the send queue
    assert deleted.status == 0, deleted.err
    assert deleted.json["deleted"] == 16
    assert sorted(map(int, queues.bodies(queues.dead_letters))) == list(range(2, 24, 3))
    assert queues.bodies(queues.send) == []


@pytest.mark.parametrize(("answer", "left"), [("y\n", []), ("n\n", ["1"]), ("", ["1"])])
def test_letters_are_deleted_after_a_question(queues: Queues, answer: str, left: list[str]) -> None:
    queues.put([letter(1)])
    done = queues.dlq("delete", "--all", "--json", given=answer)
    assert "Delete all dead letters? They cannot be restored." in done.err
    assert done.status == (1 if left else 0)
    assert queues.bodies(queues.dead_letters) == left


def test_letter_that_is_not_there_cannot_be_deleted(queues: Queues) -> None:
    queues.put([letter(1)])
    done = queues.dlq("delete", "--request-id", "order-1", "--request-id", "order-2", "--yes")
    assert (done.status, done.err) == (1, "cube-sms: None of the dead letters has the id order-2.\n")
    assert done.out == "1 deleted, 0 left\n"


def test_result_in_json_tells_each_number(queues: Queues) -> None:
    queues.put([letter(1, cutFrom="1048576"), letter(2), letter(3, "Conflict")])

    listed = queues.dlq("list", "--json").json
    done = queues.dlq("redrive", "--reason", "AttemptsUsedUp", "--wait", "0", "--json").json

    assert [(each["reason"], each["count"]) for each in listed["reasons"]] == [("AttemptsUsedUp", 2), ("Conflict", 1)]
    assert {example["requestId"] for example in listed["reasons"][0]["examples"]} == {"order-1", "order-2"}
    assert (done["putBack"], done["cameBack"], done["left"], done["missing"]) == (1, 0, 2, [])
    assert [each["count"] for each in done["onlyInPart"]] == [1]


def test_progress_is_shown_on_a_terminal_and_in_lines_elsewhere(queues: Queues) -> None:
    # Given letters that are put back
    queues.put([letter(number) for number in range(MANY)])
    done = queues.dlq("redrive", "--all", "--wait", "0")
    assert "1000 redriven …" in done.err.splitlines()

    # When more of them are deleted by somebody who looks on
    queues.put([letter(number) for number in range(50)])
    environment = {**os.environ, **queues.aws.environment, "CUBE_SMS_STACK": queues.stack, "TERM": "xterm-256color"}
    seen = pexpect.spawn(str(COMMAND), ["dlq", "delete", "--all"], env=environment, encoding="utf-8", timeout=180)

    # Then there is a question, a bar, and a word at the end
    seen.expect_exact("Delete all dead letters? They cannot be restored.")
    seen.sendline("y")
    seen.expect_exact("━")
    seen.expect(r"50 deleted, 0 left")
    seen.expect(pexpect.EOF)
    seen.wait()
    assert seen.exitstatus == 0
