"""Records of messages whose receipts are asked for: `State.SENT` leads to what a receipt says, once.

A receipt is for one message. Which receipts have been used is kept beside the records, and written together with what
they say.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from cube_sms.delivery.states import State
from cube_sms.platform import KEY, RecordsUnavailableError, get_items, key_of, key_to, rfc3339, update_item

from .items import TEXT_LENGTH, attribute, or_fault, read_record
from .transitions import RECEIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.delivery.errors import SpoiledRecordError

    from .record import Record

RECEIPT_KEY = "#receipt#"
"""What keys of items begin with that say that a receipt has been used."""

_NAMES = {"#state": "state", "#owner": "owner"}
_NOT_FOLLOWED = "due, dueAt, contentHash"
_AS_SEEN = "#state = :sent AND #owner = :owner"


class FollowedRecords:
    """The records of messages whose receipts are asked for.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table of records.
    retention : float
        Seconds for which it is kept that a receipt has been used: as long as a record that could use it.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self, client: DynamoDBClient, table: str, *, retention: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._table = table
        self._retention = retention
        self._clock = clock

    def read(self, keys: Iterable[str]) -> list[Record | SpoiledRecordError]:
        """Return records, as DynamoDB has them at this moment; of one that cannot be read, why.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        return [or_fault(read_record, item) for item in get_items(self._client, self._table, keys)]

    def used(self, receipts: Iterable[str]) -> set[str]:
        """Return which of some receipts have been used, by the keys of the items that say so.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        return {key_of(item) for item in get_items(self._client, self._table, receipts)}

    def settle(self, record: Record, state: State, receipt: str, *, code: str | None, message: str | None) -> bool:
        """Write what a receipt says of a message, and that it has been used: both, or neither.

        Parameters
        ----------
        record : Record
            The message's record, as it was read.
        state : State
            `State.DELIVERED` or `State.UNDELIVERED`.
        receipt : str
            The key of the item that says that the receipt has been used.
        code, message : str or None
            The provider's words for why the message could not be delivered.

        Returns
        -------
        bool
            Whether it is written. If not, somebody else has used the receipt, or has settled the message.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        if state not in RECEIPTS:
            raise ValueError("a receipt leads to another state")
        now = self._clock()
        values: dict[str, object] = {":state": state, ":now": rfc3339(now), ":sent": State.SENT, ":owner": record.owner}
        update = "SET #state = :state, updatedAt = :now"
        if state is State.UNDELIVERED:
            update += ", code = :code, message = :message"
            values |= {":code": code and code[:TEXT_LENGTH], ":message": message and message[:TEXT_LENGTH]}
        writes: Any = [
            {
                "TableName": self._table,
                "Key": key_to(record.message_id),
                "UpdateExpression": f"{update} REMOVE {_NOT_FOLLOWED}",
                "ConditionExpression": _AS_SEEN,
                "ExpressionAttributeNames": _NAMES,
                "ExpressionAttributeValues": {name: attribute(value) for name, value in values.items()},
            },
            {
                "TableName": self._table,
                "Key": key_to(receipt),
                "UpdateExpression": "SET #ttl = :ttl",
                "ConditionExpression": f"attribute_not_exists({KEY})",
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": {":ttl": attribute(int(now + self._retention))},
            },
        ]
        try:
            # A write whose answer was lost is repeated by boto3, under one token.
            self._client.transact_write_items(TransactItems=[{"Update": write} for write in writes])
        except self._client.exceptions.TransactionCanceledException:
            return False
        except (BotoCoreError, ClientError) as error:
            raise RecordsUnavailableError(error) from error
        return True

    def put_off(self, record: Record, due_at: float) -> None:
        """Write when a receipt is asked for next, unless somebody else has written that, or has settled the message.

        Parameters
        ----------
        record : Record
            The message's record, as it was read.
        due_at : float
            Seconds since the epoch.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        update_item(
            self._client,
            self._table,
            record.message_id,
            UpdateExpression="SET dueAt = :due",
            ConditionExpression=f"{_AS_SEEN} AND dueAt = :seen",
            ExpressionAttributeNames=_NAMES,
            ExpressionAttributeValues={
                ":due": attribute(due_at),
                ":seen": attribute(record.due_at),
                ":sent": attribute(State.SENT),
                ":owner": attribute(record.owner),
            },
        )

    def give_up(self, message_id: str) -> bool:
        """Ask for a message's receipt no more, whatever its record says.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``.

        Returns
        -------
        bool
            Whether that is new.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        _, is_written = update_item(
            self._client,
            self._table,
            message_id,
            UpdateExpression=f"REMOVE {_NOT_FOLLOWED}",
            ConditionExpression="attribute_exists(dueAt)",
        )
        return is_written
