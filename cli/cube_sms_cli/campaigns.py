"""The campaigns of a stack: their runs, and how far they are."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from cube_sms.campaigns import Campaign, CampaignStatus, Executions, InvalidCampaignError

from .campaign_bucket import CampaignBucket
from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_stepfunctions import SFNClient

    from .stack import Stack

_WANTED_FOR = "Deploy the stack with Campaigns=true."

# The statuses of a campaign that goes on by itself, and those that it ends with.
UNDER_WAY = frozenset(status for status in CampaignStatus if not status.is_over)

# What the state machine calls a file or an input that cannot be meant. The cause is a sentence for its owner then.
_REFUSED = "CubeSms.InvalidCampaign"

# Seconds between two questions without output.
_PAUSE = 1.0


class Campaigns:
    """The campaigns of a stack, with their files in `bucket`.

    Parameters
    ----------
    stack : Stack
        The stack.
    sleep : Callable[[float], None]
        Waits for seconds.

    Raises
    ------
    OperatorError
        If the stack has none.
    """

    def __init__(self, stack: Stack, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.bucket = CampaignBucket(stack.client("s3"), stack.output("CampaignBucketName", wanted_for=_WANTED_FOR))
        self._state_machine = stack.output("CampaignStateMachineArn", wanted_for=_WANTED_FOR)
        self._manager = stack.output("ManageCampaignFunctionName", wanted_for=_WANTED_FOR)
        self._functions: LambdaClient = stack.client("lambda")
        self._states: SFNClient = stack.client("stepfunctions")
        self._sleep = sleep

    def check(self, file: str, name: str, text: str) -> dict[str, Any]:
        """Have a file checked, and return what a dry run found. The file is in the bucket for so long.

        Parameters
        ----------
        file : str
            A local file, or ``s3://bucket/key``.
        name : str
            What the campaign is to be called.
        text : str
            The content of rows that have none.

        Raises
        ------
        OperatorError
            If there is no such file, or it cannot be meant.
        """
        own_key, key = self.bucket.key_of(file), f"checks/{uuid.uuid4()}.csv"
        data = self._input(own_key or key, name, text)
        if own_key:
            return self._output(self._start({**data, "dryRun": True}))
        try:
            self.bucket.put(file, key)
            return self._output(self._start({**data, "dryRun": True}))
        finally:
            self.bucket.delete(key)

    def start(self, file: str, name: str, text: str) -> str:
        """Start a campaign, and return its execution.

        Parameters
        ----------
        file, name, text
            As for `check`.

        Raises
        ------
        OperatorError
            If there is no such file; if a campaign of this name goes on.
        """
        own_key, key = self.bucket.key_of(file), f"{name}.csv"
        data = self._input(own_key or key, name, text)
        former = self.find(name)
        if former and former["status"] in UNDER_WAY:
            raise OperatorError(f"The campaign {name} is {former['status']}. Wait for its end, or give another --name.")
        if not own_key:
            self.bucket.put(file, key)
        return self._start(data)

    def resume(self, name: str) -> str:
        """Have a campaign go on, and return the execution that it had before."""
        former: str = self.show(name)["execution"]
        self._told(name, "resume")
        return former

    def write_result(self, told: dict[str, Any]) -> dict[str, Any]:
        """Have the result of a campaign that has ended written again, and return how far the campaign is by it.

        Parameters
        ----------
        told : dict
            How far it is.

        Raises
        ------
        OperatorError
            If its rows are deleted.
        """
        output = self._output(self._start({"key": told["key"], "campaign": told["campaign"], "resultOnly": True}))
        return {**told, "states": output["states"]}

    def read(self, name: str, *, execution: str | None = None, after: str | None = None) -> dict[str, Any]:
        """Return how far a campaign is as soon as its file has been read.

        Parameters
        ----------
        name : str
            Its name.
        execution : str, optional
            Its execution, if that is known.
        after : str, optional
            An execution that it had before.

        Raises
        ------
        OperatorError
            If the file cannot be meant.
        """
        while True:
            told = self.find(name)
            if told and not execution and told["execution"] != after:
                execution = told["execution"]
            if told and told["execution"] == execution and _is_read(told):
                return told
            if execution:
                self._raise_if_failed(execution)
            self._sleep(_PAUSE)

    def stop(self, name: str) -> dict[str, Any]:
        """Have a campaign send nothing more, and return how far it is."""
        return self._told(name, "stop")

    def show(self, name: str) -> dict[str, Any]:
        """Return how far a campaign is: docs/workflows.md has the members.

        Raises
        ------
        OperatorError
            If there is none of this name.
        """
        return self._told(name, "show")

    def find(self, name: str) -> dict[str, Any] | None:
        """Return how far a campaign is; None if there is none of this name."""
        told = self._ask(name, "show")
        return None if "error" in told else told

    def why_broken_off(self, told: dict[str, Any]) -> str:
        """Return why a campaign has ended without a result."""
        found = self._states.describe_execution(executionArn=told["execution"])
        if found.get("error") == _REFUSED:
            return _sentence(found["cause"])
        # The cause is then what a function or AWS says, which may quote anything.
        why = f" ({found['error']})" if "error" in found else ""
        return f"Its execution {told['execution']} has ended as {found['status']}{why}."

    # ── Step Functions, and the function that manages campaigns ─────────────────────────────────────────────────────

    def _input(self, key: str, name: str, text: str) -> dict[str, Any]:
        data = {"key": key, "campaign": name, **({"content": text} if text else {})}
        try:
            Campaign.from_input(self.bucket.name, name, data)
        except InvalidCampaignError as error:
            raise OperatorError(f"{_sentence(str(error))} Give another --name.") from None
        return data

    def _start(self, data: dict[str, Any]) -> str:
        return Executions(self._states).start(self._state_machine, data)

    def _output(self, execution: str) -> dict[str, Any]:
        while True:
            self._raise_if_failed(execution)
            found = self._states.describe_execution(executionArn=execution)
            if found["status"] == "SUCCEEDED":
                output: dict[str, Any] = json.loads(found["output"])
                return output
            self._sleep(_PAUSE)

    def _raise_if_failed(self, execution: str) -> None:
        if self._states.describe_execution(executionArn=execution)["status"] not in ("RUNNING", "SUCCEEDED"):
            raise OperatorError(self.why_broken_off({"execution": execution}))

    def _told(self, name: str, action: str) -> dict[str, Any]:
        told = self._ask(name, action)
        if "error" in told:
            raise OperatorError(f"{_sentence(told['error'])} See what there is with `cube-sms campaign list`.")
        return told

    def _ask(self, name: str, action: str) -> dict[str, Any]:
        payload = json.dumps({"campaign": name, "action": action})
        answer = self._functions.invoke(FunctionName=self._manager, Payload=payload)
        if "FunctionError" in answer:
            raise OperatorError(f"The function {self._manager} has failed. Its log says why; try again.")
        told: dict[str, Any] = json.load(answer["Payload"])
        return told


def _is_read(told: dict[str, Any]) -> bool:
    # A file without rows ends at once.
    return bool(told["rows"] or told["endedAt"])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
