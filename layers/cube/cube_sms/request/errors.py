"""A request that is not valid."""

from __future__ import annotations

from typing import Any

from cube_sms.platform import ApiAnswer, Fault, FaultsError, NotPostedError, metrics


class InvalidRequestError(NotPostedError, FaultsError):
    """The send request is not valid.

    Parameters
    ----------
    faults : list[Fault]
        The faults, at least one.
    request_id : str, optional
        The request's own id, where that much of it is valid.
    task_token : str, optional
        Its task token, likewise.
    priority : str, optional
        Its priority, likewise.
    """

    state = None
    answer = ApiAnswer(400, "Invalid send request")
    remedy = "Correct the fields that the answer or the dead letter names, and send the request again."
    metric = metrics.MESSAGES_INVALID
    letter = "InvalidRequest"
    log = ("warning", "invalid request")

    def __init__(
        self,
        faults: list[Fault],
        request_id: str | None = None,
        task_token: str | None = None,
        priority: str | None = None,
    ) -> None:
        super().__init__(faults)
        self.request_id = request_id
        self.task_token = task_token
        self.priority = priority

    @property
    def members(self) -> dict[str, Any]:
        """The faults, one by one."""
        errors = [{"path": fault.path, "message": fault.message} for fault in self.faults]
        return {"errors": errors, "moreErrors": self.more or None}

    @property
    def log_fields(self) -> dict[str, Any]:
        """The same for the log."""
        return {
            "request_id": self.request_id,
            "faults": [str(fault) for fault in self.faults],
            "more_faults": self.more or None,
        }
