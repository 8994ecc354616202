"""Sending one message: claim it, post it, record what came of it."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from functools import partial
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import replace

from cube_sms.pacing import Gate
from cube_sms.platform import DAY, Fault, Obstacle, RecordsUnavailableError
from cube_sms.provider import (
    CredentialStore,
    CubeError,
    CubeUnavailable,
    UnknownAccountError,
    make_provider,
)
from cube_sms.request import InvalidRequestError

from .errors import SpoiledRecordError
from .records import RecordStore
from .states import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cube_sms.pacing import Slot
    from cube_sms.platform import Settings
    from cube_sms.provider import AnyProvider, CubeAnswer, Line, Query
    from cube_sms.request import SendRequest

    from .records import Record

# Pauses in seconds before the outcome of a POST is written once more, each on top of boto3's own retries.
FINISH_PAUSES = (0.2, 1.0)

# What a claim holds on top of the time for its POSTs: for its writes, and for clocks that differ.
LEASE_MARGIN = 10.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt to send a message came to.

    Parameters
    ----------
    state : State
        The state of the message now. In `State.SENDING` another worker has it, or what became of it could not be
        recorded.
    record : Record, optional
        Its record, where it was reached.
    is_from_record : bool
        Whether the message was not tried, since its record says what became of it, or who has it.
    posts : tuple of CubeAnswer or CubeError
        What each POST came to: none, one, or two where the first was refused for its credentials.
    error : Obstacle, optional
        What stands between the message and `State.SENT`.
    gate_wait : float
        Seconds it waited for its slots.
    stale_credentials : bool
        Whether the last good credentials were used because Secrets Manager was away.
    """

    state: State
    record: Record | None = None
    is_from_record: bool = False
    posts: tuple[CubeAnswer | CubeError, ...] = ()
    error: Obstacle | None = None
    gate_wait: float = 0.0
    stale_credentials: bool = False

    @classmethod
    def stopped_by(cls, error: Obstacle) -> Self:
        """Return what an attempt came to that did not get as far as a claim.

        Parameters
        ----------
        error : Obstacle
            What stood in the message's way.

        Returns
        -------
        Outcome
            The state that it leads to.

        Raises
        ------
        Obstacle
            The error itself, where it refuses the message.
        """
        if not error.state:
            raise error
        return cls(state=State[error.state], error=error)

    @property
    def attempts(self) -> int:
        """How often the message has been posted."""
        return self.record.attempts if self.record else len(self.posts)

    @property
    def code(self) -> str | None:
        """The provider's code in its last answer."""
        if self.posts:
            return self.posts[-1].code
        return self.record.code if self.record else None

    @property
    def message(self) -> str | None:
        """The provider's words in its last answer, where they are kept."""
        if self.posts:
            return self.posts[-1].message
        return self.record.message if self.record else None

    @property
    def retry_after(self) -> float | None:
        """Seconds the provider asks to wait."""
        return self.error.retry_after if self.error else None


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
    connections : int
        POSTs at the same time.
    patience : float
        Seconds a message may wait for its slot.
    keeps_alive : bool
        Whether connections stay open after `rest`.
    clock : Callable[[], float]
        Seconds since the epoch.
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
        connections: int = 1,
        patience: float = math.inf,
        keeps_alive: bool = True,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._credentials = credentials
        self.records = records
        self.gate = gate
        self._max_attempts = max_attempts
        self._line = Semaphore(connections)
        self._patience = patience
        self._keeps_alive = keeps_alive
        self._clock = clock
        self._sleep = sleep
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
        gate = Gate(
            dynamodb,
            settings.messages_table,
            qps=settings.cube_max_qps,
            quota=settings.cube_daily_quota,
            reserve_percent=settings.cube_quota_reserve_percent,
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
            connections=connections,
            patience=patience,
            keeps_alive=not settings.cube_max_connections,
        )

    def rest(self) -> None:
        """Leave nothing behind that the provider counts, at the end of an invocation.

        Lambda keeps more environments than it runs at a time, and a connection counts while it is idle.
        """
        if not self._keeps_alive:
            self._provider.close()

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
            Where there is no such account.
        RequestConflictError
            Where the id belongs to a different request.
        SpoiledRecordError
            If somebody has changed the message's record so that it cannot be read. Nothing is posted.
        """
        # Who stands in line for a connection has claimed its message already, so that no connection is idle meanwhile.
        # With one connection messages keep their order; with more, none waits for the claims of the others.
        with ExitStack() as taken:
            with self._line:
                try:
                    self.gate.check(request.account)
                    credentials = self._credentials.get(request.account)
                    query = self._provider.prepare(credentials, [request])
                    claim = self.records.claim(request, restart=restart, accepted_at=accepted_at)
                except UnknownAccountError as error:
                    fault = Fault("account", "has no credentials in this deployment")
                    raise InvalidRequestError([fault], request.request_id or None) from error
                except Obstacle as error:
                    return Outcome.stopped_by(error)
                if not claim.is_held:
                    state = claim.record.state if claim.record.state.is_final else State.SENDING
                    return Outcome(state=state, record=claim.record, is_from_record=not claim.has_ended)
                if claim.record.attempts > self._max_attempts:
                    # Its workers died of it, one after the other.
                    return self._finish(Outcome(state=State.RETRYING, record=claim.record), claim.record)
                line = taken.enter_context(self._provider.connection(credentials))
            outcome = self._post_claimed(line, query, request, claim.record, deadline)
        return self._finish(outcome, claim.record)

    def _post_claimed(
        self, line: Line, query: Query[Any], request: SendRequest, record: Record, deadline: float
    ) -> Outcome:
        # The last moment for a POST: after its lease another worker may post it.
        latest = min(record.lease_until, deadline - sum(FINISH_PAUSES)) - self._provider.longest_post
        outcome = Outcome(state=State.SENDING, record=record)
        outcome = self._post(line, query, request, outcome, latest)
        if outcome.error and outcome.error.renews_credentials:
            try:
                credentials = self._credentials.refresh(request.account, query.credentials)
                query = self._provider.prepare(credentials, [request])
            except Obstacle as error:
                # Refused it is the next time, before its claim: its account has just moved to another dialect.
                return replace(outcome, error=error)
            return self._post(line, query, request, outcome, latest)
        return outcome

    def _post(
        self,
        line: Line,
        query: Query[Any],
        request: SendRequest,
        outcome: Outcome,
        latest: float,
    ) -> Outcome:
        outcome = replace(outcome, error=None, stale_credentials=query.credentials.stale)
        if self._has_expired(request):
            return replace(outcome, state=State.EXPIRED)
        asked_at = self._clock()
        slot: Slot | None = None
        post: CubeAnswer | CubeError
        try:
            # With other credentials it is still the same query of its account.
            account = None if outcome.posts else request.account
            is_bulk = request.priority == "bulk"
            slot = self.gate.take(latest=min(latest, asked_at + self._patience), account=account, is_bulk=is_bulk)
            while not self.gate.wait(slot, line.open):
                slot = self.gate.take(latest=latest, is_bulk=is_bulk)
        except CubeError as error:
            post = error
        except Obstacle as error:
            return replace(outcome, state=State.RETRYING, error=error)
        else:
            # Nothing that takes a while comes between these looks and the POST.
            now = self._clock()
            outcome = replace(outcome, gate_wait=outcome.gate_wait + now - asked_at)
            if self._has_expired(request):
                self.gate.give_back(slot)
                return replace(outcome, state=State.EXPIRED)
            if now > latest:
                self.gate.give_back(slot)
                return replace(outcome, state=State.RETRYING, error=CubeUnavailable("not posted: no time left"))
            post = self._send(line, query, slot)
        self.gate.report(slot, post, account=request.account)
        outcome = replace(outcome, posts=(*outcome.posts, post))
        if not isinstance(post, CubeError):
            return replace(outcome, state=State.SENT)
        is_done = post.outcome == "unknown" and request.delivery == "at-most-once"
        return replace(outcome, state=State.UNKNOWN if is_done else State[str(post.state)], error=post)

    def _send(self, line: Line, query: Query[Any], slot: Slot | None) -> CubeAnswer | CubeError:
        left = partial(self.gate.left, slot)
        try:
            return self._provider.send(query, over=line, left=left)
        except CubeError as error:
            return error
        except BaseException:
            # It may have left, and would otherwise be taken to be about to, for ever.
            left()
            raise

    def _has_expired(self, request: SendRequest) -> bool:
        return bool(request.expires_at and request.expires_at.timestamp() <= self._clock())

    def _finish(self, outcome: Outcome, claimed: Record) -> Outcome:
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
                    reason=str(outcome.error) if outcome.error else None,
                    unsettled=unsettled,
                )
            except RecordsUnavailableError as error:
                if pause is None:
                    # The claim lapses, and whoever finds it then does not know what we know.
                    return replace(outcome, state=State.SENDING, error=error)
                self._sleep(pause)
            except SpoiledRecordError as error:
                return replace(outcome, state=State.SENDING, error=error)
            else:
                break
        # Where we overran our lease, the message is another worker's and so is its state.
        return replace(outcome, state=record.state, record=record)
