"""How the functions talk to AWS."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

from botocore.config import Config
from botocore.session import Session

from .direct_calls import call_directly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# AWS answers in milliseconds; botocore's defaults of a minute would outlive the invocation. Three tries that hang take
# 9 s.
AWS_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    # Every call is typed and checked before it runs; this is a tenth of what a call costs.
    parameter_validation=False,
    # The most threads of a function, so that no connection is closed for want of a place: 10 is the default.
    max_pool_connections=40,
)

# S3 can take longer to put the parts of a large object together, and is not to be asked twice.
OBJECTS_CONFIG = AWS_CONFIG.merge(Config(read_timeout=60))

_CONFIGS = {"s3": OBJECTS_CONFIG}


@cache
def session() -> Session:
    """Return what makes all clients: botocore's session.

    boto3's would add its resources, which are not used here: a tenth of what `import boto3` takes.
    """
    made = Session()
    made.register("creating-client-class.s3", _add_transfers)
    return made


def _add_transfers(**options: Any) -> None:
    # As boto3's session does. The functions of campaigns alone import it.
    from boto3.s3.inject import inject_s3_transfer_methods

    inject_s3_transfer_methods(**options)


# What is called for each message, and so directly.
_DIRECT = {"dynamodb": {"GetItem", "UpdateItem"}, "secretsmanager": {"GetSecretValue"}}


@overload
def aws_client(service: Literal["dynamodb"]) -> DynamoDBClient: ...
@overload
def aws_client(service: Literal["events"]) -> EventBridgeClient: ...
@overload
def aws_client(service: Literal["s3"]) -> S3Client: ...
@overload
def aws_client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
@overload
def aws_client(service: Literal["sqs"]) -> SQSClient: ...
@overload
def aws_client(service: Literal["stepfunctions"]) -> SFNClient: ...
def aws_client(service: Any) -> Any:
    """Make the client of a service, with our time limits. It has all that boto3's has.

    Parameters
    ----------
    service : {"dynamodb", "events", "s3", "secretsmanager", "sqs", "stepfunctions"}
        Its name in boto3.

    Returns
    -------
    BaseClient
        The client.
    """
    return session().create_client(service, config=_CONFIGS.get(service, AWS_CONFIG))


@overload
def direct_client(service: Literal["dynamodb"], environment: Mapping[str, str]) -> DynamoDBClient: ...
@overload
def direct_client(service: Literal["secretsmanager"], environment: Mapping[str, str]) -> SecretsManagerClient: ...
def direct_client(service: Any, environment: Mapping[str, str]) -> Any:
    """Make the client of a service that is called for each message: with less CPU (`direct_calls`).

    Parameters
    ----------
    service : {"dynamodb", "secretsmanager"}
        Its name in boto3.
    environment : Mapping[str, str]
        Such as ``os.environ``.

    Returns
    -------
    DynamoDBClient or SecretsManagerClient
        The client.
    """
    client = aws_client(service)
    call_directly(client, session().get_credentials(), _DIRECT[service], environment)
    return client
