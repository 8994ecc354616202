"""The table of records: one item written or read, or many of them read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cube_sms.delivery.errors import RecordDeletedError, RequestConflictError, SpoiledRecordError
from cube_sms.delivery.states import State
from cube_sms.platform import KEY, RecordsUnavailableError, get_item, get_items, key_of, update_item

from .items import REFUSED_KEY, attribute, or_fault, read_item, read_record
from .record import Record, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.request import SendRequest


class RecordTable:
    """The table, item by item. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    sleep : Callable[[float], None]
        Waits a number of seconds.
    """

    def __init__(self, client: DynamoDBClient, table: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def get(self, message_id: str) -> Record | None:
        """Return the record of a message.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``.

        Returns
        -------
        Record or None
            The record, as DynamoDB has it at this moment.

        Raises
        ------
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        item = get_item(self._client, self._table, message_id)
        return read_record(item) if item else None

    def find(self, requests: Iterable[SendRequest]) -> dict[str, Record | Refusal | SpoiledRecordError]:
        """Return the records or refusals of many requests, as DynamoDB has them at this moment.

        Parameters
        ----------
        requests : iterable of SendRequest
            The requests.

        Returns
        -------
        dict
            By `SendRequest.message_id`: the record, which may be another request's, a refusal, or why neither can be
            read. It is a refusal if there is no record, or if the message waits and was refused afterwards.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable, or leaves out items again and again.
        """
        refused = {request.message_id: f"{REFUSED_KEY}{request.request_id}" for request in requests}
        found = self._get_all(refused)
        # Such as requests to an account that does not exist, as long as their refusals are kept.
        refused = {message_id: key for message_id, key in refused.items() if _is_open(found.get(message_id))}
        words = self._get_all(set(refused.values()))
        return found | {
            message_id: words[key]
            for message_id, key in refused.items()
            if key in words and _is_news(words[key], found.get(message_id))
        }

    def _get_all(self, keys: Iterable[str]) -> dict[str, Record | Refusal | SpoiledRecordError]:
        items = get_items(self._client, self._table, keys, sleep=self._sleep)
        found: dict[str, Any] = {key_of(item): or_fault(read_item, item) for item in items}
        return found

    def put(self, key: str, update: str, values: Mapping[str, Any], *, is_once: bool = False) -> None:
        """Write an item of another kind than a record.

        Parameters
        ----------
        key : str
            The item's key.
        update, values
            As for `update`.
        is_once : bool
            Whether an existing item stays as it is. Otherwise it is overwritten.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        condition = {"ConditionExpression": f"attribute_not_exists({KEY})"} if is_once else {}
        update_item(
            self._client, self._table, key, UpdateExpression=update, **condition, **_expressions(update, values)
        )

    def update(self, message_id: str, update: str, condition: str, values: Mapping[str, Any]) -> tuple[Record, bool]:
        """Write a record under a condition, and read it whether the condition held or not.

        Parameters
        ----------
        message_id : str
            ``<account>#<requestId>``.
        update, condition : str
            DynamoDB's expressions. ``#state``, ``#owner`` and ``#ttl`` stand for attributes whose names it reserves.
        values : Mapping[str, Any]
            The values of the names in them that begin with a colon.

        Returns
        -------
        record : Record
            The record as it is now.
        is_written : bool
            Whether the condition held.

        Raises
        ------
        RecordDeletedError
            If there is no such record.
        SpoiledRecordError
            If somebody has changed the record so that it cannot be read.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        try:
            item, is_written = update_item(
                self._client,
                self._table,
                message_id,
                UpdateExpression=update,
                ConditionExpression=condition,
                **_expressions(update + condition, values),
            )
        except RecordsUnavailableError as error:
            if _is_refused(error.__cause__):
                # Such as an addition to a text.
                self._look_for_faults(message_id)
            raise
        if not item:
            raise RecordDeletedError(f"the record of {message_id} has been deleted")
        return read_record(item), is_written

    def _look_for_faults(self, message_id: str) -> None:
        # An update whose condition never holds: functions that send may update the table, and not read it.
        never = f"attribute_exists({KEY}) AND attribute_not_exists({KEY})"
        item, _ = update_item(self._client, self._table, message_id, ConditionExpression=never)
        if item:
            read_record(item)


# Names that DynamoDB reserves.
_NAMES = {"#state": "state", "#owner": "owner", "#ttl": "ttl"}


def _expressions(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        # DynamoDB refuses a name that is not used.
        "ExpressionAttributeNames": {name: word for name, word in _NAMES.items() if name in text},
        "ExpressionAttributeValues": {name: attribute(value) for name, value in values.items()},
    }


def _is_open(found: object) -> bool:
    return found is None or (isinstance(found, Record) and found.state in (State.QUEUED, State.RETRYING))


def _is_news(word: object, found: object) -> bool:
    """Return whether the refusal of a request is newer than its record."""
    if not isinstance(found, Record):
        return True
    # A conflict refuses another request under that id.
    return (
        isinstance(word, Refusal) and word.reason != RequestConflictError.letter and word.updated_at >= found.updated_at
    )


def _is_refused(error: BaseException | None) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationException"
