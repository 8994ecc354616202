"""Closing the gate for one account that gets one and the same unknown code for everything.

Nobody knows what such a code says. It may say that the account's secret is wrong, and then a whole queue would be
rejected for it. So after several rejections in a row with one code the account's messages wait, until one of them finds
out that it is well again.

The rejections are counted in the gate's item, which every worker sees with each reservation: so a success anywhere ends
a run, all know of a closed account, and neither costs a write or a read where nothing is rejected.
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

# So many rejections in a row with one code close an account.
REJECTIONS = 20

# Seconds it stays closed at first, and doubled with each probe that is rejected, up to the most. Credentials that were
# mended are known to every worker after the first of them.
CLOSED_SECONDS = 300.0
MOST_CLOSED_SECONDS = 3600.0

# Seconds after which a run that nothing was added to is over. The item would keep each account that was ever rejected.
FORGOTTEN_SECONDS = 3600.0

# A write that others forestall is made again on what they left. Each of theirs counts a rejection: there are not many.
TRIES = 2 * REJECTIONS


class Accounts:
    """The accounts that are being rejected, as one worker sees them.

    Parameters
    ----------
    item : GateItem
        Where everybody sees them.
    longest_post : float
        The most seconds a query takes.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(self, item: GateItem, *, longest_post: float, clock: Callable[[], float]) -> None:
        self._item = item
        self._longest_post = longest_post
        self._clock = clock
        # When this worker last saw a message of an account accepted.
        self._accepted: dict[str, float] = {}

    @property
    def closed(self) -> tuple[tuple[str, str], ...]:
        """The accounts that are not known to be well, and the code that each was closed for."""
        return tuple((account, run.code) for account, run in self._runs().items() if run.state != "counting")

    def is_closed(self, account: str) -> bool:
        """Return whether an account is closed, as far as this worker knows without looking again."""
        run = self._run(account)
        is_closed = run is not None and run.state != "counting" and run.at > self._clock()
        return is_closed and self._item.age < REMEMBERED_SECONDS

    def check(self, account: str) -> None:
        """Refuse a message of an account that is closed beyond doubt.

        Raises
        ------
        AccountClosedError
            With until when.
        """
        if self.is_closed(account):
            raise self._closed(account)

    def admit(self, account: str) -> None:
        """Let a query for an account go, unless it is closed; make it the probe if that is over.

        Raises
        ------
        AccountClosedError
            If the account is closed, or another query is its probe.
        RecordsUnavailableError
            If DynamoDB is away.
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
        """Count a rejection, or end a run, for what a query came to.

        Parameters
        ----------
        account : str
            Whose it was.
        post : Result
            What it came to.
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
        """Have a reservation remove the runs that are over.

        Parameters
        ----------
        update : ConditionalUpdate
            The reservation, which is written anyway.
        """
        update.remove(*(ACCOUNT + account for account, run in self._runs().items() if self._is_over(account, run)))

    def _rejected(self, account: str, run: Run | None, code: str) -> Run:
        now = self._clock()
        if run is None or self._is_over(account, run):
            return Run("counting", 1, now, now, code)
        if run.state == "closed":
            # It had left before.
            return run
        if run.code != code:
            return Run("counting", 1, now, now, code)
        length = run.length + 1
        if length < REJECTIONS:
            return run._replace(length=length, at=now)
        seconds = min(MOST_CLOSED_SECONDS, CLOSED_SECONDS * 2.0 ** min(length - REJECTIONS, 10))
        # What was accepted before a probe says nothing against it.
        since = now if run.state == "probing" else run.since
        return Run("closed", length, since, now + seconds, code)

    def _is_over(self, account: str, run: Run) -> bool:
        """Return whether this worker had a message accepted after a run began, or whether it is old."""
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
        # A probe opens it as soon as it is answered.
        return AccountClosedError(run.at if run and run.state == "closed" else soon)
