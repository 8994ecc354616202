"""The API's call for the history of a device."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cube_sms.delivery import MOST_PER_PAGE, device_history, entry_members, is_place
from cube_sms.platform import Fault, Reply, problem_of
from cube_sms.request import is_device_id

from .replies import NO_HISTORY, reply_to_faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from cube_sms.platform import Settings

DEFAULT_LIMIT = "20"

# Up to `MOST_PER_PAGE`.
_LIMIT = re.compile("[1-9][0-9]?|100", re.ASCII)

_NO_HISTORY = problem_of(NO_HISTORY, None, {})


class HistoryApi:
    """Shows what was sent to a device and what it has answered.

    Parameters
    ----------
    client : DynamoDBClient
        boto3's client.
    settings : Settings
        The deployment's settings.
    """

    def __init__(self, client: DynamoDBClient, settings: Settings) -> None:
        self._client = client
        self._table = settings.messages_table
        self._index = settings.device_index

    def get(self, device_id: str, query: Mapping[str, str]) -> Reply:
        """Show a page of a device's history.

        Parameters
        ----------
        device_id : str
            The device, as the path has it.
        query : Mapping[str, str]
            The parameters of the call: `limit` and `next`.

        Returns
        -------
        Reply
            200 with the page, newest first; 400 with the call's faults; 404 if the deployment keeps no history.

        Raises
        ------
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        if not self._index:
            return _NO_HISTORY
        device_id, limit, after = unquote(device_id), query.get("limit", DEFAULT_LIMIT), query.get("next")
        faults = []
        if not is_device_id(device_id):
            faults.append(Fault("deviceId", "must be 1 to 64 characters of 0-9, A-Z and a-z"))
        if not _LIMIT.fullmatch(limit):
            faults.append(Fault("limit", f"must be a whole number from 1 to {MOST_PER_PAGE}"))
        if after is not None and not is_place(after):
            faults.append(Fault("next", "must be as a page before this one has it"))
        if faults:
            return reply_to_faults(faults)
        page = device_history(self._client, self._table, self._index, device_id, limit=int(limit), after=after)
        return Reply(200, {"entries": [entry_members(entry) for entry in page.entries], "next": page.next})
