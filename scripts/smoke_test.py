"""Send two messages to a test device through a deployed stack, one at once and one through the queue, and follow them.

Usage: ``python -m scripts.smoke_test --device ICCID [--stack NAME] [--api-url URL]``. It fails unless both end as SENT
and a repeated call sends nothing. boto3's own environment (``AWS_PROFILE``, ``AWS_DEFAULT_REGION``,
``AWS_ENDPOINT_URL``) says where; its credentials need ``execute-api:Invoke``, and ``cloudformation:DescribeStacks``
without ``--api-url``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import HTTPClientError, NoCredentialsError, NoRegionError
from botocore.httpsession import URLLib3Session

from scripts.deployment import run, stack_outputs

PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 1.0

# Every sender may be busy, and the first calls meet cold functions. Nothing was sent then.
BUSY = {429, 503}

# The states of a message that has not ended.
UNDER_WAY = ("QUEUED", "SENDING", "RETRYING")


class SmokeTestError(Exception):
    """The stack does not do what it should."""


class Answer(NamedTuple):
    """An answer of the API."""

    status: int
    body: dict[str, Any]
    # Its Location, relative to the API's base URL.
    location: str


class Api:
    """The REST API of a deployed stack, called with the credentials of boto3's environment."""

    def __init__(self, url: str) -> None:
        session = boto3.Session()
        if session.region_name is None:
            raise NoRegionError
        if (credentials := session.get_credentials()) is None:
            raise NoCredentialsError
        self._url = url.rstrip("/")
        self._signer = SigV4Auth(credentials, "execute-api", session.region_name)
        # botocore takes the path of a CA bundle too, and its stubs do not know.
        verify = cast("bool", os.environ.get("AWS_CA_BUNDLE") or True)
        self._http = URLLib3Session(verify=verify, timeout=40)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Call it, again where it is busy: every call can be repeated."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body) if body else None
        while True:
            request = AWSRequest(method, self._url + path, {"Content-Type": "application/json", **names}, data)
            self._signer.add_auth(request)
            response = self._http.send(request.prepare())
            if response.status_code not in BUSY or time.monotonic() > deadline:
                location = urljoin(self._url + path, response.headers.get("Location", "")).removeprefix(self._url)
                return Answer(response.status_code, self._parse(response.content), location)
            time.sleep(PAUSE_SECONDS)

    def _parse(self, content: bytes) -> dict[str, Any]:
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise SmokeTestError(f"the answer is no JSON object: {content[:200]!r}")
        return body


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    url = arguments.api_url or stack_outputs(arguments.stack, "ApiUrl")[0]
    try:
        api = Api(url)
        send_at_once(api, arguments.device)
        send_through_queue(api, arguments.device)
    except (SmokeTestError, HTTPClientError) as error:
        sys.exit(f"smoke test failed: {error}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Send two messages to a test device, and follow them.")
    parser.add_argument("--device", required=True, help="ICCID of the test device's SIM")
    parser.add_argument("--stack", default="cube-sms", help="name of the CloudFormation stack (cube-sms)")
    parser.add_argument("--api-url", help="base URL of the REST API, where it is not the stack's ApiUrl")
    return parser.parse_args()


def send_at_once(api: Api, device: str) -> None:
    """Send a message, look at its record, and send it again."""
    request_id, body = f"smoke-{uuid.uuid4()}", a_message(device)
    posted = expect(200, api.call("POST", "/messages", body, Idempotency_Key=request_id))
    record = expect(200, api.call("GET", f"/messages/{request_id}"))
    expect_sent(posted)
    expect_sent(record)
    repeated = expect(200, api.call("POST", "/messages", body, Idempotency_Key=request_id))
    if repeated.get("attempts") != record.get("attempts"):
        raise SmokeTestError(f"a repeated call sent the message again: {json.dumps(repeated)}")
    print(f"{request_id}: SENT at once, and not again when the call was repeated")


def send_through_queue(api: Api, device: str) -> None:
    """Have a message sent from the queue, and wait for its record."""
    request_id = f"smoke-{uuid.uuid4()}"
    headers = {"Idempotency_Key": request_id, "Prefer": "respond-async"}
    queued = api.call("POST", "/messages", a_message(device), **headers)
    expect(202, queued)
    deadline = time.monotonic() + PATIENCE_SECONDS
    answer = api.call("GET", queued.location)
    # If word that it waits could not be written, it has no record until a worker takes it.
    while answer.status == 404 or answer.body.get("state") in UNDER_WAY:
        if time.monotonic() > deadline:
            raise SmokeTestError(f"not sent from the queue in {PATIENCE_SECONDS:g} s: {json.dumps(answer.body)}")
        time.sleep(PAUSE_SECONDS)
        answer = api.call("GET", queued.location)
    expect_sent(expect(200, answer))
    print(f"{request_id}: SENT from the queue")


def a_message(device: str) -> dict[str, Any]:
    """Return a send request."""
    return {"deviceId": device, "content": "cube-sms: smoke test of a release"}


def expect(status: int, answer: Answer) -> dict[str, Any]:
    """Return an answer's body, if it has this status."""
    if answer.status != status:
        raise SmokeTestError(f"HTTP {answer.status} instead of {status}: {json.dumps(answer.body)}")
    return answer.body


def expect_sent(body: dict[str, Any]) -> None:
    """Accept a message that was sent."""
    if body.get("state") != "SENT":
        raise SmokeTestError(f"{body.get('state')} instead of SENT: {json.dumps(body)}")


if __name__ == "__main__":
    run(main)
