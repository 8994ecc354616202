"""The gateway as it is deployed: both handlers, with queues, table and secret of a simulated AWS behind them."""

from __future__ import annotations

import copy
import json
import re
import time
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from moto.dynamodb.models import dynamodb_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sqs.models import sqs_backends

from cube_sms.delivery.records import RecordStore
from functions.send_from_api import app as api_app
from functions.send_from_queue import app as queue_app
from tests.integration.aws_calls import AwsCalls
from tests.openapi import faults
from tests.support import ACCESS_CODE, SECRET, Context, create_messages_table, load_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from cube_sms.delivery.records import Record

SECRET_ID = "cube-sms/credentials"
REGION = "eu-central-1"
AWS_ACCOUNT = "123456789012"

# Far above every delay that the tests expect: a message whose visibility was left alone shows.
VISIBILITY_TIMEOUT = 30_000

TABLE = "cube-sms-messages"
LEASE = 30.0
BUSY = 429
MAX_ATTEMPTS = 3


@cache
def _client(service: Any) -> Any:
    # The tests use it, and the functions have their own. It is one for all deployments, since it takes long to make.
    return boto3.client(service)


class Deployment:
    """One deployment. Its first invocation is cold, and so is the one after `configure`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, cube_url: str, *, is_fifo: bool = False, has_history: bool = False
    ) -> None:
        self._monkeypatch = monkeypatch
        self.sqs = _client("sqs")
        self.secrets = _client("secretsmanager")
        suffix = ".fifo" if is_fifo else ""
        self._send_queue_name = f"cube-sms-send{suffix}"
        fifo: Any = {"FifoQueue": "true"} if is_fifo else {}
        more: Any = {"ContentBasedDeduplication": "true", "DeduplicationScope": "messageGroup"} if is_fifo else {}
        self.send_queue = self.sqs.create_queue(
            QueueName=self._send_queue_name, Attributes={"VisibilityTimeout": str(VISIBILITY_TIMEOUT), **fifo, **more}
        )["QueueUrl"]
        self.dead_letter_queue = self.sqs.create_queue(QueueName=f"cube-sms-dead-letters{suffix}", Attributes=fifo)[
            "QueueUrl"
        ]
        self.rejected_queue = self.sqs.create_queue(QueueName=f"cube-sms-rejected{suffix}", Attributes=fifo)["QueueUrl"]
        self.dynamodb = _client("dynamodb")
        create_messages_table(self.dynamodb, TABLE, has_history=has_history)
        self.secrets.create_secret(Name=SECRET_ID, SecretString="{}")
        # Of the functions' clients, which are made after this, and not of those above.
        self.aws_calls = AwsCalls()
        self.set_accounts(default=(ACCESS_CODE, SECRET))
        self.configure(
            CUBE_BASE_URL=f"{cube_url}/cube/v4",
            CUBE_V4_BASE_URL=f"{cube_url}/cube/v4",
            CUBE_SECRET_ID=SECRET_ID,
            MESSAGES_TABLE=TABLE,
            SEND_QUEUE_URL=self.send_queue,
            DEAD_LETTER_QUEUE_URL=self.dead_letter_queue,
            REJECTED_QUEUE_URL=self.rejected_queue,
            CUBE_CONNECT_TIMEOUT="3",
            CUBE_READ_TIMEOUT="7",
            CUBE_LANGUAGE="en-US",
            MAX_ATTEMPTS=str(MAX_ATTEMPTS),
            CUBE_MAX_QPS="0",
            CUBE_DAILY_QUOTA="0",
            CUBE_MAX_CONNECTIONS="0",
            API_CONNECTIONS="0",
            DEVICE_INDEX="by-device" if has_history else "",
        )

    def configure(self, **environment: str) -> None:
        """Change the functions' environment, which gives them new execution environments."""
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        self.cool_down()

    def cool_down(self) -> None:
        """Drop the execution environments."""
        queue_app.consumer.cache_clear()
        api_app.api.cache_clear()
        api_app.history.cache_clear()

    def delete(self) -> None:
        """Delete what is left of the deployment."""
        self.cool_down()
        self.aws_calls.stop()
        # Not by calls, each of which would take milliseconds of every test.
        for backends in (dynamodb_backends, secretsmanager_backends, sqs_backends):
            backends[AWS_ACCOUNT][REGION].reset()

    def set_accounts(self, **accounts: tuple[str, str]) -> None:
        """Write the secret with each account's access code and signing secret."""
        self.set_entries(**{name: {"access_code": code, "secret": secret} for name, (code, secret) in accounts.items()})

    def set_entries(self, **entries: Mapping[str, str]) -> None:
        """Write the secret with each account's entry, as it is."""
        self.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(entries))

    def consume(self, event: dict[str, Any], context: Context | None = None) -> list[str]:
        """Invoke the queue's handler, and return the ids of the records that have to stay in the queue."""
        answer: dict[str, Any] = queue_app.handler(event, context or Context())
        assert answer.keys() == {"batchItemFailures"}
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def post(self, body: Any, **headers: str) -> ApiAnswer:
        """Post a body, as JSON if it is no string, with the API's handler; `_` in a header's name stands for `-`."""
        given = load_event("api-post-text")
        given["body"] = body if isinstance(body, str) else json.dumps(body)
        given["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
        given["multiValueHeaders"] = {name: [value] for name, value in given["headers"].items()}
        return self.call(given)

    def post_in_turn(self, body: Any) -> ApiAnswer:
        """Post a body until a slot is free for it: a slow machine misses the slots that it plans."""
        while (answer := self.post(body)).status == BUSY:
            assert "all slots are busy" in answer.json["detail"]
        return answer

    def call(self, event: dict[str, Any]) -> ApiAnswer:
        """Invoke the API's handler."""
        return ApiAnswer(self.invoke(event))

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the API's handler answers to API Gateway, which has to be as docs/openapi.json says."""
        answer: dict[str, Any] = api_app.handler(event, Context())
        assert faults(event["httpMethod"], event["resource"], answer) == []
        return answer

    def get(self, request_id: str, **query: str) -> ApiAnswer:
        """Get a message with the API's handler."""
        return self._ask("GET", request_id, query)

    def cancel(self, request_id: str, **query: str) -> ApiAnswer:
        """Cancel a message with the API's handler."""
        return self._ask("DELETE", request_id, query)

    def history(self, device_id: str, **query: str) -> ApiAnswer:
        """Get the history of a device with the API's handler."""
        return self._ask("GET", device_id, query, "/devices/{deviceId}/messages")

    def _ask(self, method: str, of: str, query: dict[str, str], route: str = "/messages/{requestId}") -> ApiAnswer:
        (name,) = re.findall(r"\{(\w+)\}", route)
        given = load_event("api-post-text") | {
            "resource": route,
            "path": route.replace(f"{{{name}}}", of),
            "httpMethod": method,
            "pathParameters": {name: of},
            "queryStringParameters": query or None,
            "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
            "body": None,
        }
        return self.call(given)

    def store(self, *, ago: float = 0.0) -> RecordStore:
        """Return the records as a worker of another time has them, or as they are."""
        return RecordStore(self.dynamodb, TABLE, lease=LEASE, retention=86400.0, clock=lambda: time.time() - ago)

    def record(self, request_id: str, account: str = "default") -> Record:
        """Return the record of a message."""
        record = self.store().get(f"{account}#{request_id}")
        assert record
        return record

    def forget(self, request_id: str) -> None:
        """Delete the record of a message of the default account."""
        self.dynamodb.delete_item(TableName=TABLE, Key={"messageId": {"S": f"default#{request_id}"}})

    def change(self, request_id: str, **attributes: Any) -> None:
        """Write attributes of a message's record by hand, in DynamoDB's types; None removes one."""
        key = {"messageId": {"S": f"default#{request_id}"}}
        item: Any = self.dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
        changed = {name: value for name, value in (item | attributes).items() if value}
        self.dynamodb.put_item(TableName=TABLE, Item=changed)

    def deliver(self, event: dict[str, Any], *, receives: int = 1) -> dict[str, Any]:
        """Put an event's messages onto the queue, take them from there, and return the event that gives."""
        event = copy.deepcopy(event)
        records = {}
        for record in event["Records"]:
            group = record["attributes"].get("MessageGroupId")
            order: Any = {"MessageGroupId": group, "MessageDeduplicationId": str(uuid.uuid4())} if group else {}
            attributes: Any = {
                name: {"DataType": attribute["dataType"], "StringValue": attribute["stringValue"]}
                for name, attribute in record["messageAttributes"].items()
            }
            sent = self.sqs.send_message(
                QueueUrl=self.send_queue, MessageBody=record["body"], MessageAttributes=attributes, **order
            )
            record["messageId"] = sent["MessageId"]
            records[sent["MessageId"]] = record
        waiting = set(records)
        while waiting:
            answer = self.sqs.receive_message(
                QueueUrl=self.send_queue, MaxNumberOfMessages=10, AttributeNames=["All"], WaitTimeSeconds=1
            )
            # Messages that returned to the queue before may have become visible again.
            for message in answer.get("Messages", []):
                if message["MessageId"] not in waiting:
                    continue
                waiting.remove(message["MessageId"])
                record = records[message["MessageId"]]
                record["receiptHandle"] = message["ReceiptHandle"]
                record["attributes"] = {**message["Attributes"], "ApproximateReceiveCount": str(receives)}
        return event

    def dead_letters(self) -> list[DeadLetter]:
        """Return what is on the dead-letter queue."""
        return self._letters(self.dead_letter_queue)

    def rejected(self) -> list[DeadLetter]:
        """Return what is on the queue of what the provider refused."""
        return self._letters(self.rejected_queue)

    def _letters(self, queue_url: str) -> list[DeadLetter]:
        answer = self.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return [DeadLetter(message) for message in answer.get("Messages", [])]

    def queued(self) -> list[str]:
        """Return the bodies of the messages that can be received from the send queue, waiting a moment for one."""
        answer = self.sqs.receive_message(QueueUrl=self.send_queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        return [message["Body"] for message in answer.get("Messages", [])]

    def in_flight(self) -> int:
        """Return how many messages on the send queue cannot be received now."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.send_queue, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def hidden(self) -> list[float]:
        """Return for how many seconds from now each message on the send queue cannot be received."""
        # SQS reports how many messages are hidden. Only the simulated one also shows for how long.
        queue = sqs_backends[AWS_ACCOUNT][REGION].queues[self._send_queue_name]
        return [message.visible_at / 1000 - time.time() for message in queue._messages]


class DeadLetter:
    """A message on the dead-letter queue, or on that of what the provider refused."""

    def __init__(self, message: Any) -> None:
        self.body: str = message["Body"]
        self.attributes: dict[str, str] = {
            name: value["StringValue"] for name, value in message["MessageAttributes"].items()
        }


class ApiAnswer:
    """An answer of the API."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.status: int = answer["statusCode"]
        self.text: str = answer["body"]
        # What Lambda refuses over 6,291,556 bytes.
        self.size: int = len(json.dumps(answer))
        self.headers: dict[str, str] = {name: values[0] for name, values in answer["multiValueHeaders"].items()}

    @property
    def json(self) -> dict[str, Any]:
        """The members of the body."""
        members: dict[str, Any] = json.loads(self.text)
        return members
