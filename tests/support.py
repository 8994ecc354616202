"""What tests share: events, the context of an invocation, requests, the table, and a reader of what was printed."""

from __future__ import annotations

import copy
import importlib
import json
import pkgutil
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools.utilities.typing import LambdaContext

import cube_sms
from cube_sms.platform.errors import Obstacle
from cube_sms.provider.csss.credentials import CsssCredentials
from cube_sms.request.parsing import parse_send_request
from tests.cloudformation import resolve, written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.provider import AnyProvider, Credentials, CubeAnswer
    from cube_sms.provider.http import Connection
    from cube_sms.request.models import SendRequest

EVENTS = Path(__file__).parents[1] / "events"

DEVICE = "89314404000939952215"
ACCESS_CODE = "P002276"
SECRET = "kX7-secret-of-the-default-account"
CREDENTIALS = CsssCredentials(ACCESS_CODE, SECRET)

START = 1_800_000_000.0


def load_event(name: str) -> dict[str, Any]:
    """Return a sample event, such as ``sqs-text`` for events/sqs-text.json."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return event


def queue_event(*bodies: Any, receives: int = 1, attributes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return an event with these bodies in its records; those that are not strings as JSON."""
    (template,) = load_event("sqs-text")["Records"]
    event: dict[str, Any] = {"Records": [copy.deepcopy(template) for _ in bodies]}
    for record, body in zip(event["Records"], bodies, strict=True):
        record["messageId"] = str(uuid.uuid4())
        record["body"] = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        record["attributes"]["ApproximateReceiveCount"] = str(receives)
        record["messageAttributes"] = {
            name: {"dataType": "String", "stringValue": value} for name, value in (attributes or {}).items()
        }
    return event


def send_request(content: str = "Test message", **fields: Any) -> SendRequest:
    """Return a valid send request; ``content`` gives way to ``smsContentList``."""
    given = {"deviceId": DEVICE, "requestId": "order-1"} | fields
    if "smsContentList" not in given:
        given["content"] = content
    return parse_send_request(json.dumps(given).encode())


def csss(credentials: Credentials) -> CsssCredentials:
    """Return credentials that are of csss."""
    assert isinstance(credentials, CsssCredentials)
    return credentials


def post(
    provider: AnyProvider,
    *messages: SendRequest,
    credentials: Credentials = CREDENTIALS,
    over: Connection | None = None,
) -> CubeAnswer:
    """Send messages with one query, over a connection that is opened for it if there is none."""
    query = provider.prepare(credentials, messages)
    if over:
        return provider.send(query, over=over, left=lambda: None)
    with provider.connection(credentials) as connection:
        connection.open()
        return provider.send(query, over=connection, left=lambda: None)


@cache
def table_of(**parameters: str) -> dict[str, Any]:
    """Return what the template has of the table of records with these parameters."""
    table: dict[str, Any] = resolve(written("template.yaml"), parameters)["Resources"]["MessagesTable"]
    return dict(table["Properties"])


def create_messages_table(dynamodb: DynamoDBClient, name: str, *, has_history: bool = False) -> None:
    """Make a table of records, as the template has it where something is followed up."""
    properties: Any = table_of(Receipts="true", DeviceHistory=str(has_history).lower())
    stream: Any = {"StreamEnabled": True, **properties["StreamSpecification"]}
    names = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    dynamodb.create_table(
        TableName=name,
        StreamSpecification=stream,
        **{name: properties[name] for name in names if name in properties},
    )


class Clock:
    """Seconds since the epoch, which stand until they are moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Context(LambdaContext):
    """The context of one invocation.

    Parameters
    ----------
    *seconds_left : float
        What is left of the invocation's time, one value for each time it is asked for; the last one stays.
    """

    def __init__(self, *seconds_left: float) -> None:
        self._function_name = "cube-sms-function"
        self._function_version = "$LATEST"
        self._invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:cube-sms-function"
        self._memory_limit_in_mb = 256
        self._aws_request_id = "5b2f4bd6-6c3e-4c0b-9a54-0d2c6a4f1f10"
        self._seconds_left = list(seconds_left or (300.0,))

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # Powertools has a static method here
        left = self._seconds_left.pop(0) if len(self._seconds_left) > 1 else self._seconds_left[0]
        return int(left * 1000)


class Printed(NamedTuple):
    """The lines a function printed: its logs, and its metrics as EMF objects."""

    logs: list[dict[str, Any]]
    metrics: list[dict[str, Any]]

    @classmethod
    def parse(cls, text: str) -> Printed:
        """Read lines of JSON; any other line is an error."""
        lines = [json.loads(line) for line in text.splitlines()]
        return cls([line for line in lines if "_aws" not in line], [line for line in lines if "_aws" in line])

    def values(self, name: str, account: str = "default") -> list[float]:
        """Return every value of a metric."""
        found: list[float] = []
        for metrics in self.metrics:
            if metrics["Account"] == account and name in metrics:
                value = metrics[name]
                found += value if isinstance(value, list) else [value]
        return found


def obstacles() -> list[type[Obstacle]]:
    """Return every class of error that blocks a message, sorted by name. Abstract classes are among them."""
    for module in pkgutil.walk_packages(cube_sms.__path__, "cube_sms."):
        importlib.import_module(module.name)

    def subclasses(kind: type[Obstacle]) -> Iterator[type[Obstacle]]:
        for each in kind.__subclasses__():
            yield each
            yield from subclasses(each)

    # Not those of other tests.
    found = {kind for kind in subclasses(Obstacle) if kind.__module__.startswith("cube_sms.")}
    return sorted(found, key=lambda kind: kind.__name__)


def letters() -> set[str]:
    """Return why a message may become a dead letter, and the task that waits for it fail."""
    return {letter for kind in obstacles() if (letter := getattr(kind, "letter", None))}
