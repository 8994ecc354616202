"""Claiming messages before they are posted, and noting which of them wait for the device's reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.platform import Fault, Obstacle
from cube_sms.request import InvalidRequestError

from .asks import Device
from .states import State

if TYPE_CHECKING:
    from cube_sms.provider import AnyCredentials, AnyProvider
    from cube_sms.request import SendRequest

    from .asks import Asks
    from .records import Claim, Record, RecordStore
    from .sending import Message


class Claiming:
    """Claims messages. Safe to share between threads.

    Parameters
    ----------
    records : RecordStore
        The messages' records.
    asks : Asks or None
        The requests that wait for a reply; None if the gateway gets no replies.
    provider : Provider
        The provider.
    """

    def __init__(self, records: RecordStore, asks: Asks | None, provider: AnyProvider) -> None:
        self._records = records
        self._asks = asks
        self._provider = provider

    def claim(self, message: Message, credentials: AnyCredentials) -> Claim:
        """Claim a message: see `RecordStore.claim`.

        Parameters
        ----------
        message : Message
            The message.
        credentials : Credentials
            The credentials of its account.

        Returns
        -------
        Claim
            Its record, and whether the caller holds the claim.

        Raises
        ------
        InvalidRequestError
            If the request waits for a reply, and the gateway gets no replies for this account.
        Obstacle
            As `RecordStore.claim`, or if the gateway cannot note that the request waits. Then the claim is released.
        """
        request = message.request
        if request.await_reply and (why := self._why_no_reply(request, credentials)):
            raise InvalidRequestError([Fault("awaitReply", why)], request.request_id or None)
        claim = self._records.claim(request, restart=message.restart, accepted_at=message.accepted_at)
        if request.await_reply and claim.is_held and self._asks:
            self._expect_reply(request, claim.record, self._asks)
        return claim

    def _why_no_reply(self, request: SendRequest, credentials: AnyCredentials) -> str | None:
        if not self._asks:
            return "cannot be met: the parameter Replies of this deployment is off"
        if self._asks.is_polled and self._provider.lists(credentials) is None:
            return f"cannot be met: Replies is poll, and account {request.account} cannot be asked for replies"
        return None

    def _expect_reply(self, request: SendRequest, claimed: Record, asks: Asks) -> None:
        # Before the POST: the reply may arrive before the record says that the message was sent.
        try:
            device = Device(request.account, request.device_id)
            asks.expect(device, str(request.request_id), may_be_sent=claimed.unsettled)
        except Obstacle:
            # The message was not posted. A claim that lapses would say that it may have been.
            self._records.finish(claimed, State.RETRYING, attempts=claimed.attempts - 1)
            raise
