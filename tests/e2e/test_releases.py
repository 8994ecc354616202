"""A deployed stack that changes: what a release and a smoke test do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from local.stack import STACK_NAME, LocalStack
from tests.e2e.scripts import run_script
from tests.e2e.test_send import a_device

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = ("SendFromQueueFunctionName", "SendFromApiFunctionName", "PublishOutcomesFunctionName")


@pytest.fixture
def released() -> Iterator[LocalStack]:
    with LocalStack(is_limited=False) as stack:
        yield stack


def live(stack: LocalStack, function: str) -> dict[str, Any]:
    """Return the configuration of the version that queue, API and stream call."""
    functions: Any = stack.aws.client("lambda")
    name = stack.outputs[function]
    configuration: dict[str, Any] = functions.get_function_configuration(FunctionName=name, Qualifier="live")
    return configuration


def change(stack: LocalStack, **parameters: str) -> str:
    """Create a change set that gives parameters other values, and return its name."""
    cloudformation = stack.aws.client("cloudformation")
    (described,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    values = {given["ParameterKey"]: given["ParameterValue"] for given in described["Parameters"]} | parameters
    cloudformation.create_change_set(
        StackName=STACK_NAME,
        ChangeSetName="release",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(
        StackName=STACK_NAME, ChangeSetName="release", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return "release"


def test_a_changed_parameter_reaches_what_is_called(released: LocalStack) -> None:
    # Given a deployed stack, and a change set for another value of a parameter
    before = {function: live(released, function)["Version"] for function in FUNCTIONS}
    change_set = change(released, LogLevel="WARNING")

    # When it is shown, and executed
    shown = run_script(released, "change_set", "--stack", STACK_NAME, "show", change_set)
    executed = run_script(released, "change_set", "--stack", STACK_NAME, "execute", change_set)

    # Then the functions were named, and what queue, API and stream call is a new version with that value
    assert shown.status == 0, shown.err
    assert "| SendFromQueueFunction | AWS::Lambda::Function |" in shown.out
    assert executed.status == 0, executed.out + executed.err
    for function in FUNCTIONS:
        configuration = live(released, function)
        assert configuration["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == "WARNING"
        assert configuration["Version"] != before[function]
        # And the version before is still there to go back to
        functions: Any = released.aws.client("lambda")
        name = released.outputs[function]
        assert functions.get_function_configuration(FunctionName=name, Qualifier=before[function])


def test_a_change_set_that_is_not_there_is_a_sentence(stack: LocalStack) -> None:
    done = run_script(stack, "change_set", "--stack", "cube-sms-prdo", "execute", "release")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("cube-sms: AWS refuses ")


def test_the_smoke_test_follows_two_messages(stack: LocalStack) -> None:
    # Given a device
    device = a_device()

    # When the smoke test is run
    done = run_script(stack, "smoke_test", "--device", device)

    # Then it has sent one message at once, one through the queue, and none a second time
    assert done.status == 0, done.err
    assert [line.partition(": ")[2] for line in done.out.splitlines()] == [
        "SENT at once, and not again when the call was repeated",
        "SENT from the queue",
    ]
    assert len(stack.cube.requests(device)) == 2


def test_the_smoke_test_fails_where_a_message_is_not_sent(stack: LocalStack) -> None:
    # Given a device that Cube does not answer for
    device = a_device()
    stack.cube.configure(device_faults={device: "status:400"})

    # When the smoke test is run
    done = run_script(stack, "smoke_test", "--device", device)

    # Then it fails, and says what became of the message
    assert done.status == 1
    assert "HTTP 422 instead of 200" in done.err
