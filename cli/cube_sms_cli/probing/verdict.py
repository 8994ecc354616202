"""What the answers mean for the forms."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .trials import Answer, Trial

_SERVER_ERROR = 500


class Verdict(StrEnum):
    """What an answer means."""

    PASSES = "passes"
    """Cube refuses it for neither its signature nor its time, and so for the device."""
    ACCEPTED = "accepted"
    """Cube accepted the message: the device may exist."""
    SIGNATURE = "signature refused"
    """Cube refuses it as it refuses a request that is signed with another secret."""
    CLOCK = "time refused"
    """Cube refuses it as it refuses a request that is an hour old, and not for its signature."""
    REFUSED = "refused"
    """Cube refuses it as it refuses both of these, which it answers alike."""
    UNCLEAR = "unclear"
    """Cube gave no answer of its own."""
    CONTROL = "wrong on purpose"

    @property
    def is_good(self) -> bool:
        """Whether Cube accepts the form."""
        return self in (Verdict.PASSES, Verdict.ACCEPTED)


class Result(NamedTuple):
    """A request, its answer, and what the answer means.

    Parameters
    ----------
    trial : Trial
        The request.
    answer : Answer
        The answer.
    verdict : Verdict
        What it means.
    """

    trial: Trial
    answer: Answer
    verdict: Verdict


def judge(answered: Sequence[tuple[Trial, Answer]]) -> list[Result]:
    """Return what the answers mean. Each is compared with those in its group to what was wrong on purpose."""
    flawed = {(trial.group, trial.flaw): answer for trial, answer in answered if trial.flaw}
    results = []
    for trial, answer in answered:
        forged, old = flawed.get((trial.group, "signature")), flawed.get((trial.group, "clock"))
        if answer.is_accepted:
            verdict = Verdict.ACCEPTED
        elif trial.flaw:
            verdict = Verdict.CONTROL
        elif answer.code is None and (answer.status or _SERVER_ERROR) >= _SERVER_ERROR:
            verdict = Verdict.UNCLEAR
        elif forged and old and answer.seen == forged.seen == old.seen:
            verdict = Verdict.REFUSED
        elif forged and answer.seen == forged.seen:
            verdict = Verdict.SIGNATURE
        elif old and answer.seen == old.seen:
            verdict = Verdict.CLOCK
        else:
            verdict = Verdict.PASSES
        results.append(Result(trial, answer, verdict))
    return results
