"""How the functions talk to AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .errors import RecordsUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# AWS answers in milliseconds; botocore's defaults of a minute would outlive the invocation. Three tries that hang take
# 9 s, and so the three times that the outcome of a POST is written take less than what a POST leaves of the invocation.
AWS_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    # Every call is typed and checked before it runs; this is a tenth of what a call costs.
    parameter_validation=False,
)


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
