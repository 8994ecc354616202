"""What a record can have against a message."""

from __future__ import annotations

from typing import Any

from cube_sms.platform import ApiAnswer, Fault, FaultsError, NotPostedError, RecordsUnavailableError, metrics


class RequestConflictError(NotPostedError):
    """The request's id belongs to a different request.

    Parameters
    ----------
    request_id : str
        The id.
    """

    state = None
    answer = ApiAnswer(409, "Conflict")
    remedy = "Give the other request an id of its own. To repeat a request, leave it exactly as it was."
    metric = metrics.MESSAGES_INVALID
    letter = "Conflict"
    log = ("warning", "invalid request")

    def __init__(self, request_id: str) -> None:
        super().__init__(f"requestId: {request_id} belongs to a different request")
        self.request_id = request_id

    @property
    def members(self) -> dict[str, Any]:
        """The id."""
        return {"requestId": self.request_id}

    @property
    def log_fields(self) -> dict[str, Any]:
        """The id, and the conflict as a fault."""
        return {"request_id": self.request_id, "faults": [str(self)]}


class RecordDeletedError(RecordsUnavailableError):
    """Somebody has deleted the record between two writes."""


class SpoiledRecordError(NotPostedError, FaultsError):
    """An item of the table of records is not as the gateway writes it: somebody has changed it by hand.

    Parameters
    ----------
    message_id : str
        The item's key.
    faults : list[Fault]
        What is wrong with its attributes.
    """

    state = None
    answer = ApiAnswer(
        500, "Record cannot be read", "somebody has changed the message's record; an operator has to mend it"
    )
    remedy = "Repair the record as docs/runbook.md#damaged-records says, then redrive the dead letter."
    metric = metrics.RECORDS_DAMAGED
    letter = "SpoiledRecord"
    log = ("error", "record cannot be read")

    def __init__(self, message_id: str, faults: list[Fault]) -> None:
        super().__init__(faults)
        self.message_id = message_id

    @property
    def request_id(self) -> str:
        """The request's own id."""
        return self.message_id.partition("#")[2]

    @property
    def members(self) -> dict[str, Any]:
        """The request's own id."""
        return {"requestId": self.request_id}

    @property
    def log_fields(self) -> dict[str, Any]:
        """The item's key, and what is wrong with it."""
        return {"message_id": self.message_id, "faults": str(self)}


class DeviceBusyError(NotPostedError):
    """So many requests wait for the device's reply that no further one can. It is sent when one of them is answered."""

    state = "RETRYING"
    answer = ApiAnswer(503, "Too many wait for this device", is_later=True)
    remedy = "Wait: the message is sent when a reply, or the end of a time, has answered another request of the device."
    metric = None
    letter = None
    log = None
