"""One query at a time to the provider, within its limits."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from cube_sms.pacing import ConnectionLeases, Gate
from cube_sms.provider import CredentialStore, CubeError, CubeOutcomeUnknown, make_provider

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from cube_sms.pacing import GateStatus, Slot
    from cube_sms.platform import FollowUpSettings
    from cube_sms.provider import AnyCredentials, AnyProvider, Line, ListPage, Lists

    from .shift import Shift

    type Question[Item] = Callable[[Lists[Any, Any], AnyCredentials, Line, Callable[[], None]], ListPage[Item]]

# How long a query waits for its slot, in seconds. A caller of the API may wait for its connection meanwhile.
PATIENCE = 2.0

# What a query takes at most beside that and itself.
MARGIN = 5.0


class ShareSpentError(Exception):
    """The share of the quota is used up for now."""


class NoListsError(Exception):
    """The account's dialect tells nothing of its messages."""


class Asker:
    """Asks the provider, as bulk messages are sent: all else goes before it.

    A query has one of the connections that callers of the API share, for as long as it takes.

    Parameters
    ----------
    provider : Provider
        The provider.
    credentials : CredentialStore
        The accounts' credentials.
    gate : Gate
        Keeps all workers within the provider's limits.
    leases : ConnectionLeases
        The connections that callers of the API share.
    shift : Shift
        How much of the day's quota there is.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        provider: AnyProvider,
        credentials: CredentialStore,
        gate: Gate,
        leases: ConnectionLeases,
        shift: Shift,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._provider = provider
        self._credentials = credentials
        self._gate = gate
        self._leases = leases
        self._shift = shift
        self._clock = clock
        self.longest = PATIENCE + provider.longest_post + MARGIN
        """The most seconds that one `ask` takes if AWS answers at once."""

    @classmethod
    def from_settings(
        cls, settings: FollowUpSettings, secrets_manager: SecretsManagerClient, dynamodb: DynamoDBClient, shift: Shift
    ) -> Self:
        """Make one for a deployment.

        Parameters
        ----------
        settings : FollowUpSettings
            The deployment's settings.
        secrets_manager, dynamodb
            boto3's clients.
        shift : Shift
            How much of the day's quota there is.

        Returns
        -------
        Asker
            One with a client and stores of its own.
        """
        provider = make_provider(settings, 1)
        gate = Gate(
            dynamodb,
            settings.messages_table,
            qps=settings.cube_max_qps,
            quota=settings.cube_daily_quota,
            reserve_percent=settings.cube_quota_reserve_percent,
            longest_post=provider.longest_post,
            is_passing=True,
        )
        return cls(
            provider,
            CredentialStore(secrets_manager, settings.cube_secret_id, max_age=settings.secret_max_age),
            gate,
            ConnectionLeases(dynamodb, settings.messages_table, settings.api_connections),
            shift,
        )

    @property
    def gate_status(self) -> GateStatus:
        """What there is to tell of the gate."""
        return self._gate.status

    def ask_all[Item](self, account: str, question: Callable[[int], Question[Item]]) -> list[Item]:
        """Ask for a whole list, page by page.

        Parameters
        ----------
        account : str
            Whose messages it is about.
        question : Callable[[int], Question]
            Returns the question for a page, counted from 1.

        Returns
        -------
        list of Receipt or Heard
            All items that can be read.

        Raises
        ------
        CubeOutcomeUnknown
            If the list has changed while it was read.
        ShareSpentError, NoListsError, NotNowError, CubeError, CredentialsError, RecordsUnavailableError
            As for `ask`.
        """
        found: list[Item] = []
        count, total, number = 0, 1, 0
        while count < total:
            number += 1
            page = self.ask(account, question(number))
            if (number > 1 and page.total != total) or (page.total > count and not page.listed):
                # A message that has moved to another page would be taken for two.
                raise CubeOutcomeUnknown("the list has changed while it was read")
            total = page.total
            count += page.listed
            found += page.items
        return found

    def ask[Item](self, account: str, question: Question[Item]) -> ListPage[Item]:
        """Ask one question.

        Parameters
        ----------
        account : str
            Whose messages it is about.
        question : Question
            Asks it, given what can be asked, the account's credentials, an open line and what to call when it has left.

        Returns
        -------
        ListPage
            The answer.

        Raises
        ------
        ShareSpentError
            If the share of the quota is used up for now.
        NoListsError
            If the account's dialect tells nothing of its messages.
        NotNowError
            If the gate is closed, or there is no slot or no connection in time.
        CubeError, CredentialsError
            If the provider gives no answer, or the account has no credentials.
        RecordsUnavailableError
            If DynamoDB is away.
        """
        credentials = self._credentials.get(account)
        lists = self._provider.lists(credentials)
        if lists is None:
            raise NoListsError
        with self._leases.hold(until=self._clock() + self.longest):
            try:
                with self._provider.connection(credentials) as line:
                    slot = self._slot(line)
                    return self._ask(partial(question, lists, credentials, line), slot)
            except CubeError as error:
                if error.renews_credentials:
                    # The next question has fresh ones.
                    self._credentials.refresh(account, credentials)
                raise
            finally:
                # The provider counts a connection that is idle, and the next question may be a while off.
                self._provider.close()

    def _slot(self, line: Line) -> Slot | None:
        """Wait for a slot of the gate, with the line open, and count the query."""
        latest = self._clock() + PATIENCE
        if not self._shift.count():
            raise ShareSpentError
        slot = self._gate.take(latest=latest, is_bulk=True)
        try:
            while not self._gate.wait(slot, line.open):
                slot = self._gate.take(latest=latest, is_bulk=True)
        except CubeError as error:
            # No connection came about.
            self._gate.report(slot, error)
            raise
        return slot

    def _ask[Item](self, question: Callable[[Callable[[], None]], ListPage[Item]], slot: Slot | None) -> ListPage[Item]:
        left = partial(self._gate.left, slot)
        try:
            page = question(left)
        except CubeError as error:
            self._gate.report(slot, error)
            raise
        except BaseException:
            # It may have left, and would otherwise be taken to be about to, for ever.
            left()
            raise
        self._gate.report(slot, page.answer)
        return page
