"""What an operator does with a campaign: see how far it is, stop it, resume it."""

from __future__ import annotations

import math
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from cube_sms.delivery import State
from cube_sms.pacing import used_today
from cube_sms.platform import rfc3339

from .errors import InvalidCampaignError
from .estimates import estimate
from .outcomes import NOT_TRIED, REFUSED
from .pace import requests_a_query
from .runs import Campaign, read_batches
from .statuses import CampaignStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from cube_sms.platform import Settings

    from .batches import BatchSender
    from .executions import Executions
    from .progress import CampaignItems, Look, Run


# A call that shows a campaign looks for the receipts of at most so many ended batches. Each batch waits so many seconds
# after its last look.
RECEIPT_BATCHES = 10
RECEIPT_PAUSE = 30.0


class CampaignManager:
    """Shows, stops and resumes campaigns.

    Parameters
    ----------
    s3, dynamodb
        boto3's clients.
    items : CampaignItems
        Says how far they are.
    executions : Executions
        Says which of them run.
    sender : BatchSender
        Looks at their batches.
    settings : Settings
        The deployment's settings.
    clock : Callable[[], float]
        Seconds since the epoch.
    """

    def __init__(
        self,
        s3: S3Client,
        dynamodb: DynamoDBClient,
        items: CampaignItems,
        executions: Executions,
        sender: BatchSender,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._s3 = s3
        self._used_today = partial(used_today, dynamodb, settings.messages_table, clock=clock)
        self._items = items
        self._executions = executions
        self._sender = sender
        self._settings = settings
        self._clock = clock

    def show(self, name: str) -> dict[str, Any]:
        """Return how far a campaign is. If receipts are on, this looks for some of them.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        dict
            As docs/workflows.md describes it.

        Raises
        ------
        InvalidCampaignError
            If there is none of this name.
        RecordsUnavailableError
            If DynamoDB is unavailable.
        """
        run = self._run(name)
        execution = self._executions.find(run.execution)
        looks = dict(self._items.looks(name, run.batches))
        if self._settings.receipts and (numbers := self._await_receipts(run, looks)):
            self._look(Campaign(run.bucket, run.key, name), numbers)
            looks = dict(self._items.looks(name, run.batches))
        states: Counter[str] = Counter()
        for look in looks.values():
            states.update(_states(look))
        not_tried = max(0, run.requests - states.total())
        states += Counter({NOT_TRIED: not_tried, REFUSED: run.rows - run.requests})
        left = not_tried + sum(look.waiting for look in looks.values() if look.execution == run.execution)
        is_running = bool(execution and execution.is_running)
        now = run.ended_at or self._clock()
        return {
            "campaign": name,
            "status": _status(run, is_running=is_running),
            "execution": run.execution,
            "key": run.key,
            "startedAt": rfc3339(run.started_at),
            "endedAt": rfc3339(run.ended_at) if run.ended_at else None,
            "rows": run.rows,
            "states": dict(states),
            "hasReceipts": self._settings.receipts,
            "perSecond": _rate([each for each in looks.values() if each.execution == run.execution], now),
            "expectedEnd": self._expected_end(run, left, now) if is_running and not run.stopped_at else None,
            "result": Campaign(run.bucket, run.key, name).result_key if run.ended_at else None,
        }

    def stop(self, name: str) -> dict[str, Any]:
        """Stop a campaign, and return how far it is. Rows that are being sent still end.

        It can be repeated, however the last call ended.
        """
        run = self._run(name)
        if not run.ended_at and self._items.note(name, run.execution, stopped_at=run.stopped_at or self._clock()):
            # Other batches find the stop when they are looked at. For those on the queue, that may be much later.
            campaign = Campaign(run.bucket, run.key, name)
            looks = self._items.looks(name, run.batches)
            self._look(campaign, {number for number, look in looks if look.begun_at and not look.is_ended})
        return self.show(name)

    def resume(self, name: str) -> dict[str, Any]:
        """Start a campaign again at the point where it was stopped or failed, and return how far it is."""
        run = self._run(name)
        former = self._executions.find(run.execution)
        if not former:
            raise InvalidCampaignError(
                f"Step Functions has forgotten what the campaign {name} was started with. Start it with its input",
                "input",
            )
        if former.is_running:
            raise InvalidCampaignError(f"The campaign {name} is running, and has to end first", "input")
        # If the input has no name, the campaign has that of its execution.
        self._executions.start(former.state_machine, {**former.input, "campaign": name})
        return self.show(name)

    def _look(self, campaign: Campaign, numbers: set[int]) -> None:
        for batch in read_batches(self._s3, campaign) if numbers else ():
            if batch.number in numbers:
                self._sender.look(campaign, batch)

    def _await_receipts(self, run: Run, looks: Mapping[int, Look]) -> set[int]:
        """Return some batches that wait for receipts alone: those that were looked at the longest ago."""
        before = self._clock() - RECEIPT_PAUSE
        found = [
            (look.looked_at, number)
            for number, look in looks.items()
            # A look at a batch that only an earlier run has ended would begin to send it.
            if look.is_ended and look.execution == run.execution and look.looked_at < before
            if State.SENT in _states(look)
        ]
        return {number for _, number in sorted(found)[:RECEIPT_BATCHES]}

    def _run(self, name: str) -> Run:
        run = self._items.run(name)
        if not run:
            raise InvalidCampaignError(f"There is no campaign named {name}", "input")
        return run

    def _expected_end(self, run: Run, left: int, now: float) -> str | None:
        settings = self._settings
        return estimate(
            math.ceil(left / requests_a_query(run.requests, run.queries)),
            now=now,
            qps=settings.cube_max_qps,
            quota=settings.cube_daily_quota,
            reserve=settings.cube_quota_reserve_percent,
            used_today=self._used_today(),
        ).ends_at


def _states(look: Look) -> dict[str, int]:
    return msgspec.json.decode(look.states, type=dict[str, int])


def _status(run: Run, *, is_running: bool) -> CampaignStatus:
    if is_running:
        return CampaignStatus.STOPPING if run.stopped_at else CampaignStatus.RUNNING
    if run.ended_at:
        return CampaignStatus.STOPPED if run.stopped_at else CampaignStatus.ENDED
    return CampaignStatus.BROKEN_OFF


def _rate(looks: list[Look], now: float) -> float:
    begun = min((look.begun_at for look in looks if look.begun_at), default=now)
    ended = sum(look.put - look.waiting for look in looks if look.put_at)
    return round(ended / max(1.0, now - begun), 2)
