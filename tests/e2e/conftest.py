"""Local stacks for all end-to-end tests: each test uses devices and request ids of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.ministack import REGION
from local.stack import LocalStack
from tests.e2e.aws_proxy import AwsProxy, Proxied, route

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def open_stack() -> Iterator[LocalStack]:
    """Return a stack whose functions may do everything."""
    with LocalStack(is_limited=False) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(open_stack: LocalStack) -> LocalStack:
    """Return the stack of all tests that need none of their own."""
    return open_stack


@pytest.fixture(scope="session")
def guarded_stack() -> Iterator[LocalStack]:
    """Return a stack whose functions may do what their roles allow and nothing else, patient with the provider."""
    # The topic of examples/sns.
    topic = f"arn:aws:sns:{REGION}:000000000000:sms-requests"
    parameters = {"MaxAttempts": "50", "DeviceHistory": "true", "SendQueueSourceArns": topic}
    with LocalStack(parameters, is_limited=False, authenticate=True) as stack:
        yield stack


@pytest.fixture(scope="session")
def proxied() -> Iterator[Proxied]:
    """Return a stack whose functions talk to DynamoDB through a proxy. Its leases are 2 * (1 + 3) + 10 seconds."""
    with AwsProxy() as proxy, LocalStack(is_limited=False) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "DYNAMODB", "SECRETS_MANAGER", CUBE_CONNECT_TIMEOUT="1", CUBE_READ_TIMEOUT="3")
        yield Proxied(stack, proxy)
