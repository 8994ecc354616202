"""Outcome events: a consumer that can wait until it has all there are, and what the log says of those there are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cube_sms.delivery.records import RecordStore
from cube_sms.delivery.states import State
from local.stack import wait_until
from local.workflows import EventConsumer
from tests.support import send_request

if TYPE_CHECKING:
    from local.stack import LocalStack

type Detail = dict[str, Any]


class OutcomeConsumer(EventConsumer):
    """Receives every outcome event of a stack, from when it is made.

    Parameters
    ----------
    stack : LocalStack
        The stack.
    """

    def __init__(self, stack: LocalStack) -> None:
        super().__init__(stack, {"source": ["cube-sms"]})
        dynamodb = stack.aws.client("dynamodb")
        self._records = RecordStore(dynamodb, stack.outputs["MessagesTableName"], lease=60.0, retention=86400.0)

    def outcomes(self) -> list[Detail]:
        """Return the detail of every event there has been, as often as it was delivered."""
        return [event["detail"] for event in self.events()]

    def catch_up(self, *, timeout: float = 120.0) -> None:
        """Wait until all that has been written to the table so far is published.

        The stream is in order: what comes before a message that ends now is published when that one is.
        """
        marker = send_request(requestId=f"marker-{uuid4()}")
        self._records.finish(self._records.claim(marker).record, State.SENT)
        wait_until(
            "the event of a message that ends now", lambda: self.details(str(marker.request_id)), timeout=timeout
        )


def wait_until_not_published(stack: LocalStack, request_id: str) -> None:
    """Wait until the log says that the outcome of a message could not be published."""

    def logged() -> bool:
        return any(
            entry["message"] == "not published" and entry.get("message_id") == f"default#{request_id}"
            for entry in stack.outcomes()
        )

    wait_until(f"{request_id} not to be published", logged)
