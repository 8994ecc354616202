"""What devices have answered, beside the records of what was sent to them.

An entry says that a device has answered. What it says is kept only if the deployment wants that, in an item of its own:
DynamoDB deletes items and no attributes, and the entry is to stay.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from cube_sms.platform import DAY, get_items, key_of

from .items import REPLY_KEY, TEXT_LENGTH
from .table import RecordTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from .record import KeptReply

CONTENT_KEY = "#content#"
"""What keys of items begin with that hold what a reply says. They name no device, and so no index has them."""


class ReplyRecords:
    """Keeps what devices have answered, in the table of all records. Safe to share between threads.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    retention : float
        Seconds that an entry is kept.
    content_retention : float
        Seconds that what a reply says is kept; 0 if it is not. Never longer than its entry.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        retention: float,
        content_retention: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = RecordTable(client, table)
        self._retention = retention
        self._content_retention = min(content_retention, retention)
        self._clock = clock

    @classmethod
    def if_any(
        cls, client: DynamoDBClient, table: str, *, has_history: bool, retention_days: int, content_days: int
    ) -> Self | None:
        """Create those of a deployment.

        Parameters
        ----------
        client : DynamoDBClient
            boto3's client.
        table : str
            Name of the table.
        has_history : bool
            Whether devices have a history.
        retention_days, content_days : int
            Days that an entry and its content are kept.

        Returns
        -------
        ReplyRecords or None
            None if devices have no history.
        """
        if not has_history:
            return None
        return cls(client, table, retention=retention_days * DAY, content_retention=content_days * DAY)

    def keep(self, reply: KeptReply) -> None:
        """Keep a reply: one write, or two if what it says is kept. A repeat changes nothing, nor how long it is kept.

        Parameters
        ----------
        reply : KeptReply
            The reply. Of what it says, the first `TEXT_LENGTH` characters are kept: no SMS has more.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is away.
        """
        now = self._clock()
        values: dict[str, Any] = {
            ":account": reply.account,
            ":device": reply.device_id,
            ":created": reply.received_at,
            ":type": reply.message_type,
            ":request": reply.in_reply_to,
            ":ttl": int(now + self._retention),
        }
        update = (
            "SET account = :account, deviceId = :device, createdAt = :created, messageType = :type,"
            " inReplyTo = :request, #ttl = :ttl"
        )
        if self._content_retention and reply.content is not None:
            until = int(now + self._content_retention)
            # Before its entry, which says that it is there.
            content = {":content": reply.content[:TEXT_LENGTH], ":ttl": until}
            self._table.put(CONTENT_KEY + reply.event_id, "SET content = :content, #ttl = :ttl", content, is_once=True)
            update += ", contentUntil = :until"
            values[":until"] = until
        self._table.put(REPLY_KEY + reply.event_id, update, values, is_once=True)


def find_contents(
    client: DynamoDBClient, table: str, entries: Iterable[Mapping[str, Any]], now: float
) -> dict[str, str]:
    """Return what replies say, as far as that is kept.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    table : str
        Name of the table.
    entries : iterable of Mapping
        Items of replies, in DynamoDB's types.
    now : float
        Seconds since the epoch. DynamoDB deletes an item some time after its end: what has come to it is not read.

    Returns
    -------
    dict[str, str]
        By the key of the entry.

    Raises
    ------
    RecordsUnavailableError
        If DynamoDB is away, or leaves out items again and again.
    """
    kept = [key_of(entry) for entry in entries if _is_ahead(entry.get("contentUntil", {}), now)]
    keys = {CONTENT_KEY + key.removeprefix(REPLY_KEY): key for key in kept}
    items = get_items(client, table, keys, is_consistent=False)
    # The entry of a reply that came twice, since its first write broke off, may have a later end than this.
    return {keys[key_of(item)]: item["content"]["S"] for item in items if _is_ahead(item["ttl"], now)}


def _is_ahead(end: Mapping[str, str], now: float) -> bool:
    return float(end.get("N", 0)) > now
