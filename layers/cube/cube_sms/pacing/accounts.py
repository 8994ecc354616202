"""Close the gate for one account if Cube rejects its messages one after the other with one unknown code.

The code may mean a wrong secret, and then each message on the queue would end as `REJECTED`. So after several
rejections in a row with one code, the account's messages wait. One of them is the probe: it finds out whether Cube
accepts them again.

The gate's item has the count of rejections, and each reservation shows the item to its worker. So a success at any
worker ends a run, and every worker knows the closed accounts. Reads or writes are added only if there are rejections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cube_sms.platform import ConditionalUpdate

from .breaker import PROBE_MARGIN, PROBING_SECONDS
from .errors import AccountClosedError
from .gate_item import REMEMBERED_SECONDS
from .runs import ACCOUNT, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .breaker import Result
    from .gate_item import GateItem

# This many rejections in a row with one code close an account.
REJECTIONS = 20

# Seconds that an account stays closed at first. Each rejected probe doubles them, up to the most. Workers remember
# credentials for as long as the first ones, so that the first probe has corrected ones.
CLOSED_SECONDS = 300.0
MOST_CLOSED_SECONDS = 3600.0

# Seconds after which a run is over if no rejection was added. Otherwise the item would keep every account that Cube
# ever rejected.
FORGOTTEN_SECONDS = 3600.0

# If another worker's write comes first, this worker writes again, on the item as it is then. Each of those writes
# counts a rejection, so that they are few.
TRIES = 2 * REJECTIONS


class Accounts:
    """The accounts whose messages Cube rejects, as one worker sees them.

    Parameters
    ----------
    item : GateItem
        The gate's item, which all workers see.
    longest_post : float
        The most seconds that a query takes.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, *, longest_post: float, clock: Callable[[], float]) -> None:
        self._item = item
        self._longest_post = longest_post
        self._clock = clock
        # When Cube last accepted a message of an account from this worker.
        self._accepted: dict[str, float] = {}

    @property
    def closed(self) -> tuple[tuple[str, str], ...]:
        """The accounts that are closed or wait for a probe, with the code that closed each."""
        return tuple((account, run.code) for account, run in self._runs().items() if run.state != "counting")

    def is_closed(self, account: str) -> bool:
        """Return whether an account is closed, by the item as this worker saw it lately."""
        run = self._run(account)
        is_closed = run is not None and run.state != "counting" and run.at > self._clock()
        return is_closed and self._item.age < REMEMBERED_SECONDS

    def check(self, account: str) -> None:
        """Refuse a message of a closed account.

        Raises
        ------
        AccountClosedError
            If `is_closed`; with the time when it opens.
        """
        if self.is_closed(account):
            raise self._closed(account)

    def admit(self, account: str) -> None:
        """Admit a query of an open account. If the time of a closed one is over, admit one query as the probe.

        Raises
        ------
        AccountClosedError
            If the account is closed, or another query is its probe.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        for _ in range(TRIES):
            run = self._run(account)
            if run is None or run.state == "counting":
                return
            if run.at > self._clock():
                break
            until = self._clock() + self._longest_post + PROBE_MARGIN
            if self._item.write(self._change(account, run._replace(state="probing", at=until))):
                return
        raise self._closed(account)

    def report(self, account: str, post: Result) -> None:
        """Count a rejection, or end a run, by the result of a query.

        Parameters
        ----------
        account : str
            The query's account.
        post : Result
            The query's result.
        """
        if post.account == "opens":
            self._accepted[account] = self._clock()
            if self._run(account):
                self._item.write_or_remember(self._change(account, None))
        elif post.account == "counts":
            for _ in range(TRIES):
                before = self._run(account)
                after = self._rejected(account, before, post.code or "-")
                if after is before or self._item.write_or_remember(self._change(account, after)):
                    return

    def tidy(self, update: ConditionalUpdate) -> None:
        """Let a reservation remove the runs that are over, so that this costs no write of its own.

        Parameters
        ----------
        update : ConditionalUpdate
            The reservation.
        """
        update.remove(*(ACCOUNT + account for account, run in self._runs().items() if self._is_over(account, run)))

    def _rejected(self, account: str, run: Run | None, code: str) -> Run:
        now = self._clock()
        if run is None or self._is_over(account, run):
            return Run("counting", 1, now, now, code)
        if run.state == "closed":
            # The query left before the account was closed.
            return run
        if run.code != code:
            return Run("counting", 1, now, now, code)
        length = run.length + 1
        if length < REJECTIONS:
            return run._replace(length=length, at=now)
        seconds = min(MOST_CLOSED_SECONDS, CLOSED_SECONDS * 2.0 ** min(length - REJECTIONS, 10))
        # After a rejected probe, only a message that is accepted later ends the run.
        since = now if run.state == "probing" else run.since
        return Run("closed", length, since, now + seconds, code)

    def _is_over(self, account: str, run: Run) -> bool:
        """Return whether Cube has accepted a message from this worker since a run began, or the run is old."""
        return self._accepted.get(account, 0.0) > run.since or run.at + FORGOTTEN_SECONDS < self._clock()

    def _runs(self) -> dict[str, Run]:
        return {name.removeprefix(ACCOUNT): Run.parse(text) for name, text in self._item.starting(ACCOUNT).items()}

    def _run(self, account: str) -> Run | None:
        text = self._item.get(ACCOUNT + account)
        return Run.parse(text) if text else None

    def _change(self, account: str, run: Run | None) -> ConditionalUpdate:
        name = ACCOUNT + account
        update = ConditionalUpdate()
        update.require(update.equal(name, self._item.get(name)))
        if run:
            update.set(name, str(run))
        else:
            update.remove(name)
        return update

    def _closed(self, account: str) -> AccountClosedError:
        run, soon = self._run(account), self._clock() + PROBING_SECONDS
        # The answer to a probe may open the account at any moment.
        return AccountClosedError(run.at if run and run.state == "closed" else soon)
