"""Show a change set of CloudFormation to those who approve it, or execute it and wait.

Usage: ``python -m scripts.change_set --stack NAME show CHANGE_SET`` prints Markdown; ``execute CHANGE_SET`` fails if
the stack is rolled back, and says why. The options are those of ``cube-sms``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import WaiterError

from cube_sms_cli.errors import OperatorError
from cube_sms_cli.options import Operator, command, common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ResourceChangeTypeDef

# A linear release takes 100 minutes.
WAIT_SECONDS = 5
MOST_WAITS = 1680


app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.callback()(common)

Name = Annotated[str, typer.Argument(metavar="CHANGE_SET", help="Its name or ARN.")]


@app.command()
@command
def show(operator: Operator, change_set: Name) -> None:
    """Print the changes as Markdown."""
    cloudformation = operator.stack.client("cloudformation")
    print("\n".join(describe(cloudformation, operator.stack.name, change_set)))


@app.command("execute")
@command
def execute_it(operator: Operator, change_set: Name) -> None:
    """Execute it, and wait for the end."""
    execute(operator.stack.client("cloudformation"), operator.stack.name, change_set)


def describe(cloudformation: CloudFormationClient, stack: str, change_set: str) -> Iterator[str]:
    """Yield the lines of a table of the changes, those that lose something first."""
    changes = [
        change["ResourceChange"]
        for page in cloudformation.get_paginator("describe_change_set").paginate(
            StackName=stack, ChangeSetName=change_set
        )
        for change in page.get("Changes", [])
        if "ResourceChange" in change
    ]
    yield f"### {stack}: {len(changes)} changes ({change_set})"
    yield ""
    yield "| | resource | type | replaced | what changes |"
    yield "| --- | --- | --- | --- | --- |"
    for change in sorted(changes, key=lambda change: (not is_loss(change), change["LogicalResourceId"])):
        details = change.get("Details", [])
        names = {
            detail.get("Target", {}).get("Name", detail.get("Target", {}).get("Attribute", "")) for detail in details
        }
        action = f"**{change['Action']}**" if is_loss(change) else change["Action"]
        what = ", ".join(sorted(filter(None, names)))
        replaced = change.get("Replacement", "")
        yield f"| {action} | {change['LogicalResourceId']} | {change['ResourceType']} | {replaced} | {what} |"


def is_loss(change: ResourceChangeTypeDef) -> bool:
    """Return whether CloudFormation removes a resource, or replaces it, or may replace it."""
    return change["Action"] == "Remove" or change.get("Replacement") in ("True", "Conditional")


def execute(cloudformation: CloudFormationClient, stack: str, change_set: str) -> None:
    """Execute a change set, and wait until the stack is as it says."""
    began_at = datetime.now(UTC)
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    is_new = described["StackStatus"] == "REVIEW_IN_PROGRESS"
    # A rollback then deletes the versions that the release made. A version that stays would make the next try fail:
    # Lambda publishes no copy of the newest version, and CloudFormation takes that as an error.
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=change_set, RetainExceptOnCreate=True)
    waiter = cloudformation.get_waiter("stack_create_complete" if is_new else "stack_update_complete")
    try:
        waiter.wait(StackName=stack, WaiterConfig={"Delay": WAIT_SECONDS, "MaxAttempts": MOST_WAITS})
    except WaiterError as error:
        reasons = "\n".join(failures(cloudformation, stack, began_at))
        raise OperatorError(f"{stack} is not as the change set says: {error}\n{reasons}") from None
    print(f"{stack} is as the change set says")


def failures(cloudformation: CloudFormationClient, stack: str, since: datetime) -> Iterator[str]:
    """Yield what failed, the newest first."""
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:
            if event["Timestamp"] < since:
                return
            if event.get("ResourceStatus", "").endswith("FAILED"):
                yield f"{event.get('LogicalResourceId', '')}: {event.get('ResourceStatusReason', '')}"


if __name__ == "__main__":
    app()
