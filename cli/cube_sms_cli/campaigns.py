"""The campaigns of a stack: their files, their runs, and how far they are."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from cube_sms.campaigns import Campaign, Executions, InvalidCampaignError

from .errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

    from .stack import Stack

_WANTED_FOR = "Deploy the stack with Campaigns=true."

# The statuses of a campaign that goes on by itself, and those that it ends with.
UNDER_WAY = frozenset({"RUNNING", "STOPPING"})

# What the state machine calls a file or an input that cannot be meant. The cause is a sentence for its owner then.
_REFUSED = "CubeSms.InvalidCampaign"

# Seconds between two questions that nobody sees.
_PAUSE = 1.0


class Campaigns:
    """The campaigns of a stack.

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
        self._bucket = stack.output("CampaignBucketName", wanted_for=_WANTED_FOR)
        self._state_machine = stack.output("CampaignStateMachineArn", wanted_for=_WANTED_FOR)
        self._manager = stack.output("ManageCampaignFunctionName", wanted_for=_WANTED_FOR)
        self._s3: S3Client = stack.client("s3")
        self._functions: LambdaClient = stack.client("lambda")
        self._states: SFNClient = stack.client("stepfunctions")
        self._sleep = sleep

    # ── Runs ────────────────────────────────────────────────────────────────────────────────────────────────────────

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
        key = f"checks/{uuid.uuid4()}.csv"
        data = self._input(self._own_key(file) or key, name, text)
        try:
            self._place(file, key)
            return self._output(self._start({**data, "dryRun": True}))
        finally:
            if not self._own_key(file):
                self._s3.delete_object(Bucket=self._bucket, Key=key)

    def start(self, file: str, name: str, text: str) -> dict[str, Any]:
        """Start a campaign, and return how far it is as soon as its file has been read.

        Parameters
        ----------
        file, name, text
            As for `check`.

        Raises
        ------
        OperatorError
            If there is no such file, or it cannot be meant; if a campaign of this name goes on.
        """
        key = f"{name}.csv"
        data = self._input(self._own_key(file) or key, name, text)
        former = self.find(name)
        if former and former["status"] in UNDER_WAY:
            raise OperatorError(f"The campaign {name} is {former['status']}. Wait for its end, or give another --name.")
        self._place(file, key)
        execution = self._start(data)
        while not ((told := self.find(name)) and told["execution"] == execution and _is_read(told)):
            self._raise_if_failed(execution)
            self._sleep(_PAUSE)
        return told

    def resume(self, name: str) -> dict[str, Any]:
        """Have a campaign go on, and return how far it is as soon as its file has been read again."""
        former = self.show(name)
        told = self._told(name, "resume")
        while told["execution"] == former["execution"] or not _is_read(told):
            if told["execution"] != former["execution"]:
                self._raise_if_failed(told["execution"])
            self._sleep(_PAUSE)
            told = self.show(name)
        return told

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

    def names(self, most: int) -> list[str]:
        """Return the names of campaigns whose files were read last, the newest first, so many at the most."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix="runs/", Delimiter="/")
        found: list[tuple[datetime, str]] = []
        for page in pages:
            for each in page.get("Contents", []):
                name = each["Key"].removeprefix("runs/")
                if name.endswith(".rows.jsonl"):
                    found.append((each["LastModified"], name.removesuffix(".rows.jsonl")))
        return [name for _, name in sorted(found, reverse=True)[:most]]

    def result(self, key: str) -> Iterator[bytes]:
        """Yield the parts of a result.

        Parameters
        ----------
        key : str
            As a campaign that has ended tells it.

        Raises
        ------
        OperatorError
            If it is there no longer.
        """
        try:
            body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
        except self._s3.exceptions.NoSuchKey:
            raise OperatorError(f"The bucket {self._bucket} keeps the result {key} no longer.") from None
        return body.iter_chunks(1 << 20)

    # ── Their files ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _own_key(self, file: str) -> str | None:
        """Return the key of a file that is in the bucket; None for one that is elsewhere."""
        bucket, key = _address(file) or (None, None)
        return key if bucket == self._bucket else None

    def _place(self, file: str, key: str) -> None:
        """Put a file under a key, unless it is in the bucket."""
        address = _address(file)
        if not address:
            if not Path(file).is_file():
                raise OperatorError(f"There is no file {file}.")
            self._s3.upload_file(file, self._bucket, key)
        elif not self._own_key(file):
            try:
                self._s3.copy({"Bucket": address[0], "Key": address[1]}, self._bucket, key)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NoSuchBucket"):
                    raise
                raise OperatorError(f"There is no object {file}.") from None

    # ── Step Functions, and the function that manages campaigns ─────────────────────────────────────────────────────

    def _input(self, key: str, name: str, text: str) -> dict[str, Any]:
        data = {"key": key, "campaign": name, **({"content": text} if text else {})}
        try:
            Campaign.from_input(self._bucket, name, data)
        except InvalidCampaignError as error:
            raise OperatorError(f"{_sentence(str(error))} Give --name.") from None
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
            raise OperatorError(f"The function {self._manager} has broken off. Its log says why; try again.")
        told: dict[str, Any] = json.load(answer["Payload"])
        return told


def _address(file: str) -> tuple[str, str] | None:
    """Return the bucket and the key of an object's address; None for a local file."""
    parts = urlsplit(file)
    return (parts.netloc, file.partition("://")[2].partition("/")[2]) if parts.scheme == "s3" else None


def _is_read(told: dict[str, Any]) -> bool:
    # A file without rows ends at once.
    return bool(told["rows"] or told["endedAt"])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
