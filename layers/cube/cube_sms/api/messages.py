"""The API's calls: what each does, and its reply."""

from __future__ import annotations

import re
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from cube_sms.delivery import Outcome
from cube_sms.platform import Fault, Obstacle, Reply, is_fifo, problem_of
from cube_sms.request import (
    ACCOUNT_FORM,
    DEFAULT_ACCOUNT,
    is_account,
    is_request_id,
    parse_send_request,
    refuse_too_large,
)

from .replies import (
    NO_SUCH_MESSAGE,
    prefers_async,
    reply_to_cancellation,
    reply_to_faults,
    reply_to_outcome,
    reply_to_queued,
    reply_to_record,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sqs import SQSClient

    from cube_sms.delivery import Cancellation, Sender
    from cube_sms.pacing import ConnectionLeases, GateStatus
    from cube_sms.platform import Settings
    from cube_sms.request import SendRequest

# Kept free at the end of an invocation, for the metrics and the answer.
RESERVED_SECONDS = 1.0

# A string of RFC 8941; its parameters mean nothing here. Ids have no characters that such a string escapes.
_QUOTED = re.compile(r'"([^"]*)"\s*(?:;.*)?')

_NO_SUCH_MESSAGE = problem_of(NO_SUCH_MESSAGE, None, {})
_NO_ACCOUNT = reply_to_faults([Fault("account", f"must be {ACCOUNT_FORM}")])

# How long a call may wait for its slot. If a call has to wait longer, its caller gets an error at once.
PATIENCE = 5.0


class Posted(NamedTuple):
    """The result of a request.

    Parameters
    ----------
    request : SendRequest
        The request.
    outcome : Outcome or None
        The outcome of the attempt to send it; None if it was put onto the queue.
    reply : Reply
        The reply to the caller.
    """

    request: SendRequest
    outcome: Outcome | None
    reply: Reply


class Deleted(NamedTuple):
    """The result of a call that cancels a message.

    Parameters
    ----------
    cancellation : Cancellation or None
        The result of the cancellation; None if there can be no such message.
    reply : Reply
        The reply to the caller.
    """

    cancellation: Cancellation | None
    reply: Reply


class MessagesApi:
    """Sends messages for callers that wait, and queues them for others; shows their records, and cancels messages.

    Parameters
    ----------
    sender : Sender
        Sends one message at a time.
    sqs : SQSClient
        boto3's client.
    leases : ConnectionLeases
        The connections that all workers of the API have together.
    settings : Settings
        The deployment's settings.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        sender: Sender,
        sqs: SQSClient,
        leases: ConnectionLeases,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sender = sender
        self._leases = leases
        self._sqs = sqs
        self._settings = settings
        self._clock = clock

    @property
    def gate_status(self) -> GateStatus:
        """The state of the gate, as last seen."""
        return self._sender.gate.status

    def post(
        self, body: bytes, *, idempotency_key: str | None, prefer: str | None, path: str, time_left: float
    ) -> Posted:
        """Send a message now, or put it onto the queue if the caller prefers that.

        Parameters
        ----------
        body : bytes
            The send request.
        idempotency_key, prefer : str or None
            The headers of these names.
        path : str
            The path that was called.
        time_left : float
            Seconds until Lambda ends the invocation.

        Returns
        -------
        Posted
            Its outcome and its reply.

        Raises
        ------
        InvalidRequestError, RequestConflictError
            If it cannot be sent as it is.
        """
        request = parse_send_request(
            body,
            request_id=_id_of(idempotency_key),
            request_id_name="Idempotency-Key",
            max_content_length=self._settings.max_content_length,
        ).identified(str(uuid.uuid4()))
        if prefers_async(prefer):
            self._enqueue(request)
            # After the message is on the queue, since the record says that it waits there. If a worker has claimed it
            # meanwhile, the record exists already.
            with suppress(Obstacle):
                self._sender.records.note_queued(request)
            return Posted(request, None, reply_to_queued(request, path))
        try:
            outcome = self._send(request, self._clock() + time_left)
        except Obstacle as error:
            outcome = Outcome.stopped_by(error)
        return Posted(request, outcome, reply_to_outcome(request, outcome, self._clock()))

    def _send(self, request: SendRequest, cut_off_at: float) -> Outcome:
        with self._leases.hold(until=cut_off_at):
            try:
                return self._sender.send(request, deadline=cut_off_at - RESERVED_SECONDS)
            finally:
                self._sender.rest()

    def _enqueue(self, request: SendRequest) -> None:
        url = self._settings.send_queue_url
        # A FIFO queue drops the same body within five minutes. The body has the whole request, so a request that
        # conflicts has another body.
        order: Any = {"MessageGroupId": request.device_id} if is_fifo(url) else {}
        body = request.to_json().decode()
        refuse_too_large(request, body)
        self._sqs.send_message(QueueUrl=url, MessageBody=body, **order)

    def get(self, request_id: str, account: str | None) -> Reply:
        """Show the record of a message.

        Parameters
        ----------
        request_id : str
            The request's id, as the path has it.
        account : str or None
            Its account; None for the default one.

        Returns
        -------
        Reply
            The record, 400 if no account can have this name, or 404.
        """
        message_id = _message_id(request_id, account)
        if isinstance(message_id, Reply):
            return message_id
        record = self._sender.records.get(message_id)
        return reply_to_record(record) if record else _NO_SUCH_MESSAGE

    def delete(self, request_id: str, account: str | None) -> Deleted:
        """Cancel a message that has not been sent.

        Parameters
        ----------
        request_id, account : str or None
            As for `get`. A message on the queue may have no record yet.

        Returns
        -------
        Deleted
            The result, and its reply: the record, or 409 if it is too late. If no account can have this name it is 400,
            and if no message can have this id it is 404.
        """
        message_id = _message_id(request_id, account)
        if isinstance(message_id, Reply):
            return Deleted(None, message_id)
        cancellation = self._sender.records.cancel(message_id, reason="cancelled by a call of the API", overrides=True)
        return Deleted(cancellation, reply_to_cancellation(cancellation.record, self._clock()))


def _message_id(request_id: str, account: str | None) -> str | Reply:
    """Return the key of a message's record. If there can be none, return the reply: the table has other items too."""
    account, request_id = DEFAULT_ACCOUNT if account is None else account, unquote(request_id)
    if not is_account(account):
        return _NO_ACCOUNT
    return f"{account}#{request_id}" if is_request_id(request_id) else _NO_SUCH_MESSAGE


def _id_of(idempotency_key: str | None) -> str | None:
    """Return the id in the header, with or without quotes (the IETF's draft); for several ids, one that is invalid."""
    if idempotency_key is None:
        return None
    keys = [key.strip() for key in idempotency_key.split(",")]
    # A client or a proxy may repeat the line.
    return ", ".join(dict.fromkeys(quoted[1] if (quoted := _QUOTED.fullmatch(key)) else key for key in keys))
