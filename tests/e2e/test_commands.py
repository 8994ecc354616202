"""The commands of the README, as a person runs them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest

from cube_sms.delivery.records import Record, read_item
from local.child import free_ports, is_free
from local.command import CommandError
from local.deploy import deploy
from local.ministack import MiniStack
from local.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
UP = [sys.executable, "-m", "local.up"]
# The build is that of all tests.
MAKE_LOCAL = ["make", "--silent", "-o", "build", "local"]
LAST_WORDS_OF_A_START = "nextFaults"


class Started(NamedTuple):
    """A `make local` that is up."""

    process: subprocess.Popen[str]
    printed: str
    terminal: int
    """The other end of its terminal, as a file descriptor."""
    family: list[int]
    """It and all its descendants, by their process ids."""

    @property
    def aws(self) -> str:
        """The address of its local AWS."""
        return self._address("local AWS")

    @property
    def cube(self) -> str:
        """The address of its simulator."""
        return self._address("Cube simulator")

    def client(self, service: Any) -> Any:
        """Return boto3's client of a service of its local AWS."""
        return boto3.client(
            service,
            endpoint_url=self.aws,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def outputs(self) -> dict[str, str]:
        """Return the outputs of its stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName="cube-sms")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def send(self, request_id: str, device_id: str = "89314404000939952215") -> None:
        """Put a request onto its queue."""
        body = json.dumps({"requestId": request_id, "deviceId": device_id, "content": "Hello"})
        self.client("sqs").send_message(QueueUrl=self.outputs()["SendQueueUrl"], MessageBody=body)

    def states(self) -> dict[str, str]:
        """Return the states in its records, by message id."""
        resources = self.client("cloudformation").describe_stack_resources(
            StackName="cube-sms", LogicalResourceId="MessagesTable"
        )
        (table,) = resources["StackResources"]
        items = self.client("dynamodb").scan(TableName=table["PhysicalResourceId"])["Items"]
        records = [record for item in items if isinstance(record := read_item(item), Record)]
        return {record.message_id: record.state for record in records}

    def processes(self, command: str) -> list[int]:
        """Return those of its processes whose command line holds a text."""
        table = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
        found = [line.split(maxsplit=1) for line in table.splitlines()]
        return [int(pid) for pid, arguments in found if int(pid) in self.family and command in arguments]

    def leaves_nothing(self) -> bool:
        """Whether all its processes are gone."""
        return not any(is_alive(pid) for pid in self.family)

    def _address(self, part: str) -> str:
        found = re.search(rf"{part} +(\S+)", self.printed)
        assert found
        return found[1]


@contextmanager
def started(*command: str) -> Iterator[Started]:
    """Run a command that starts a stack, in a terminal of its own, until this context ends."""
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=its_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_as_a_person_does,
    ) as process:
        os.close(its_end)
        assert process.stdout
        try:
            printed = ""
            while LAST_WORDS_OF_A_START not in printed:
                line = process.stdout.readline()
                assert line, f"it ended before it was up: {printed}"
                printed += line
            yield Started(process, printed, terminal, [process.pid, *descendants(process.pid)])
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            os.close(terminal)


def _as_a_person_does() -> None:
    # A shell that runs the tests in the background has Ctrl-C ignored in all that it starts.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def descendants(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in table.splitlines()}
    children = [child for child, parent in parents.items() if parent == pid]
    return [*children, *(each for child in children for each in descendants(child))]


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def rest_of(stack: Started) -> str:
    assert stack.process.stdout
    return stack.process.stdout.read()


def refused(*arguments: str) -> str:
    """Return the sentences of a `make local` that does not start."""
    ended = subprocess.run([*UP, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert not ended.stdout
    return ended.stderr.strip()


def test_the_demo_ends_well() -> None:
    demo = subprocess.run([sys.executable, "-m", "local.demo"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    for event in (ROOT / "events").glob("*.json"):
        assert event.stem in demo.stdout
    # What Cube accepted is counted for each message: never two for one.
    sent = [line for line in demo.stdout.splitlines() if re.search(r"SMS Sent +[1-9]", line)]
    assert len(sent) > 20
    assert all(re.search(r"SMS Sent +1 ", line) for line in sent)


def test_local_stack_has_the_parameters_it_is_given_until_ctrl_c() -> None:
    # Given a stack started by hand, with parameters and a simulator that fails
    ports = {"PORT": "0", "PARAMS": "Campaigns=true CubeDailyQuota=60", "CUBE": "--unknown-device 8931 --seed 7"}
    with started(*MAKE_LOCAL, *(f"{name}={value}" for name, value in ports.items())) as stack:
        # When its endpoints are called
        outputs = stack.outputs()
        functions = stack.client("lambda")
        function = functions.get_function_configuration(FunctionName=outputs["SendFromQueueFunctionName"])
        with urllib.request.urlopen(f"{stack.cube}/_config", timeout=10) as answer:
            config = json.load(answer)

        # Then they answer as the parameters say, on this machine alone
        assert outputs["CampaignBucketName"]
        assert function["Environment"]["Variables"]["CUBE_DAILY_QUOTA"] == "60"
        assert "8931" in config["unknownDevices"]
        assert config["seed"] == 7
        assert all("127.0.0.1" in url for url in re.findall(r"https?://[^/\s]+", stack.printed))
        assert "everything it holds is lost" in stack.printed

        # When Ctrl-C is pressed, twice since it takes a moment
        os.write(stack.terminal, b"\x03\x03")

        # Then it ends in order, and leaves nothing behind
        assert "Traceback" not in rest_of(stack)
        stack.process.wait(timeout=30)
        wait_until("the end of all processes", stack.leaves_nothing, timeout=10)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["Campaign=true", "CubeDailyQuota=many"],
            "CubeDailyQuota must be a whole number from 0 to 100000000, not 'many'.",
        ),
        (["Campaigns"], "'Campaigns' is not of the form NAME=VALUE."),
        (["CubeBaseUrl=https://example.org"], "CubeBaseUrl is the simulator's address here."),
        (["--cube=--qps=-1"], "qps: must be a whole number, 0 or more"),
        (["DeploymentType=Linear10PercentEvery1Minute"], "Unrecognized resource types: [AWS::CodeDeploy::"),
    ],
)
def test_what_cannot_be_started_is_told_in_a_sentence(arguments: list[str], sentence: str) -> None:
    assert sentence in refused("--port", "0", *arguments)


def test_server_of_somebody_else_is_not_taken_for_its_own() -> None:
    # Given a local AWS that somebody has left on the port
    with MiniStack() as stale:
        # When a stack is to have that port, then it says so, and touches nothing there
        assert refused("--port", str(stale.port)).startswith(f"Port {stale.port} of 127.0.0.1 is taken")
        assert stale.client("cloudformation").describe_stacks()["Stacks"] == []


def test_resource_that_cannot_be_made_is_named_with_the_reason() -> None:
    with MiniStack() as aws:
        # Given an event bus that already has the stack's name
        aws.client("events").create_event_bus(Name="taken")

        # When the stack is deployed, then the error says which resource could not be made, and why
        sentence = r"^The stack could not be deployed\. OutcomeBus: .*already exists: taken$"
        with pytest.raises(CommandError, match=sentence):
            deploy(aws, "taken", {"CubeBaseUrl": "http://127.0.0.1:1"})


def test_interrupted_while_it_starts_it_leaves_nothing() -> None:
    # Given a stack that is being started
    command = [*UP, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until("its servers", lambda: len(descendants(process.pid)) >= 2)
        family = descendants(process.pid)

        # When it gets the signal to end
        process.terminate()
        printed, _ = process.communicate(timeout=30)

    # Then it does so with a sentence
    assert printed == "Interrupted. Everything it had started is stopped.\n"
    assert process.returncode == 130
    wait_until("the end of all processes", lambda: not any(map(is_alive, family)), timeout=10)


@pytest.mark.parametrize(("command", "name"), [("ministack", "The local AWS"), ("cube_simulator", "The simulator")])
def test_part_that_dies_ends_it(command: str, name: str) -> None:
    # Given a stack that is up
    with started(*UP, "--port", "0") as stack:
        # When a part of it is killed
        (pid,) = stack.processes(command)
        os.kill(pid, signal.SIGKILL)

        # Then all of it ends, and says why
        assert f"ended by itself, and so has the stack: {name}" in rest_of(stack)
        assert stack.process.wait(timeout=30) == 1
        wait_until("the end of all processes", stack.leaves_nothing, timeout=10)


def test_kept_stack_comes_back_after_it_was_killed(tmp_path: Path) -> None:
    # Given a stack that is kept, with a parameter, a message that was sent, and a queue of somebody's own
    folder = tmp_path / "kept"
    (port,) = free_ports(1)
    keep = ["--keep", str(folder), "--port", str(port)]
    with started(*UP, *keep, "Campaigns=true") as stack:
        stack.send("before")
        wait_until("the message", lambda: stack.states() == {"default#before": "SENT"})
        mine = stack.client("sqs").create_queue(QueueName="mine")["QueueUrl"]
        before = stack.outputs()

        # When another one is to have its folder, then that is refused
        assert "Another stack is up from" in refused("--port", "0", "--keep", str(folder))

        # When it is killed
        stack.process.kill()
        wait_until("the end of all processes", stack.leaves_nothing, timeout=30)
    assert is_free(port)

    # Then it comes back with all of it, and takes another parameter
    with started(*UP, *keep, "CubeDailyQuota=60") as stack:
        assert stack.outputs() == before
        assert before["CampaignBucketName"]
        assert stack.states() == {"default#before": "SENT"}

        # And the bus has an event of what is sent now
        sqs, events = stack.client("sqs"), stack.client("events")
        arn = sqs.get_queue_attributes(QueueUrl=mine, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"source": ["cube-sms"]})
        events.put_rule(Name="mine", EventBusName=before["EventBusName"], EventPattern=pattern)
        events.put_targets(Rule="mine", EventBusName=before["EventBusName"], Targets=[{"Id": "mine", "Arn": arn}])
        stack.send("after")
        (message,) = wait_until("the event", lambda: sqs.receive_message(QueueUrl=mine).get("Messages"))
        assert json.loads(message["Body"])["detail"]["requestId"] == "after"
        assert stack.states() == {"default#before": "SENT", "default#after": "SENT"}

        # And it ends in order
        stack.process.terminate()
        assert "Traceback" not in rest_of(stack)
        assert stack.process.wait(timeout=30) == 0
        wait_until("the end of all processes", stack.leaves_nothing, timeout=10)


def test_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    assert "is not empty, and no stack was kept there" in refused("--port", "0", "--keep", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
