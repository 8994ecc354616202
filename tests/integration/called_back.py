"""The function that takes callbacks as it is deployed, and what is behind it."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import boto3

from cube_sms.delivery import device_history, entry_members
from functions.receive_callback import app
from local.cube_simulator.callbacks import signed
from tests.event_services import EventServices
from tests.integration.aws_calls import AwsCalls
from tests.integration.deployment import SECRET_ID, TABLE
from tests.openapi import faults
from tests.support import Context, create_messages_table, load_event

if TYPE_CHECKING:
    import pytest

TOKEN = load_event("callback-reply")["pathParameters"]["token"]
SIGNED_TOKEN = "token-of-the-account-that-speaks-v4_1"
KEY_ID, KEY = "Ou8a5lyzPjN86ikmLeFC", "3QY0I6jA6jOfeIQbOde3CG2DeOllV1zufpFR393my78h3tCn7P1IfyUIhV3cS8ks"
ACCOUNTS = {
    "default": {"access_code": "P002276", "secret": "hush", "callback_token": TOKEN},
    "fleet": {"callback_token": SIGNED_TOKEN, "callback_key_id": KEY_ID, "callback_key": KEY},
}
DEVICE, TEXT = "89314404000939952253", "Door closed, PIN Kx4711q 请勿"
OLDER = {"partner_code": "P002276", "sim_id": DEVICE, "text_message": TEXT, "received_at": "1768212019000"}
V4 = {"sim_id": DEVICE, "received_at": 1768212019000, "message": {"type": 1, "content": TEXT}}
UNKNOWN = {"notify": "mo", "items": [{"sim": DEVICE, "say": TEXT}]}

BUS = "cube-sms"


class Callbacks:
    """The function as it is deployed, and what is behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sample = load_event("callback-reply")
        self.sqs = boto3.client("sqs")
        self.secrets = boto3.client("secretsmanager")
        self.events = boto3.client("events")
        self.dynamodb = boto3.client("dynamodb")
        create_messages_table(self.dynamodb, TABLE, has_history=True)
        self.unknown = self.sqs.create_queue(QueueName="unknown-callbacks")["QueueUrl"]
        self.secrets.create_secret(Name=SECRET_ID, SecretString=json.dumps(ACCOUNTS))
        self.aws_calls = AwsCalls()
        assert boto3.DEFAULT_SESSION
        self.bus = EventServices(boto3.DEFAULT_SESSION.events)
        self._monkeypatch = monkeypatch
        self.configure(
            CUBE_SECRET_ID=SECRET_ID,
            EVENT_BUS=BUS,
            UNKNOWN_CALLBACKS_QUEUE_URL=self.unknown,
            MESSAGES_TABLE=TABLE,
            DEVICE_HISTORY="false",
            RECORD_RETENTION_DAYS="30",
            KEEP_REPLIES="0",
        )

    def configure(self, **environment: str) -> None:
        """Change the function's environment, which gives it another execution environment."""
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        app.receiver.cache_clear()

    def delete(self) -> None:
        """Delete what is behind the function."""
        app.receiver.cache_clear()
        self.aws_calls.stop()
        self.bus.stop()
        self.dynamodb.delete_table(TableName=TABLE)
        self.sqs.delete_queue(QueueUrl=self.unknown)
        self.secrets.delete_secret(SecretId=SECRET_ID, ForceDeleteWithoutRecovery=True)

    def put_accounts(self, accounts: dict[str, Any]) -> None:
        """Change the secret."""
        self.secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(accounts))

    def call(self, body: Any, token: str = TOKEN, **headers: str) -> tuple[int, dict[str, Any]]:
        """Invoke the function with a body, as JSON unless it is text or bytes; `_` in a header's name means `-`."""
        event = copy.deepcopy(self._sample)
        event["path"], event["pathParameters"] = f"/callbacks/{token}", {"token": token}
        event["requestContext"]["path"] = f"/v1{event['path']}"
        event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
        event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
        event["isBase64Encoded"] = isinstance(body, bytes)
        if isinstance(body, bytes):
            event["body"] = base64.b64encode(body).decode()
        else:
            event["body"] = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        answer = self.invoke(event)
        return answer["statusCode"], json.loads(answer["body"])

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the function answers to API Gateway, which has to be as docs/openapi.json says."""
        answer: dict[str, Any] = app.handler(event, Context())
        assert faults("POST", "/callbacks/{token}", answer) == []
        return answer

    def notify(self, body: Any, fault: str = "", **changed: str) -> tuple[int, dict[str, Any]]:
        """Invoke the function with a signed notification."""
        written = json.dumps(body).encode()
        headers = {name.replace("-", "_"): value for name, value in signed(written, KEY_ID, KEY, fault).items()}
        return self.call(written.decode(), SIGNED_TOKEN, **{**headers, **changed})

    def published(self) -> list[dict[str, Any]]:
        """Return the events that the bus has taken since the last time, as far as it does not add to them."""
        taken = [
            {"detail-type": entry["DetailType"], "source": entry["Source"], "detail": json.loads(entry["Detail"])}
            for entry in self.bus.taken
            if entry["EventBusName"] == BUS
        ]
        self.bus.taken.clear()
        return taken

    def history(self) -> list[dict[str, Any]]:
        """Return the history of the device, newest first."""
        page = device_history(self.dynamodb, TABLE, "by-device", DEVICE)
        return [entry_members(entry) for entry in page.entries]

    def kept(self) -> list[tuple[str, dict[str, str]]]:
        """Return the callbacks whose form is not known, each with its attributes."""
        return [
            (message["Body"], {name: each["StringValue"] for name, each in message["MessageAttributes"].items()})
            for message in self.sqs.receive_message(
                QueueUrl=self.unknown, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            ).get("Messages", [])
        ]
