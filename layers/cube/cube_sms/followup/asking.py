"""Queries of the provider's lists, one at a time and within its limits."""

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
    from cube_sms.provider import AnyCredentials, AnyProvider, Line, Listing, ListPage, Lists

    from .shift import Shift

    type Which[Item] = Callable[[Lists[Any, Any]], Callable[..., ListPage[Item]]]

# Seconds that a query waits for its slot. It holds a connection meanwhile, which a caller of the API may need.
PATIENCE = 2.0

# Seconds of a query at most, in addition to its wait and its HTTP request.
MARGIN = 5.0


class ShareSpentError(Exception):
    """The share of the quota is used up for now."""


class NoListsError(Exception):
    """The account's dialect has no lists of messages."""


class Asker:
    """Queries the provider with the priority of bulk messages: all others go first.

    A query holds one of the connections that callers of the API share.

    Parameters
    ----------
    provider : Provider
        The provider.
    credentials : CredentialStore
        The accounts' credentials.
    gate : Gate
        Keeps all workers within the provider's rate and quota.
    leases : ConnectionLeases
        The connections that callers of the API share.
    shift : Shift
        Counts the queries within their share of the quota.
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
        """The most seconds that one `ask` takes, if AWS answers immediately."""

    @classmethod
    def from_settings(
        cls, settings: FollowUpSettings, secrets_manager: SecretsManagerClient, dynamodb: DynamoDBClient, shift: Shift
    ) -> Self:
        """Create one for a deployment.

        Parameters
        ----------
        settings : FollowUpSettings
            The deployment's settings.
        secrets_manager, dynamodb
            boto3's clients.
        shift : Shift
            Counts the queries within their share of the quota.

        Returns
        -------
        Asker
            One with its own client and stores.
        """
        provider = make_provider(settings, 1)
        return cls(
            provider,
            CredentialStore(secrets_manager, settings.cube_secret_id, max_age=settings.secret_max_age),
            Gate.from_settings(settings, dynamodb, longest_post=provider.longest_post, is_passing=True),
            ConnectionLeases(dynamodb, settings.messages_table, settings.api_connections),
            shift,
        )

    @property
    def gate_status(self) -> GateStatus:
        """The state of the gate, for logs and metrics."""
        return self._gate.status

    def ask_all[Item](
        self, account: str, which: Which[Item], listing: Callable[[AnyCredentials, int], Listing[Any]]
    ) -> list[Item]:
        """Query a whole list, page by page.

        Parameters
        ----------
        account : str
            Account of the messages.
        which : Callable[[Lists], Callable]
            Returns one of the lists of the account's dialect.
        listing : Callable[[Credentials, int], Listing]
            Returns what to query for a page, counted from 1, with the account's credentials.

        Returns
        -------
        list of Receipt or Heard
            All readable items.

        Raises
        ------
        CubeOutcomeUnknown
            If the list changed during the queries.
        ShareSpentError, NoListsError, NotNowError, CubeError, CredentialsError, RecordsUnavailableError
            As for `ask`.
        """
        found: list[Item] = []
        count, total, number = 0, 1, 0
        while count < total:
            number += 1
            page = self.ask(account, which, listing, number)
            if (number > 1 and page.total != total) or (page.total > count and not page.listed):
                # A message that moved to another page would count twice.
                raise CubeOutcomeUnknown("the list changed during the queries")
            total = page.total
            count += page.listed
            found += page.items
        return found

    def ask[Item](
        self, account: str, which: Which[Item], listing: Callable[[AnyCredentials, int], Listing[Any]], page: int
    ) -> ListPage[Item]:
        """Make one query.

        Parameters
        ----------
        account : str
            Account of the messages.
        which, listing
            As for `ask_all`.
        page : int
            The page, counted from 1.

        Returns
        -------
        ListPage
            The answer.

        Raises
        ------
        ShareSpentError
            If the share of the quota is used up for now.
        NoListsError
            If the account's dialect has no lists of messages.
        NotNowError
            If the gate is closed, or no slot or connection is free in time.
        CubeError, CredentialsError
            If the provider does not answer, or the account has no credentials.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        credentials = self._credentials.get(account)
        lists = self._provider.lists(credentials)
        if lists is None:
            raise NoListsError
        query = partial(which(lists), listing(credentials, page))
        with self._leases.hold(until=self._clock() + self.longest):
            try:
                with self._provider.connection(credentials) as line:
                    return self._ask(query, line, self._slot(line))
            except CubeError as error:
                if error.renews_credentials:
                    # The next query has new ones.
                    self._credentials.refresh(account, credentials)
                raise
            finally:
                # The provider counts idle connections too, and the next query may come much later.
                self._provider.close()

    def _slot(self, line: Line) -> Slot | None:
        """Count the query, and wait for a slot of the gate with the line open."""
        latest = self._clock() + PATIENCE
        if not self._shift.count():
            raise ShareSpentError
        slot = self._gate.take(latest=latest, is_bulk=True)
        try:
            while not self._gate.wait(slot, line.open):
                slot = self._gate.take(latest=latest, is_bulk=True)
        except CubeError as error:
            # The connection failed.
            self._gate.report(slot, error)
            raise
        return slot

    def _ask[Item](self, query: Callable[..., ListPage[Item]], line: Line, slot: Slot | None) -> ListPage[Item]:
        left = partial(self._gate.left, slot)
        try:
            page = query(over=line, left=left)
        except CubeError as error:
            self._gate.report(slot, error)
            raise
        except BaseException:
            # The query may have left. Otherwise the gate would wait for it forever.
            left()
            raise
        self._gate.report(slot, page.answer)
        return page
