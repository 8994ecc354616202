"""The whole stack on this machine: the local AWS, the deployed application, and the provider's simulator."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.child import is_free
from local.command import CommandError
from local.cube_simulator import CubeSimulator
from local.deploy import deploy
from local.keep import Kept
from local.keys import KeyPair
from local.logs import Log
from local.ministack import REGION, MiniStack
from local.paths import BUILD
from local.stoppable import Stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

STACK_NAME = "cube-sms"
ACCESS_CODE = "P002276"
SECRET = "local-test-secret"  # noqa: S105 - the simulator's, on this machine alone
# The account that uses Cube v4. Its key is made with the stack.
V4_ACCOUNT = "v4"
V4_KEY_ID = "local-key"

# What the provider calls back with. The deployment verifies it with the same.
CALLBACK_TOKEN = "local-test-token-0123456789abcdefghij"  # noqa: S105 - the simulator's, on this machine alone
CALLBACK_KEY_ID = "local-test-key"
CALLBACK_KEY = "local-test-callback-key"

# The settings of a deployment and of its provider, if neither is to have limits.
UNLIMITED_DEPLOYMENT = {"CubeMaxQps": "0", "CubeDailyQuota": "0", "CubeMaxConnections": "0"}
UNLIMITED_PROVIDER = {"qps": 0, "connections": 0, "quota": 0}

V4_CALLBACK_TOKEN = "local-test-token-of-the-v4-account-01"  # noqa: S105 - likewise

DEFAULT_ACCOUNT = {"access_code": ACCESS_CODE, "secret": SECRET, "callback_token": CALLBACK_TOKEN}

# How Cube takes to devices in `events/`: some it does not know, and at one it is down twice.
SAMPLE_DEVICES = (
    "--unknown-device=89314404000939952298",
    "--unknown-device=89314404000939952299",
    "--fault-device=89314404000939952250=status:503*2",
    "--reply-device=89314404000939952253=Door closed",
    "--reply-device=89314404000939952254=Door open",
)

# A word about a feature that is none of ours, twice a deployment.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

# The transform asks botocore for the region it is for.
os.environ.setdefault("AWS_DEFAULT_REGION", REGION)


class HttpAnswer(NamedTuple):
    """An answer of the API.

    Parameters
    ----------
    status : int
        HTTP status.
    headers : Mapping[str, str]
        Headers.
    body : dict
        JSON members.
    """

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]


class LocalStack(Stoppable):
    """A deployed stack that runs as long as this context, or until `stop`.

    Parameters
    ----------
    parameters : Mapping[str, str], optional
        Parameters of the template.
    port : int
        Port of the local AWS on 127.0.0.1, 0 for a free one.
    is_limited : bool
        Whether the provider has its limits, and the deployment keeps to them.
    authenticate : bool
        Whether the policies of IAM are enforced, and TLS with them.
    aws : MiniStack, optional
        The AWS to deploy it to, which stays up; a local AWS of its own by default.
    build : Path
        What `sam build` made.
    keep : Path, optional
        A folder that keeps what the local AWS holds, and from which it comes back.
    cube : sequence of str
        Arguments of the provider's simulator.
    **simulator
        Options of it.

    Raises
    ------
    CommandError
        If a port is taken, a parameter is refused, or something does not start.
    """

    def __init__(
        self,
        parameters: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        is_limited: bool = True,
        authenticate: bool = False,
        aws: MiniStack | None = None,
        build: Path = BUILD,
        keep: Path | None = None,
        cube: Sequence[str] = (),
        **simulator: Any,
    ) -> None:
        if not is_limited:
            parameters = {**UNLIMITED_DEPLOYMENT, **(parameters or {})}
            simulator = {**UNLIMITED_PROVIDER, **simulator}
        with ExitStack() as stack:
            account = f"{ACCESS_CODE}={SECRET}"
            kept = stack.enter_context(Kept(keep)) if keep else None
            if kept and kept.ports:
                simulator = _where_it_was(kept, port) | simulator
                port = kept.ports["aws"]
            self.cube = stack.enter_context(CubeSimulator(*cube, **{"account": account, **simulator}))
            self.aws = aws or stack.enter_context(MiniStack(port=port, authenticate=authenticate, kept=kept))
            self.cube_url = f"{self.cube.url}/cube/v4"
            parameters = {"CubeBaseUrl": self.cube_url, "CubeV4BaseUrl": self.cube_url, **(parameters or {})}
            self.outputs = deploy(self.aws, STACK_NAME, parameters, build=build)
            self.sqs = self.aws.client("sqs")
            logs = self.aws.client("logs")
            self._logs = {
                name.removesuffix("LogGroup"): Log(logs, group)
                for name, group in self.outputs.items()
                if name.endswith("LogGroup")
            }
            if not (kept and kept.ports):
                self.put_credentials(
                    {
                        "default": DEFAULT_ACCOUNT,
                        V4_ACCOUNT: {
                            "key_id": V4_KEY_ID,
                            "private_key": KeyPair.new().private,
                            "callback_token": V4_CALLBACK_TOKEN,
                            "callback_key_id": CALLBACK_KEY_ID,
                            "callback_key": CALLBACK_KEY,
                        },
                    }
                )
            self.cube.configure(keys=self._public_keys())
            if "CallbackUrl" in self.outputs:
                self.cube.configure(
                    callback_url=self.callback_url(CALLBACK_TOKEN),
                    callback_v4_url=self.callback_url(V4_CALLBACK_TOKEN),
                    callback_key_id=CALLBACK_KEY_ID,
                    callback_key=CALLBACK_KEY,
                    callback_ca=self.aws.ca_file or "",
                )
            if kept:
                kept.note_ports(aws=self.aws.port, cube=self.cube.port)
            self._http = urllib3.PoolManager(retries=False, timeout=60, ca_certs=self.aws.ca_file)
            stack.callback(self._http.clear)
            self._resources = stack.pop_all()

    def stop(self) -> None:
        """Stop everything."""
        self._resources.close()

    @property
    def ended(self) -> str | None:
        """The part of it that has ended by itself, with its last words; None while all of it runs."""
        if not self.cube.is_running:
            return self.cube.name
        return None if self.aws.is_running else f"{self.aws.name}\n{self.aws.log()[-2000:]}"

    @property
    def api_url(self) -> str:
        """The REST API's base URL on this machine."""
        return f"{self.aws.url}/restapis/{self.outputs['ApiId']}/v1/_user_request_"

    def callback_url(self, token: str) -> str:
        """Return where the provider calls back on this machine."""
        return f"{self.aws.url}/restapis/{self.physical_id('CallbackApi')}/v1/_user_request_/callbacks/{token}"

    def physical_id(self, logical_id: str) -> str:
        """Return what a resource is called, of the template or of one that it nests."""
        cloudformation, stacks = self.aws.client("cloudformation"), [STACK_NAME]
        for stack in stacks:
            for resource in cloudformation.describe_stack_resources(StackName=stack)["StackResources"]:
                if resource["LogicalResourceId"] == logical_id:
                    return str(resource["PhysicalResourceId"])
                if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                    stacks.append(resource["PhysicalResourceId"])
        raise KeyError(logical_id)

    def put_credentials(self, accounts: Mapping[str, Mapping[str, str]]) -> None:
        """Store the accounts' credentials."""
        secrets = self.aws.client("secretsmanager")
        secrets.put_secret_value(SecretId=self.outputs["CubeSecretId"], SecretString=json.dumps(accounts))

    def _public_keys(self) -> dict[str, str]:
        """Return the public keys of the accounts that use v4, by their ids."""
        answer = self.aws.client("secretsmanager").get_secret_value(SecretId=self.outputs["CubeSecretId"])
        entries = [entry for entry in json.loads(answer["SecretString"]).values() if "private_key" in entry]
        return {entry["key_id"]: KeyPair.of(entry["private_key"]).public for entry in entries}

    def enqueue(self, body: str, *, group: str | None = None, **attributes: str) -> str:
        """Put a message onto the send queue, with string attributes, and return its SQS message id.

        On a FIFO queue it is in the given group, or in that of its device, and no repetition of another one.
        """
        url = self.outputs["SendQueueUrl"]
        order: Any = {}
        if url.endswith(".fifo"):
            order = {
                "MessageGroupId": group or json.loads(body)["deviceId"],
                "MessageDeduplicationId": str(uuid.uuid4()),
            }
        answer = self.sqs.send_message(
            QueueUrl=url,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
            **order,
        )
        return str(answer["MessageId"])

    @contextmanager
    def queue_paused(self) -> Iterator[None]:
        """Let messages gather on the send queue for as long as this context: the queue function gets none of them.

        The queue is the one that the function reads when the context begins.
        """
        functions = self.aws.client("lambda")
        name = self.outputs["SendFromQueueFunctionName"]
        (mapping,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def call_api(self, method: str, path: str, body: str | None = None, **headers: str) -> HttpAnswer:
        """Call the REST API, signed for IAM; an underscore in a header's name stands for a hyphen."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest(method, self.api_url + path, {"Content-Type": "application/json", **names}, body)
        SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(request)
        return self.call_unsigned(method, path, body, **request.headers)

    def call_unsigned(self, method: str, path: str, body: str | None = None, **headers: str) -> HttpAnswer:
        """Call the REST API as anybody could."""
        answer = self._http.request(method, self.api_url + path, body=body, headers=headers)
        return HttpAnswer(answer.status, answer.headers, json.loads(answer.data))

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return the messages of the dead-letter queue: their bodies, and their attributes as strings."""
        return self._letters("DeadLetterQueueUrl")

    def rejected(self) -> list[dict[str, Any]]:
        """Return the messages that Cube rejected, in the same way."""
        return self._letters("RejectedQueueUrl")

    def _letters(self, queue_url: str) -> list[dict[str, Any]]:
        found = {}
        while messages := self.sqs.receive_message(
            QueueUrl=self.outputs[queue_url],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=2,
        ).get("Messages"):
            for message in messages:
                attributes = message.get("MessageAttributes", {})
                values = {name: value["StringValue"] for name, value in attributes.items() if "StringValue" in value}
                found[message["MessageId"]] = {"body": message["Body"], **values}
        return list(found.values())

    def log_lines(self) -> list[str]:
        """Return what the functions have printed, line by line."""
        return [line for log in self._logs.values() for line in log.lines()]

    def outcomes(self, function: str = "") -> list[dict[str, Any]]:
        """Return the log's entries about messages, of one function such as "SendFromQueue" or of all."""
        return [entry for entry in self._entries(function) if "_aws" not in entry and "correlation_id" in entry]

    def metrics(self) -> list[dict[str, Any]]:
        """Return the log's metrics, as EMF objects."""
        return [entry for entry in self._entries() if "_aws" in entry]

    def _entries(self, function: str = "") -> list[dict[str, Any]]:
        logs = [self._logs[function]] if function else self._logs.values()
        return [entry for log in logs for entry in log.entries()]


def _where_it_was(kept: Kept, port: int) -> dict[str, int]:
    """Return the simulator's options for the address that a kept stack knows, if it is free."""
    if port not in (0, kept.ports["aws"]):
        raise CommandError(f"The stack of {kept.folder} was up on port {kept.ports['aws']}, and can be on no other.")
    return {"port": kept.ports["cube"]} if is_free(kept.ports["cube"]) else {}


def wait_until[T](what: str, probe: Callable[[], T], *, timeout: float = 120.0) -> T:
    """Ask again and again until the answer is true, and return it.

    Raises
    ------
    TimeoutError
        If it is not in time; the message says what was waited for.
    """
    deadline = time.monotonic() + timeout
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {timeout:g} s")
        time.sleep(0.2)
    return answer
