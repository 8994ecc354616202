"""How the functions talk to AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .direct_calls import call_directly
from .errors import RecordsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

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


def dynamodb_client(environment: Mapping[str, str]) -> DynamoDBClient:
    """Make boto3's client of DynamoDB, which writes and reads records with less CPU.

    Parameters
    ----------
    environment : Mapping[str, str]
        Such as ``os.environ``.

    Returns
    -------
    DynamoDBClient
        The client.
    """
    client: DynamoDBClient = _client("dynamodb", {"GetItem", "UpdateItem"}, environment)
    return client


def secrets_manager_client(environment: Mapping[str, str]) -> SecretsManagerClient:
    """Make boto3's client of Secrets Manager, which spares the first message the reading of all authorities.

    Parameters
    ----------
    environment : Mapping[str, str]
        Such as ``os.environ``.

    Returns
    -------
    SecretsManagerClient
        The client.
    """
    client: SecretsManagerClient = _client("secretsmanager", {"GetSecretValue"}, environment)
    return client


def _client(service: Any, direct: set[str], environment: Mapping[str, str]) -> Any:
    client = boto3.client(service, config=AWS_CONFIG)
    # The first client has made it.
    session = boto3.DEFAULT_SESSION
    call_directly(client, session.get_credentials() if session else None, direct, environment)
    return client


def update_item(client: DynamoDBClient, table: str, message_id: str, **expressions: Any) -> tuple[dict[str, Any], bool]:
    """Update an item of the table of records under a condition, and look at it whether the condition held or not.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    message_id : str
        The item's key.
    **expressions
        What to write, and under which condition, as DynamoDB's UpdateItem takes it.

    Returns
    -------
    item : dict
        The item as it is now, in DynamoDB's types; empty where there is none.
    is_written : bool
        Whether the condition held.

    Raises
    ------
    RecordsUnavailableError
        Where DynamoDB is away.
    """
    try:
        answer: Any = client.update_item(
            TableName=table,
            Key={"messageId": {"S": message_id}},
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **expressions,
        )
    except client.exceptions.ConditionalCheckFailedException as error:
        found: Any = error.response.get("Item", {})
        return found, False
    except (BotoCoreError, ClientError) as error:
        raise RecordsUnavailableError(error) from error
    return answer["Attributes"], True
