"""Users of the guarded stack: the local AWS verifies their signatures, and allows what their policies allow."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalStack


@contextmanager
def user(stack: LocalStack, *statements: dict[str, Any]) -> Iterator[Credentials]:
    """Return the credentials of a user with these statements as its policy."""
    iam, name = stack.aws.client("iam"), f"user-{uuid4()}"
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name,
        PolicyName="Allowed",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    yield Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=name, PolicyName="Allowed")
    iam.delete_user(UserName=name)


def may_call(stack: LocalStack, resource: str) -> dict[str, Any]:
    """Return the statement of a user who may call one resource of the API, such as ``POST/messages``."""
    api = f"arn:aws:execute-api:{stack.sqs.meta.region_name}:000000000000:{stack.outputs['ApiId']}/v1"
    return {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": f"{api}/{resource}"}


def may_enqueue(stack: LocalStack) -> dict[str, Any]:
    """Return the statement of a user who may put messages onto the send queue."""
    return {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": stack.outputs["SendQueueArn"]}
