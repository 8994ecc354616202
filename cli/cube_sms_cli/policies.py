"""The IAM policies of docs/operator-policy.json, and what their placeholders stand for in a stack."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arns import arn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .stack import Stack

EVERY = "every"
"""What every command needs, beside what its group does."""

GROUPS: dict[str, tuple[str, ...]] = {
    "look": ("doctor", "messages", "policy", "show", "top", "version"),
    "send": ("cancel", "send"),
    "campaigns": (
        "campaign check",
        "campaign list",
        "campaign pause",
        "campaign result",
        "campaign resume",
        "campaign start",
        "campaign stop",
        "campaign watch",
    ),
    "letters": (
        "dlq delete",
        "dlq list",
        "dlq redrive",
        "dlq show",
        "outcomes list",
        "outcomes rebuild",
        "outcomes replay",
        "rejected delete",
        "rejected list",
        "rejected redrive",
        "rejected show",
    ),
    "pause": ("pause", "resume"),
    "accounts": ("account add", "account check", "account list", "account remove", "account rotate"),
    "probe": ("probe",),
}
"""The commands of each group."""

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def policies() -> dict[str, list[dict[str, Any]]]:
    """Return the statements of each group, as they are written."""
    # A wheel has it beside this module, and the repository among its documents.
    places = (Path(__file__).with_name("operator-policy.json"), Path(__file__).parents[2] / "docs/operator-policy.json")
    written = json.loads(next(place for place in places if place.is_file()).read_text("utf-8"))
    return {name: policy["Statement"] for name, policy in written.items()}


def policy_for(stack: Stack, groups: Iterable[str]) -> dict[str, Any]:
    """Return the policy of somebody who is to use the commands of some groups.

    What the stack does not have, such as a bucket of campaigns or a key of its own, is left out.

    Parameters
    ----------
    stack : Stack
        The deployed stack.
    groups : iterable of str
        Names of `GROUPS`.

    Returns
    -------
    dict
        The document.
    """
    values = _values(stack)
    written = policies()
    statements = [
        filled for name in (EVERY, *groups) for each in written[name] if (filled := _filled(each, values, prefix=name))
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _values(stack: Stack) -> dict[str, str]:
    """Return what placeholders stand for: outputs by their names, and what is made of them."""
    _, partition, _, region, account, _ = stack.description["StackId"].split(":", 5)
    queues = {
        name.removesuffix("Url") + "Name": url.rpartition("/")[2]
        for name, url in stack.outputs.items()
        if name.endswith("QueueUrl")
    }
    secret, machine = stack.output("CubeSecretId"), stack.outputs.get("CampaignStateMachineArn", "")
    return {
        **stack.outputs,
        **queues,
        **{name: stack.parameters.get(name, "") for name in ("AlarmTopicArn", "KmsKeyArn")},
        "Partition": partition,
        "Region": region,
        "Account": account,
        "Stack": stack.name,
        "CampaignStateMachineName": machine.rpartition(":")[2],
        # Its name is what a local AWS gives. Six characters come behind it in the ARN.
        "CubeSecretArn": secret if secret.startswith("arn:") else arn(stack, "secretsmanager", f"secret:{secret}-*"),
    }


def _filled(statement: Mapping[str, Any], values: Mapping[str, str], *, prefix: str) -> dict[str, Any] | None:
    """Return a statement about what the stack has; None if it has nothing of it."""
    resources = statement["Resource"]
    known = [
        each
        for each in ([resources] if isinstance(resources, str) else resources)
        if all(values.get(name) for name in _PLACEHOLDER.findall(each))
    ]
    if not known:
        return None
    # No two statements of a policy have one name.
    whole = {**statement, "Sid": f"{prefix.title()}{statement['Sid']}", "Resource": known}
    filled: dict[str, Any] = json.loads(_PLACEHOLDER.sub(lambda found: values[found[1]], json.dumps(whole)))
    return filled
