"""The executions of the state machine that runs campaigns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_stepfunctions import SFNClient


class Execution(NamedTuple):
    """An execution.

    Parameters
    ----------
    state_machine : str
        ARN of the state machine.
    is_running : bool
        Whether it runs.
    input : dict
        Its input.
    """

    state_machine: str
    is_running: bool
    input: dict[str, Any]


class Executions:
    """Looks up executions, and starts them.

    Parameters
    ----------
    states : SFNClient
        boto3's client.
    """

    def __init__(self, states: SFNClient) -> None:
        self._states = states

    def find(self, arn: str) -> Execution | None:
        """Return an execution; None if Step Functions has deleted it, 90 days after its end."""
        try:
            found = self._states.describe_execution(executionArn=arn)
        except self._states.exceptions.ExecutionDoesNotExist:
            return None
        is_running = found["status"] in ("RUNNING", "PENDING_REDRIVE")
        return Execution(found["stateMachineArn"], is_running, json.loads(found.get("input") or "{}"))

    def start(self, state_machine: str, data: Mapping[str, Any]) -> str:
        """Start an execution, and return its ARN."""
        return self._states.start_execution(stateMachineArn=state_machine, input=json.dumps(data))["executionArn"]
