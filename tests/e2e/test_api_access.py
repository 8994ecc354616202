"""Who may call the REST API, from where, and how often."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from samtranslator.yaml_helper import yaml_parse

from local.ministack import REGION
from tests.e2e.test_send import a_device, send_request
from tests.e2e.users import may_call, user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import HttpAnswer, LocalStack

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


def call_as(stack: LocalStack, credentials: Credentials, method: str, path: str, body: str | None = None) -> HttpAnswer:
    request = AWSRequest(method, stack.api_url + path, {"Content-Type": "application/json"}, body)
    SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
    return stack.call_unsigned(method, path, body, **request.headers)


def test_a_caller_may_do_what_its_policy_allows(guarded_stack: LocalStack) -> None:
    # Given one who may send, one who may look, and one who may cancel
    with (
        user(guarded_stack, may_call(guarded_stack, "POST/messages")) as sender,
        user(guarded_stack, may_call(guarded_stack, "GET/messages/*")) as reader,
        user(guarded_stack, may_call(guarded_stack, "DELETE/messages/*")) as canceller,
    ):
        # When each does what another one may
        sent = call_as(guarded_stack, sender, "POST", "/messages", send_request(a_device()))
        path = f"/messages/{sent.body['requestId']}"
        refused = [
            call_as(guarded_stack, reader, "POST", "/messages", send_request(a_device())),
            call_as(guarded_stack, sender, "GET", path),
            call_as(guarded_stack, sender, "DELETE", path),
            call_as(guarded_stack, reader, "DELETE", path),
            call_as(guarded_stack, canceller, "GET", path),
        ]
        shown = call_as(guarded_stack, reader, "GET", path)
        cancelled = call_as(guarded_stack, canceller, "DELETE", f"/messages/{uuid4()}")

    # Then each may do its own
    assert (sent.status, shown.status, cancelled.status) == (200, 200, 200)
    assert [answer.status for answer in refused] == [403] * 5


def test_a_call_that_is_signed_with_another_key_is_refused(guarded_stack: LocalStack) -> None:
    with user(guarded_stack, may_call(guarded_stack, "POST/messages")) as sender:
        forger = Credentials(sender.access_key, "another-key")

        answers = [
            call_as(guarded_stack, credentials, "POST", "/messages", send_request(a_device()))
            for credentials in (sender, forger)
        ]

    assert [answer.status for answer in answers] == [200, 403]


def resource_policy(cidrs: list[str]) -> str:
    """Return the API's policy as CloudFormation would make it where these addresses may call."""
    api = yaml_parse(TEMPLATE.read_text())["Resources"]["Api"]["Properties"]
    statements: list[dict[str, Any]] = []
    for statement in api["Auth"]["ResourcePolicy"]["CustomStatements"]:
        if "Fn::If" in statement:
            condition, restricted, unrestricted = statement["Fn::If"]
            assert (condition, unrestricted) == ("ApiIsForSomeAddresses", {"Ref": "AWS::NoValue"})
            statement = restricted
        statements.append(statement)
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return policy.replace('{"Ref": "ApiAllowedCidrs"}', json.dumps(cidrs))


@pytest.fixture
def apply(guarded_stack: LocalStack) -> Iterator[Any]:
    """Return what gives the API its resource policy, which the local AWS does not take from the template."""
    api = guarded_stack.aws.client("apigateway")

    def put(policy: str) -> None:
        operation = {"op": "replace", "path": "/policy", "value": policy}
        api.update_rest_api(restApiId=guarded_stack.outputs["ApiId"], patchOperations=[operation])

    yield put
    put("")


@pytest.mark.parametrize(("cidrs", "status"), [(["203.0.113.0/24"], 403), (["203.0.113.0/24", "127.0.0.0/8"], 200)])
def test_the_resource_policy_lets_these_addresses_call(
    guarded_stack: LocalStack, apply: Any, cidrs: list[str], status: int
) -> None:
    apply(resource_policy(cidrs))

    with user(guarded_stack, may_call(guarded_stack, "POST/messages")) as sender:
        assert call_as(guarded_stack, sender, "POST", "/messages", send_request(a_device())).status == status


def test_the_resource_policy_is_no_permission(guarded_stack: LocalStack, apply: Any) -> None:
    # Given a caller from an address that may call
    apply(resource_policy(["127.0.0.0/8"]))

    # When it has no permission of its own, then it may not
    with user(guarded_stack, may_call(guarded_stack, "GET/messages/*")) as reader:
        assert call_as(guarded_stack, reader, "POST", "/messages", send_request(a_device())).status == 403


def test_too_many_calls_are_turned_away(stack: LocalStack) -> None:
    # Given the limits of the stage, and lower ones
    api, stage = stack.aws.client("apigateway"), {"restApiId": stack.outputs["ApiId"], "stageName": "v1"}
    settings = api.get_stage(**stage)["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (100, 200)

    def limit(rate: int, burst: int) -> None:
        limits = {"rateLimit": rate, "burstLimit": burst}
        api.update_stage(
            **stage,
            patchOperations=[
                {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(value)}
                for name, value in limits.items()
            ],
        )

    limit(1, 1)
    try:
        # When it is called more often
        answers = [stack.call_api("GET", "/messages/nobody-sent-this") for _ in range(4)]
    finally:
        limit(100, 200)

    # Then API Gateway answers for the functions; the local AWS does not take from the template what it says
    assert {answer.status for answer in answers} == {404, 429}
