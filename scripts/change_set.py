"""Show a change set of CloudFormation to those who approve it, or execute it and wait.

Usage: ``python -m scripts.change_set --stack NAME show CHANGE_SET`` prints Markdown; ``execute CHANGE_SET`` fails where
the stack is rolled back, and says why. boto3's own environment (``AWS_PROFILE``, ``AWS_DEFAULT_REGION``) says where.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import WaiterError

from scripts.deployment import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ResourceChangeTypeDef

# A linear release takes 100 minutes.
WAIT_SECONDS = 5
MOST_WAITS = 1680


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    cloudformation = boto3.client("cloudformation")
    if arguments.command == "show":
        print("\n".join(describe(cloudformation, arguments.stack, arguments.change_set)))
    else:
        execute(cloudformation, arguments.stack, arguments.change_set)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Show a change set, or execute it and wait.")
    parser.add_argument("--stack", required=True, help="name of the CloudFormation stack")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("show", "print the changes as Markdown"), ("execute", "execute it, and wait for the end")):
        commands.add_parser(name, help=what).add_argument("change_set", help="its name or ARN")
    return parser.parse_args()


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
    """Tell whether a resource goes, or may go, and another comes in its place."""
    return change["Action"] == "Remove" or change.get("Replacement") in ("True", "Conditional")


def execute(cloudformation: CloudFormationClient, stack: str, change_set: str) -> None:
    """Execute a change set, and wait until the stack is as it says."""
    began_at = datetime.now(UTC)
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    is_new = described["StackStatus"] == "REVIEW_IN_PROGRESS"
    # A version that a release made is deleted when the release is rolled back. Left behind, it would be in the way when
    # the release is repeated: Lambda publishes nothing that is as the newest version is, and CloudFormation fails then.
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=change_set, RetainExceptOnCreate=True)
    waiter = cloudformation.get_waiter("stack_create_complete" if is_new else "stack_update_complete")
    try:
        waiter.wait(StackName=stack, WaiterConfig={"Delay": WAIT_SECONDS, "MaxAttempts": MOST_WAITS})
    except WaiterError as error:
        reasons = "\n".join(failures(cloudformation, stack, began_at))
        sys.exit(f"{stack} is not as the change set says: {error}\n{reasons}")
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
    run(main)
