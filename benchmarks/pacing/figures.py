"""What a run comes to, by the provider's books."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pacing.cases import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.pacing.drain import ApiCall, Run

_LIMITS = frozenset({"connections", "qps", "quota"})


class Rate(NamedTuple):
    """A rate beside what is allowed.

    Parameters
    ----------
    rate, optimum : float
        Messages a second.
    """

    rate: float
    optimum: float

    @property
    def share(self) -> float:
        """The rate over the optimum."""
        return self.rate / self.optimum


class Api(NamedTuple):
    """The synchronous calls.

    Parameters
    ----------
    calls, refused : int
        All, and those that were answered with anything but success.
    median, longest : float
        Seconds until the answer.
    """

    calls: int
    refused: int
    median: float
    longest: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a run comes to.

    Parameters
    ----------
    backlog, whole : Rate
        The rate while there was a backlog, and over the whole drain.
    seconds : float
        Until the last message of the burst was accepted, or the run was cut off.
    is_drained : bool
        Whether the queue was empty in the end.
    refused : Counter of str
        The 429s, by the limit.
    lost : int
        Messages of the burst that were never accepted and are not on the queue any more.
    doubled : int
        How often a message, of the burst or of an API call, was accepted that had been accepted before.
    left, dead : int
        Messages on the queue and on its dead-letter queue in the end.
    api : Api
        The API calls.
    accepted_at, refused_at : sequence of float
        When the provider accepted and refused, in seconds from the start.
    """

    backlog: Rate
    whole: Rate
    seconds: float
    is_drained: bool
    refused: Counter[str]
    lost: int
    doubled: int
    left: int
    dead: int
    api: Api
    accepted_at: Sequence[float]
    refused_at: Sequence[float]


def figures(run: Run, *, optimum: Callable[[float], float], invocations: int) -> Figures:
    """Return the figures of a run.

    Parameters
    ----------
    run : Run
        What the run has left.
    optimum : Callable[[float], float]
        Returns the highest rate that is allowed beside a rate of API calls.
    invocations : int
        How many batches are under way at once: the backlog ends when what they hold is all there is.
    """
    accepted = [(post["deviceId"], post["at"] - run.start) for post in run.posts if post["accepted"]]
    refused = [post for post in run.posts if post["reason"] in _LIMITS]
    # Each message counts once, when it was accepted for the first time.
    first = dict(reversed(accepted))
    burst = sorted(first[device] for device in run.devices if device in first)
    backlog = max(len(run.devices) - invocations * BATCH_SIZE, len(run.devices) // 2)
    end = run.end - run.start
    is_drained = not run.left
    seconds = burst[-1] if is_drained and burst else end
    begun = min(first.values(), default=0.0)
    return Figures(
        backlog=_rate(optimum, run, first, begun, burst[backlog - 1] if len(burst) >= backlog else seconds),
        whole=_rate(optimum, run, first, 0.0, seconds),
        seconds=seconds,
        is_drained=is_drained,
        refused=Counter(str(post["reason"]) for post in refused),
        # Where the run was cut off, only the dead letters are certain to be off the queue.
        lost=sum(device not in first for device in (run.devices if is_drained else run.dead)),
        doubled=len(accepted) - len(first),
        left=run.left,
        dead=len(run.dead),
        api=_api(run.calls),
        accepted_at=[at for _, at in accepted],
        refused_at=[post["at"] - run.start for post in refused],
    )


def per_second(times: Iterable[float], seconds: int) -> list[int]:
    """Return how many of the times fall into each second."""
    counts = Counter(int(at) for at in times)
    return [counts[second] for second in range(seconds)]


def _rate(optimum: Callable[[float], float], run: Run, first: dict[str, float], begin: float, end: float) -> Rate:
    # The one that opens the window belongs to the time before it.
    inside = {device for device, at in first.items() if begin < at <= end}
    seconds = max(end - begin, 1e-9)
    by_api = sum(call.device in inside for call in run.calls)
    return Rate(len(inside) / seconds, optimum(by_api / seconds))


def _api(calls: Sequence[ApiCall]) -> Api:
    seconds = [call.seconds for call in calls]
    return Api(
        len(calls), sum(call.status != 200 for call in calls), median(seconds or [0.0]), max(seconds, default=0.0)
    )
