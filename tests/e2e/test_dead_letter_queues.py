"""The operator's command for dead letters on queues alone, of either type: many letters, and faults of the operator."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest

from local.ministack import MiniStack
from tests.e2e.scripts import run_with

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

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

    def dlq(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return run_with(self.aws.environment, "dlq", "--stack", self.stack, *arguments)


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
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("1997 AttemptsUsedUp (")
    assert "… and 1992 more" in lines
    assert sum("\tInvalidRequest\t" in line for line in lines) == 3
    assert lines[-1] == "2000 dead letters"
    assert len(lines) < 20


def test_list_tells_what_it_knows_after_its_time(queues: Queues) -> None:
    queues.put([letter(number) for number in range(100)])
    done = queues.dlq("list", "--seconds", "0")
    assert done.returncode == 0
    assert done.stdout.startswith("0 dead letters; 0 of about 100 were looked at: there was no time for the others")


def test_each_letter_can_be_had_again_at_once(queues: Queues) -> None:
    queues.put([letter(number, f"Reason{number % 3}") for number in range(100)])
    for _ in range(2):
        assert queues.dlq("list", "--reason", "Reason1").stdout.splitlines()[-1] == "33 dead letters"


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
    assert done.returncode == 0, done.stderr
    told = r"25 put back onto the send queue, (\d+) came back within \d+ s, \1 left( and about (\d+) behind them)?"
    outcome = re.fullmatch(told, done.stdout.splitlines()[-1])
    assert outcome, done.stdout
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
    assert (listed.returncode, redriven.returncode) == (0, 0), listed.stderr + redriven.stderr


@pytest.mark.parametrize("reason", ["AttemptsUsedUp", "-"])
def test_letters_are_put_back_by_their_reason_and_the_others_stay(queues: Queues, reason: str) -> None:
    queues.put([letter(1), letter(2), letter(3, "Conflict"), letter(4, ""), letter(5, "")])

    done = queues.dlq("redrive", "--reason", reason, "--wait", "0")

    assert "2 put back onto the send queue, 0 came back within 0 s, 3 left" in done.stdout
    assert sorted(queues.bodies(queues.send)) == (["1", "2"] if reason == "AttemptsUsedUp" else ["4", "5"])
    assert queues.dlq("list").stdout.splitlines()[-1] == "3 dead letters"


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
    listed = queues.dlq("list", *options)
    done = queues.dlq("redrive", *options, "--wait", "0")

    # Then these and no others
    assert listed.stdout.splitlines()[-1] == f"{len(chosen)} dead letters"
    assert f"{len(chosen)} put back onto the send queue" in done.stdout, done.stderr
    assert sorted(queues.bodies(queues.send)) == chosen


def test_rejected_messages_are_counted_by_code_and_account(queues: Queues) -> None:
    queues.put([letter(number, "Rejected", account="fleet", lastCode="9403") for number in range(3)])
    queues.put([letter(9, "Rejected", account="default")])
    lines = queues.dlq("list").stdout.splitlines()
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
    assert done.returncode == 2
    assert "usage: " in done.stderr
    assert queues.bodies(queues.send) == []


def test_letter_that_is_cut_is_not_put_back(queues: Queues) -> None:
    queues.put([letter(1, cutFrom="1048576"), letter(2)])

    done = queues.dlq("redrive", "--all", "--wait", "0")

    assert done.returncode == 1
    assert "only a part of the message" in done.stdout
    assert "1048576 bytes" in done.stdout
    assert "1 put back onto the send queue" in done.stdout
    assert queues.bodies(queues.send) == ["2"]


def test_letter_that_is_not_there_is_a_failure(queues: Queues) -> None:
    queues.put([letter(1)])
    done = queues.dlq("redrive", "--request-id", "order-2")
    assert (done.returncode, done.stderr) == (1, "no letter has the id order-2\n")


def test_what_a_sender_wrote_is_shown_harmless_and_short(queues: Queues) -> None:
    hostile = "\x9b2J\n" + "a" * 100_000
    queues.put([letter(number, f"{hostile}{number}", detail=hostile, lastCode=hostile) for number in range(30)])
    done = queues.dlq("list")
    assert "30 dead letters" in done.stdout
    assert "\x9b" not in done.stdout
    assert len(done.stdout) < 200_000


def test_letters_of_a_device_are_put_back_in_their_order(fifo: Queues) -> None:
    # Given more letters of each device than SQS shows at once
    fifo.put([letter(number, group=f"device{number % 3}") for number in range(75)])

    # When they are listed, and put back
    listed = fifo.dlq("list")
    done = fifo.dlq("redrive", "--all", "--wait", "0")

    # Then those that were not shown are counted, and those of each device are in their order
    (shown,) = re.findall(r"(\d+) dead letters; \1 of about 75 were looked at: ", listed.stdout)
    assert int(shown) >= 10
    assert "75 put back onto the send queue" in done.stdout, done.stderr
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

    assert "16 put back onto the send queue, 0 came back within 0 s, 8 left" in done.stdout, done.stderr
    assert [int(body) for body in fifo.bodies(fifo.dead_letters)] == list(range(2, 24, 3))


@pytest.mark.parametrize("script", ["dlq", "replay_outcomes"])
def test_stack_that_is_not_there_is_a_sentence(aws: MiniStack, script: str) -> None:
    done = run_with(aws.environment, script, "--stack", "cube-sms-prdo", "list")
    assert done.returncode == 1
    assert done.stderr == "there is no stack cube-sms-prdo in eu-central-1: is the name right, and the region?\n"


def test_stack_that_is_another_one_is_a_sentence(aws: MiniStack, queues: Queues) -> None:
    done = run_with(aws.environment, "replay_outcomes", "--stack", queues.stack, "list")
    assert done.returncode == 1
    assert done.stderr.startswith(f"the stack {queues.stack} has no output PublishOutcomesFunctionName, ")


NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
NO_REGION = {"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}
NO_AWS = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environment", "told", "command"),
    [
        (NO_CREDENTIALS, "there are no AWS credentials: ", "dlq list"),
        (NO_REGION, "there is no AWS region: ", "dlq list"),
        (NO_AWS, "AWS cannot be reached: ", "dlq redrive --all"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found", "dlq list"),
        (NO_CREDENTIALS, "there are no AWS credentials: ", "replay_outcomes replay"),
        (NO_CREDENTIALS, "there are no AWS credentials: ", "smoke_test --device 8931"),
        (NO_REGION, "there is no AWS region: ", "smoke_test --device 8931 --api-url https://api.example.com"),
        (NO_REGION, "there is no AWS region: ", "change_set --stack cube-sms show release"),
        ({}, "AWS refuses ", "change_set --stack cube-sms-prdo execute release"),
    ],
)
def test_environment_that_is_not_right_is_a_sentence(
    aws: MiniStack, environment: dict[str, str], told: str, command: str
) -> None:
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    }
    done = run_with(aws.environment | nothing | environment, *command.split())
    assert done.returncode == 1
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1


def test_queue_that_is_not_there_is_a_sentence(queues: Queues) -> None:
    done = queues.dlq("--queue", f"{queues.aws.url}/000000000000/nothing", "list")
    assert done.returncode == 1
    assert done.stderr.startswith("AWS refuses GetQueueAttributes: ")
