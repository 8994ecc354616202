"""Receiver: verifies a callback, and publishes and keeps its reply before it answers the provider."""

from __future__ import annotations

import base64
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from cube_sms.delivery import Taken
from cube_sms.platform import AwsUnavailableError, Reply, body_of, header_of, problem_of, reply_to_error, sendable

from .accounts import MEMBERS, CallbackAccounts
from .forms import read_received
from .refusals import Refusal
from .verification import is_genuine, is_timely, matching, read_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_sqs import SQSClient

    from cube_sms.delivery import Received, ReplyTaker
    from cube_sms.provider import CredentialStore

    from .accounts import CallbackAccount

MAX_BODY = 65_536
"""Bytes of a callback at most. A message has some hundred. EventBridge bills so many bytes as one event."""

# The token or key may have changed since the function read the secret.
_MENDED_BY_ANOTHER_SECRET = (Refusal.UNKNOWN_TOKEN, Refusal.UNSIGNED, Refusal.NO_KEY, Refusal.FORGED)


class Callback(NamedTuple):
    """A call by the provider. Logs and errors must not show any of it.

    Parameters
    ----------
    token : str
        The secret at the end of its path.
    header : Callable[[str], str or None]
        Returns a header.
    body : bytes
        The body.
    """

    token: str
    header: Callable[[str], str | None]
    body: bytes

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Callback:
        """Return the call of an event from API Gateway.

        Parameters
        ----------
        event : Mapping[str, Any]
            The event.

        Returns
        -------
        Callback
            The call.
        """
        return cls(event["pathParameters"]["token"], partial(header_of, event), body_of(event))


class Receipt(NamedTuple):
    """The result for a callback.

    Parameters
    ----------
    account : str, optional
        Account that has its token; None if no account has it.
    refusal : Refusal, optional
        Reason for a refusal.
    received : Received, optional
        Its message. If it is neither refused nor has a message, its form is unknown, and it waits on a queue.
    taken : Taken
        The result for its message. If the event was not published, the provider has to repeat the callback.
    faults : tuple of str
        New faults of accounts in the secret.
    """

    account: str | None
    refusal: Refusal | None = None
    received: Received | None = None
    taken: Taken = Taken()
    faults: tuple[str, ...] = ()

    @property
    def reply(self) -> Reply:
        """The answer to the provider, which repeats the callback after any other than 200."""
        if self.refusal:
            return problem_of(self.refusal.answer, None, {})
        return reply_to_error(AwsUnavailableError()) if self.taken.error else Reply(200, {"status": "received"})


class CallbackReceiver:
    """Receives callbacks.

    Parameters
    ----------
    credentials : CredentialStore
        Tokens and keys of the accounts.
    replies : ReplyTaker
        Takes messages from devices.
    sqs : SQSClient
        boto3's client.
    unknown_queue_url : str
        URL of the queue for callbacks of an unknown form.
    clock : Callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        credentials: CredentialStore,
        replies: ReplyTaker,
        sqs: SQSClient,
        unknown_queue_url: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._replies = replies
        self._sqs = sqs
        self._unknown_queue_url = unknown_queue_url
        self._clock = clock
        self._told: tuple[str, ...] = ()

    def receive(self, callback: Callback) -> Receipt:
        """Verify a callback, and publish and keep its message.

        Parameters
        ----------
        callback : Callback
            The callback.

        Returns
        -------
        Receipt
            The result.

        Raises
        ------
        CredentialsError
            If the secret is unreadable.
        SpoiledRecordError, RecordsUnavailableError
            If the device's item is unreadable, or DynamoDB is unavailable.
        BotoCoreError, ClientError
            If the queue does not take a callback of an unknown form.
        """
        accounts = self._accounts()
        receipt = self._verified(callback, accounts)
        if receipt.refusal in _MENDED_BY_ANOTHER_SECRET:
            accounts = self._accounts(afresh=True)
            receipt = self._verified(callback, accounts)
        receipt = receipt._replace(faults=self._news(accounts))
        if receipt.refusal or not receipt.account:
            return receipt
        received = read_received(receipt.account, callback.body)
        if not received:
            self._keep(receipt.account, callback.body)
            return receipt
        return receipt._replace(received=received, taken=self._replies.take(received.device, [received]))

    def _accounts(self, *, afresh: bool = False) -> CallbackAccounts:
        return CallbackAccounts.of(self._credentials.members(*MEMBERS, afresh=afresh))

    def _news(self, accounts: CallbackAccounts) -> tuple[str, ...]:
        # Log each fault once: otherwise any caller could fill the log.
        news = tuple(fault for fault in accounts.faults if fault not in self._told)
        self._told = accounts.faults
        return news

    def _verified(self, callback: Callback, accounts: CallbackAccounts) -> Receipt:
        account = matching(callback.token, accounts.tokens)
        if not account:
            return Receipt(None, Refusal.UNKNOWN_TOKEN)
        return Receipt(account.name, self._refusal(callback, account))

    def _refusal(self, callback: Callback, account: CallbackAccount) -> Refusal | None:
        if len(callback.body) > MAX_BODY:
            return Refusal.TOO_LARGE
        if not callback.body:
            return Refusal.MALFORMED
        try:
            signature = read_signature(callback.header)
            if not signature:
                return Refusal.UNSIGNED if account.key else None
            if not (account.key and account.key_id):
                return Refusal.NO_KEY
            if not is_genuine(signature, callback.body, account.key_id, account.key):
                return Refusal.FORGED
        except ValueError:
            return Refusal.MALFORMED
        return None if is_timely(signature, self._clock()) else Refusal.STALE

    def _keep(self, account: str, body: bytes) -> None:
        text = body.decode(errors="replace")
        is_text = text.encode() == body and sendable(text) == text
        attributes = {"account": account, "encoding": "text" if is_text else "base64"}
        self._sqs.send_message(
            QueueUrl=self._unknown_queue_url,
            MessageBody=text if is_text else base64.b64encode(body).decode(),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
