"""Sending messages that share a query: claim each, post all with it, record what came of each.

A single message is a group of one.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, NamedTuple, Self

from msgspec.structs import replace

from cube_sms.pacing import Gate
from cube_sms.platform import DAY, Fault, Obstacle, RecordsUnavailableError, SideBySide
from cube_sms.provider import CredentialStore, UnknownAccountError, make_provider
from cube_sms.request import InvalidRequestError

from .asks import Asks
from .claiming import Claiming
from .errors import SpoiledRecordError
from .groups import most_together
from .held import Held
from .looks import content_hash
from .outcome import Outcome
from .posting import Posting
from .querying import Querying
from .records import RecordStore
from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cube_sms.platform import Settings
    from cube_sms.provider import AnyCredentials, AnyProvider, Line
    from cube_sms.request import SendRequest

    from .records import Claim

# Pauses in seconds before the outcome of a POST is written once more, each on top of boto3's own retries.
FINISH_PAUSES = (0.2, 1.0)

# What a claim holds on top of the time for its POSTs: for its writes, and for clocks that differ.
LEASE_MARGIN = 10.0

# Of messages that share a query each has its own claim and its own outcome, written side by side. So many keep a
# processor busy while DynamoDB answers; many more would wait for each other.
WRITES_AT_ONCE = 16

# The share of a lease that the claims of a query's messages may take.
CLAIMING_SHARE = 0.25

_NOT_IN_TIME = "not claimed in time"


class Message(NamedTuple):
    """A message that is to be sent.

    Parameters
    ----------
    request : SendRequest
        The request, with its id.
    restart : str, optional
        The claim or the cancellation that ended it, where it is to start over.
    accepted_at : float, optional
        Seconds since the epoch at which the request was accepted; now if it is not said.
    """

    request: SendRequest
    restart: str | None = None
    accepted_at: float | None = None


class Sender:
    """Sends messages. Safe to share between threads.

    Parameters
    ----------
    provider : Provider
        The provider.
    credentials : CredentialStore
        The accounts' credentials.
    records : RecordStore
        The messages' records.
    gate : Gate
        Keeps all workers within the provider's limits.
    max_attempts : int
        POSTs before a message is given up.
    asks : Asks, optional
        Where it is noted who waits for a device's reply; None if the gateway does not learn of replies.
    connections : int
        POSTs at the same time.
    patience : float
        Seconds a message may wait for its slot.
    keeps_alive : bool
        Whether connections stay open after `rest`.
    has_receipts : bool
        Whether the receipts of messages are to be asked for, where the provider has any.
    clock : Callable[[], float]
        Seconds since the epoch.
    monotonic : Callable[[], float]
        Seconds on a clock that nobody sets.
    sleep : Callable[[float], None]
        Waits a number of seconds.
    """

    def __init__(
        self,
        provider: AnyProvider,
        credentials: CredentialStore,
        records: RecordStore,
        gate: Gate,
        *,
        max_attempts: int,
        asks: Asks | None = None,
        connections: int = 1,
        patience: float = math.inf,
        keeps_alive: bool = True,
        has_receipts: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._credentials = credentials
        self.records = records
        self.gate = gate
        self._max_attempts = max_attempts
        self._line = Semaphore(connections)
        self._keeps_alive = keeps_alive
        self._has_receipts = has_receipts
        self._clock = clock
        self._sleep = sleep
        self._calls = SideBySide(WRITES_AT_ONCE)
        self._claiming = Claiming(records, asks, provider)
        querying = Querying(provider, gate, patience=patience, clock=clock, monotonic=monotonic, sleep=sleep)
        self._posting = Posting(querying, credentials, gate)
        self.longest_send = 2 * provider.longest_post + sum(FINISH_PAUSES)
        """The most seconds one `send` takes where AWS answers at once and no connection or slot is waited for."""

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        secrets_manager: SecretsManagerClient,
        dynamodb: DynamoDBClient,
        *,
        connections: int = 1,
        patience: float = math.inf,
    ) -> Self:
        """Make a sender for a deployment.

        Parameters
        ----------
        settings : Settings
            The deployment's settings.
        secrets_manager, dynamodb
            boto3's clients.
        connections : int
            POSTs at the same time.
        patience : float
            Seconds a message may wait for its slot, where its sender waits too and others come rarely.

        Returns
        -------
        Sender
            A sender with a client and stores of its own.
        """
        provider = make_provider(settings, connections)
        credentials = CredentialStore(secrets_manager, settings.cube_secret_id, max_age=settings.secret_max_age)
        records = RecordStore(
            dynamodb,
            settings.messages_table,
            lease=2 * provider.longest_post + LEASE_MARGIN,
            retention=settings.record_retention_days * DAY,
        )
        gate = Gate.from_settings(
            settings,
            dynamodb,
            longest_post=provider.longest_post,
            connections=connections,
            is_passing=patience < math.inf,
        )
        return cls(
            provider,
            credentials,
            records,
            gate,
            max_attempts=settings.max_attempts,
            asks=Asks.if_any(lambda: dynamodb, settings.messages_table, settings.replies),
            connections=connections,
            patience=patience,
            keeps_alive=not settings.cube_max_connections,
            has_receipts=settings.receipts,
        )

    def rest(self) -> None:
        """Leave nothing behind that the provider counts, at the end of an invocation.

        Lambda keeps more environments than it runs at a time, and a connection counts while it is idle.
        """
        if not self._keeps_alive:
            self._provider.close()

    def most_together(self, account: str) -> int:
        """Return how many messages of an account can share a query, as far as its credentials are known."""
        return most_together(self._provider, self._credentials, account)

    def send(
        self,
        request: SendRequest,
        *,
        restart: str | None = None,
        accepted_at: float | None = None,
        deadline: float = math.inf,
    ) -> Outcome:
        """Try once to send a message: claim it, post it, record what came of it.

        Parameters
        ----------
        request : SendRequest
            The message, with its id.
        restart : str, optional
            The claim or the cancellation that ended it, where it is to start over.
        accepted_at : float, optional
            Seconds since the epoch at which the request was accepted; now if it is not said.
        deadline : float
            Seconds since the epoch until when all has to be done.

        Returns
        -------
        Outcome
            Whatever came of it.

        Raises
        ------
        InvalidRequestError
            Where there is no such account, or its dialect has no form for the message.
        RequestConflictError
            Where the id belongs to a different request.
        SpoiledRecordError
            If somebody has changed the message's record so that it cannot be read. Nothing is posted.
        """
        (result,) = self.send_together([Message(request, restart, accepted_at)], deadline=deadline)
        try:
            if isinstance(result, Exception):
                raise result
            return result
        finally:
            # An error's traceback would hold the error: what both hold would live for long.
            del result

    def send_together(self, messages: Sequence[Message], *, deadline: float = math.inf) -> list[Outcome | Exception]:
        """Try once to send messages that may share a query. Each has a claim, an outcome and a record of its own.

        Parameters
        ----------
        messages : sequence of Message
            At least one, and no more than `most_together`.
        deadline : float
            Seconds since the epoch until when all has to be done.

        Returns
        -------
        list of Outcome or Exception
            What came of each, or what `send` would raise for it.
        """
        results: dict[int, Outcome | Exception] = {}
        late: dict[int, Future[Claim]] = {}
        # Who stands in line for a connection has claimed its messages already, so that no connection is idle meanwhile.
        # With one connection messages keep their order; with more, none waits for the claims of the others.
        with ExitStack() as taken:
            with self._line:
                try:
                    credentials = self._admit(messages[0].request)
                except InvalidRequestError as error:
                    return [InvalidRequestError(error.faults, each.request.request_id or None) for each in messages]
                except Obstacle as error:
                    return [_stopped_by(error)] * len(messages)
                for_account = partial(self._claiming.claim, credentials=credentials)
                claims = self._calls.begin(for_account, messages, seconds=self.records.lease * CLAIMING_SHARE)
                held: dict[int, Held] = {}
                for number, (message, claim) in enumerate(zip(messages, claims, strict=True)):
                    if not (claim.done() or claim.cancel()):
                        # Its write is under way, and the others go without it.
                        late[number] = claim
                    elif isinstance(found := self._found(message, claim, deadline), Held):
                        held[number] = found
                    else:
                        results[number] = found
                if held:
                    line = taken.enter_context(self._provider.connection(credentials))
            if held:
                results |= self._post(held, credentials, line, deadline, release=taken.close)
        for number, claim in late.items():
            # If it has come about all the same, it is handed back.
            claim.exception()
            found = self._found(messages[number], claim, deadline)
            if isinstance(found, Held):
                found.note(state=State.RETRYING, error=RecordsUnavailableError(_NOT_IN_TIME))
                found = self._finish(found, deadline)
            results[number] = found
        return [results[number] for number in range(len(messages))]

    def _admit(self, request: SendRequest) -> AnyCredentials:
        """Return the credentials for messages like this one, unless none of them can be sent."""
        self.gate.check(request.account)
        try:
            credentials = self._credentials.get(request.account)
        except UnknownAccountError as error:
            fault = Fault("account", "has no credentials in this deployment")
            raise InvalidRequestError([fault]) from error
        # If the account's dialect has no form for it, that is said before anybody claims it.
        self._provider.prepare(credentials, [request])
        return credentials

    def _found(self, message: Message, claiming: Future[Claim], deadline: float) -> Held | Outcome | Exception:
        """Return a message that is ours to post, or what is in its way."""
        if claiming.cancelled():
            return _stopped_by(RecordsUnavailableError(_NOT_IN_TIME))
        error = claiming.exception()
        if isinstance(error, Obstacle):
            return _stopped_by(error)
        if isinstance(error, Exception):
            return error
        claim = claiming.result()
        if not claim.is_held:
            state = claim.record.state if claim.record.state.is_final else State.SENDING
            return Outcome(state=state, record=claim.record, is_from_record=not claim.has_ended)
        held = Held(message.request, claim.record, Outcome(state=State.SENDING, record=claim.record))
        if claim.record.attempts > self._max_attempts:
            # Its workers died of it, one after the other.
            held.note(state=State.RETRYING)
            return self._finish(held, deadline)
        return held

    def _post(
        self,
        held: Mapping[int, Held],
        credentials: AnyCredentials,
        line: Line,
        deadline: float,
        *,
        release: Callable[[], None],
    ) -> dict[int, Outcome | Exception]:
        """Post messages, and record what came of them; release the line as soon as nothing more goes over it."""
        # The last moment for a POST: after its lease another worker may post it.
        lease_until = min(each.record.lease_until for each in held.values())
        latest = min(lease_until, deadline - sum(FINISH_PAUSES)) - self._provider.longest_post
        is_followed = self._has_receipts and self._provider.lists(credentials) is not None
        finish = partial(self._finish_or_fail, deadline=deadline, is_followed=is_followed)
        recorded: dict[Held, Outcome | Exception] = {}
        try:
            for settled in self._posting.post([*held.values()], credentials, over=line, latest=latest):
                if len(recorded) + len(settled) == len(held):
                    release()
                finished = self._calls.each(finish, settled)
                recorded |= zip(settled, finished, strict=True)
        except Exception as error:  # noqa: BLE001 - the affair of these messages, whose claims lapse
            return {number: recorded.get(each, error) for number, each in held.items()}
        return {number: recorded[each] for number, each in held.items()}

    def _finish_or_fail(self, held: Held, deadline: float, *, is_followed: bool) -> Outcome | Exception:
        """Record what came of a message, whatever becomes of the others of its group."""
        try:
            return self._finish(held, deadline, is_followed=is_followed)
        except Exception as error:  # noqa: BLE001
            return error

    def _finish(self, held: Held, deadline: float, *, is_followed: bool = False) -> Outcome:
        outcome, claimed = held.outcome, held.record
        # The claim counted one POST.
        attempts = claimed.attempts - 1 + len(outcome.posts)
        unsettled = claimed.unsettled or any(post.outcome == "unknown" for post in outcome.posts)
        state = outcome.state
        if state is State.EXPIRED and unsettled:
            state = State.UNKNOWN
        elif state is State.RETRYING and attempts >= self._max_attempts:
            state = State.FAILED
        for pause in (*FINISH_PAUSES, None):
            try:
                record = self.records.finish(
                    claimed,
                    state,
                    attempts=attempts,
                    code=outcome.code,
                    message=outcome.message,
                    job_id=outcome.job_id,
                    content_hash=content_hash(held.request.message_type, held.request.texts[0])
                    if is_followed
                    else None,
                    reason=str(outcome.error) if outcome.error else None,
                    unsettled=unsettled,
                )
            except RecordsUnavailableError as error:
                if pause is None or self._clock() + pause > deadline:
                    # The claim lapses, and whoever finds it then does not know what we know.
                    return replace(outcome, state=State.SENDING, error=error)
                self._sleep(pause)
            except SpoiledRecordError as error:
                return replace(outcome, state=State.SENDING, error=error)
            else:
                break
        # Where we overran our lease, the message is another worker's and so is its state.
        return replace(outcome, state=record.state, record=record)


def _stopped_by(error: Obstacle) -> Outcome | Obstacle:
    """Return what comes of a message that did not get as far as a claim."""
    return Outcome.stopped_by(error) if error.state else error
