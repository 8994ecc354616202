"""ARNs of what a stack has, made from the stack's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stack import Stack


def arn(stack: Stack, service: str, resource: str) -> str:
    """Return the ARN of a resource in the stack's region and account.

    Parameters
    ----------
    stack : Stack
        The stack.
    service : str
        Such as "lambda".
    resource : str
        Such as "function:send".
    """
    _, partition, _, region, account, _ = stack.description["StackId"].split(":", 5)
    return f"arn:{partition}:{service}:{region}:{account}:{resource}"
