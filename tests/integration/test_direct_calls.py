"""Calls of AWS: what the functions' clients do in place of boto3's own methods, and when."""

from __future__ import annotations

import json
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.session import Session

from cube_sms.platform import aws
from cube_sms.platform.aws import AWS_CONFIG, direct_client
from cube_sms.platform.direct_calls import DirectCall, call_directly
from tests.integration.wire import Wire, answer, self_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient

TRIES = 3

# What a busy machine may add to a time that is bounded.
MARGIN = 20.0
ITEM = {"messageId": {"S": "default#order-1"}, "attempts": {"N": "1"}, "unsettled": {"BOOL": False}}
UPDATE: dict[str, Any] = {
    "TableName": "cube-sms-messages",
    "Key": {"messageId": {"S": "default#order-1"}},
    "UpdateExpression": "SET #state = :state",
    "ExpressionAttributeNames": {"#state": "state"},
    "ExpressionAttributeValues": {":state": {"S": "SENT"}, ":none": {"NULL": True}},
    "ReturnValues": "ALL_NEW",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What Lambda gives a function, and no session of an earlier test."""
    variables = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "the-key",
        "AWS_SESSION_TOKEN": "the-token",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(aws, "session", cache(Session))
    return variables


def ours(environment: Mapping[str, str]) -> DynamoDBClient:
    client = direct_client("dynamodb", environment)
    assert isinstance(client.update_item, DirectCall)
    return client


def boto3s(_environment: Mapping[str, str]) -> DynamoDBClient:
    return boto3.client("dynamodb", config=AWS_CONFIG)


def dynamodb_answer(body: Any, status: int = 200, crc32: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer(content, status, x_amz_crc32=str(zlib.crc32(content) if crc32 is None else crc32))


def error(code: str, status: int = 400, **more: Any) -> bytes:
    return dynamodb_answer({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no", **more}, status)


GOOD = dynamodb_answer({"Attributes": ITEM})
WRONG_CHECKSUM = dynamodb_answer({"Attributes": {}}, crc32=1)
CUT_OFF = GOOD[:-10]
BROKEN_OFF = (b"", CUT_OFF)
THROTTLED = error("ThrottlingException")
CONDITION = error("ConditionalCheckFailedException", Item=ITEM)


def outcome(client: DynamoDBClient) -> tuple[Any, ...]:
    """What a caller sees of a call."""
    try:
        answered: Any = client.update_item(**UPDATE)
    except client.exceptions.ConditionalCheckFailedException as refused:
        return "refused", refused.response["Item"]  # type: ignore[typeddict-item]  # of this error alone
    except ClientError as refused:
        return "error", type(refused).__name__, refused.response["Error"]
    except BotoCoreError as broken:
        return "broken", isinstance(broken, HTTPClientError)
    return "answered", answered["Attributes"]


class TestAnswers:
    @pytest.mark.parametrize(
        ("answers", "expected", "requests"),
        [
            ([GOOD], ("answered", ITEM), 1),
            ([CONDITION], ("refused", ITEM), 1),
            ([error("ConditionalCheckFailedException", Item={})], ("refused", {}), 1),
            # What is tried again, and succeeds
            ([THROTTLED, GOOD], ("answered", ITEM), 2),
            ([error("ProvisionedThroughputExceededException"), CONDITION], ("refused", ITEM), 2),
            ([error("InternalServerError", 500), error("ServiceUnavailable", 503), GOOD], ("answered", ITEM), 3),
            ([answer(b"<html>Bad Gateway</html>", 502), GOOD], ("answered", ITEM), 2),
            ([answer(b"", 504), GOOD], ("answered", ITEM), 2),
            ([WRONG_CHECKSUM, GOOD], ("answered", ITEM), 2),
            ([CUT_OFF, GOOD], ("answered", ITEM), 2),
            ([b"", GOOD], ("answered", ITEM), 2),
            # And what fails each time
            ([THROTTLED], ("error", "ThrottlingException"), TRIES),
            ([error("InternalServerError", 500)], ("error", "InternalServerError"), TRIES),
            ([answer(b"<html>Bad Gateway</html>", 502)], ("error", "ClientError"), TRIES),
            ([b""], ("broken",), TRIES),
            # What is not tried again
            ([error("ValidationException")], ("error", "ClientError"), 1),
            ([error("ResourceNotFoundException")], ("error", "ResourceNotFoundException"), 1),
            ([error("AccessDeniedException")], ("error", "ClientError"), 1),
            ([error("ExpiredTokenException")], ("error", "ClientError"), 1),
            ([error("RequestTimeTooSkewed", 403)], ("error", "ClientError"), 1),
            ([answer(b"", 301, Location="https://elsewhere.example/")], ("error", "ClientError"), 1),
        ],
    )
    def test_each_comes_to_what_it_comes_to_with_boto3(
        self,
        environment: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        answers: list[bytes],
        expected: tuple[Any, ...],
        requests: int,
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        seen = []
        for make in (ours, boto3s):
            with Wire(*answers, hang_up=answers[0] in BROKEN_OFF) as wire:
                monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
                seen.append((outcome(make(environment)), len(wire.requests)))
        assert seen[0] == seen[1]
        assert (seen[0][0][: len(expected)], seen[0][1]) == (expected, requests)

    def test_answer_that_does_not_come_is_waited_for_as_long_as_configured(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given one that never comes
        with Wire(b"") as wire:
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
            client = ours(environment)
            # When
            started = time.monotonic()
            seen = outcome(client)
            # Then three tries were given their two seconds each, and pauses of at most a second and two
            assert (seen, len(wire.requests)) == (("broken", True), TRIES)
            assert 6 <= time.monotonic() - started < 9 + MARGIN

    def test_server_that_is_not_there(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
        assert outcome(ours(environment))[0] == "broken"

    def test_retries_end_when_their_quota_is_used_up(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given a table that is unavailable, and more calls than boto3 has retries for
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        seen = []
        for make in (ours, boto3s):
            with Wire(error("InternalServerError", 500)) as wire:
                monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
                client = make(environment)
                calls = [outcome(client) for _ in range(60)]
                assert {call[1] for call in calls} == {"InternalServerError"}
                seen.append(len(wire.requests))
        assert seen[0] == seen[1] < 60 * TRIES

    def test_retries_that_helped_are_given_back_to_the_quota(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given more calls that need a retry than boto3 has retries for, each of which then succeeds
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        calls = 120
        with Wire(*[error("InternalServerError", 500), GOOD] * calls) as wire:
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
            client = ours(environment)
            assert [outcome(client) for _ in range(calls)] == [("answered", ITEM)] * calls


class TestRequest:
    def test_it_is_the_one_that_boto3_makes(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        for make in (ours, boto3s):
            with Wire(GOOD) as wire:
                monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
                make(environment).update_item(**UPDATE)
                ((head, body),) = wire.requests
            headers = head_of(head)
            names = ("content-type", "x-amz-target", "x-amz-security-token", "content-length", "accept-encoding")
            seen.append((head.splitlines()[0], [headers.get(name) for name in names[:3]], json.loads(body)))
            assert headers["host"] == f"127.0.0.1:{wire.port}"
            assert "botocore" in headers["user-agent"].lower()
        assert seen[0] == seen[1]

    @pytest.mark.parametrize("token", [None, "the-token"])
    @pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "cn-north-1"])
    def test_its_signature_is_botocores(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, region: str, token: str | None
    ) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        if token is None:
            monkeypatch.delenv("AWS_SESSION_TOKEN")
        client = ours(environment)
        sent: list[Any] = []
        client.meta.events.register("before-send.dynamodb.UpdateItem", capturing(sent))
        # When
        client.update_item(**UPDATE)
        # Then
        (request,) = sent
        credentials = ReadOnlyCredentials("AKIDEXAMPLE", "the-key", token)
        assert json.loads(request.body) == UPDATE
        assert request.headers.get("X-Amz-Security-Token") == token
        assert signature(request.headers) == expected_signature(request, credentials, region)

    def test_credentials_are_those_of_the_moment(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given credentials that are over after each call, as an assumed role's are after an hour
        fetched: list[int] = []

        def fetch() -> dict[str, str]:
            fetched.append(len(fetched))
            expiry = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
            number = fetched[-1]
            return {"access_key": f"AKID{number}", "secret_key": "k", "token": f"token-{number}", "expiry_time": expiry}

        credentials = RefreshableCredentials.create_from_metadata(fetch(), refresh_using=fetch, method="test")
        client = boto3.client("dynamodb", config=AWS_CONFIG)
        sent: list[Any] = []
        client.meta.events.register("before-send.dynamodb.UpdateItem", capturing(sent))
        call_directly(client, credentials, {"UpdateItem"}, {})
        # When
        for _ in range(2):
            client.update_item(**UPDATE)
        # Then
        tokens = [request.headers["X-Amz-Security-Token"] for request in sent]
        keys = [request.headers["Authorization"].partition("Credential=")[2].partition("/")[0] for request in sent]
        assert tokens == ["token-1", "token-2"]
        assert keys == ["AKID1", "AKID2"]

    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {"AWS_DEFAULT_REGION": "us-gov-west-1"},
            {"AWS_DEFAULT_REGION": "cn-north-1"},
            {"AWS_DEFAULT_REGION": "us-east-1", "AWS_USE_FIPS_ENDPOINT": "true"},
            {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/"},
            {"AWS_ENDPOINT_URL": "http://[::1]:4566"},
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ENDPOINT_URL_DYNAMODB": "https://vpce.example"},
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        ],
        ids=str,
    )
    def test_it_goes_where_boto3_sends_it(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        where = []
        for make in (ours, boto3s):
            client = make(environment)
            sent: list[Any] = []
            client.meta.events.register("before-send.dynamodb.UpdateItem", capturing(sent))
            client.update_item(**UPDATE)
            (request,) = sent
            scope = text(request.headers["Authorization"]).partition("/")[2].partition(",")[0]
            where.append((request.url.rstrip("/"), scope))
        assert where[0] == where[1]


class TestOtherOperations:
    @pytest.mark.parametrize(
        ("answers", "expected"),
        [
            ([dynamodb_answer({"Item": ITEM})], {"Item": ITEM}),
            ([dynamodb_answer({})], {}),
            ([THROTTLED, dynamodb_answer({"Item": ITEM})], {"Item": ITEM}),
            ([error("ResourceNotFoundException")], "ResourceNotFoundException"),
        ],
    )
    def test_get_item(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, answers: list[bytes], expected: Any
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        arguments = {"TableName": "cube-sms-messages", "Key": UPDATE["Key"], "ConsistentRead": True}
        seen = []
        for make in (ours, boto3s):
            with Wire(*answers) as wire:
                monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
                seen.append((answered(make(environment).get_item, arguments), asked(wire)))
        assert seen[0] == seen[1]
        assert seen[0][0] == expected

    @pytest.mark.parametrize(
        ("answers", "expected"),
        [
            ([answer({"Name": "cube-sms", "SecretString": "{}"})], {"Name": "cube-sms", "SecretString": "{}"}),
            ([error("InternalServiceError", 500), answer({"SecretString": "{}"})], {"SecretString": "{}"}),
            ([error("ResourceNotFoundException")], "ResourceNotFoundException"),
            ([error("AccessDeniedException")], "ClientError"),
        ],
    )
    def test_get_secret_value(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, answers: list[bytes], expected: Any
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        seen = []
        for is_ours in (True, False):
            with Wire(*answers) as wire:
                monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", wire.url)
                client = boto3.client("secretsmanager", config=AWS_CONFIG)
                if is_ours:
                    client = direct_client("secretsmanager", environment)
                    assert isinstance(client.get_secret_value, DirectCall)
                seen.append((answered(client.get_secret_value, {"SecretId": "cube-sms"}), asked(wire)))
        assert seen[0] == seen[1]
        assert seen[0][0] == expected

    def test_each_service_is_signed_for_itself(self, environment: dict[str, str]) -> None:
        # Given clients of two services, called in turns
        sent: list[Any] = []
        clients: list[Any] = [direct_client("dynamodb", environment), direct_client("secretsmanager", environment)]
        for client in clients:
            client.meta.events.register("before-send", capturing(sent))
        for _ in range(2):
            clients[0].update_item(**UPDATE)
            clients[1].get_secret_value(SecretId="cube-sms")
        # Then
        credentials = ReadOnlyCredentials("AKIDEXAMPLE", "the-key", "the-token")
        for request, service in zip(sent, ["dynamodb", "secretsmanager"] * 2, strict=True):
            assert request.url == f"https://{service}.eu-central-1.amazonaws.com/"
            expected = expected_signature(request, credentials, "eu-central-1", service)
            assert signature(request.headers) == expected


class TestConnections:
    def test_threads_keep_a_connection_each(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        threads = 16
        with Wire(GOOD) as wire:
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
            client = ours(environment)
            with ThreadPoolExecutor(threads) as pool:
                outcomes = list(pool.map(lambda _: outcome(client), range(threads * 10)))
            assert outcomes == [("answered", ITEM)] * threads * 10
            assert len(wire.requests) == threads * 10
            assert wire.connections <= threads

    def test_certificate_that_nobody_trusts_is_refused(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        server, _ = self_signed(tmp_path)
        with Wire(GOOD, tls=server) as wire:
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", wire.url)
            assert outcome(ours(environment)) == ("broken", True)
            assert wire.requests == []


class TestDetours:
    """If boto3 connects in a special manner, its own method is left in place."""

    def test_certificates_of_ones_own(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server, _ = self_signed(tmp_path)
        with Wire(GOOD, tls=server) as wire:
            bundle = {"AWS_CA_BUNDLE": str(tmp_path / "certificate.pem"), "AWS_ENDPOINT_URL_DYNAMODB": wire.url}
            for name, value in bundle.items():
                monkeypatch.setenv(name, value)
            client = direct_client("dynamodb", environment | bundle)
            assert outcome(client) == ("answered", ITEM)

    def test_proxy(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        with Wire(GOOD) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://dynamodb.example")
            assert outcome(direct_client("dynamodb", environment)) == ("answered", ITEM)
            ((head, _),) = proxy.requests
        assert head.startswith("POST http://dynamodb.example/ ")

    def test_address_with_a_path(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        with Wire(GOOD) as wire:
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"{wire.url}/behind/a/gateway")
            assert outcome(direct_client("dynamodb", environment)) == ("answered", ITEM)
            ((head, _),) = wire.requests
        assert head.startswith("POST /behind/a/gateway")

    @pytest.mark.parametrize(
        "variables", [{"AWS_ACCOUNT_ID_ENDPOINT_MODE": "required", "AWS_ACCOUNT_ID": "123456789012"}]
    )
    def test_address_of_the_account(
        self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        client = direct_client("dynamodb", environment)
        sent: list[Any] = []
        client.meta.events.register("before-send.dynamodb.UpdateItem", capturing(sent))
        client.update_item(**UPDATE)
        assert sent[0].url.startswith("https://123456789012.ddb.eu-central-1.")

    def test_no_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        assert outcome(direct_client("dynamodb", {})) == ("broken", False)


class Body(BytesIO):
    """As much of urllib3's answer as botocore's reads."""

    def stream(self) -> list[bytes]:
        return [self.getvalue()]


def answered(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Return what a call answers, or which error it raises."""
    try:
        members = method(**arguments)
    except ClientError as refused:
        return type(refused).__name__
    return {name: value for name, value in members.items() if name != "ResponseMetadata"}


def asked(wire: Wire) -> list[tuple[str | None, str | None, Any]]:
    """Return what a server was asked for."""
    heads = [(head_of(head), json.loads(body)) for head, body in wire.requests]
    return [(head.get("x-amz-target"), head.get("content-type"), body) for head, body in heads]


def capturing(sent: list[Any]) -> Callable[..., Any]:
    """Return a handler that keeps each request and answers it."""

    def before_send(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), Body(b'{"Attributes": {}}'))

    return before_send


def text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def signature(headers: Mapping[str, str]) -> str:
    return headers["Authorization"].rpartition("Signature=")[2]


def expected_signature(request: Any, credentials: ReadOnlyCredentials, region: str, service: str = "dynamodb") -> str:
    """Return what botocore signs a request with whose headers are given."""
    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
    again = AWSRequest(request.method, request.url, headers, request.body)
    again.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(credentials, service, region)
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))


def head_of(head: str) -> dict[str, str]:
    lines = [line.partition(": ") for line in head.splitlines()[1:]]
    return {name.lower(): value for name, _, value in lines}
