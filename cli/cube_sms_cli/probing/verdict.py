"""What the answers tell about the forms."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .trials import Answer, Trial

_SERVER_ERROR = 500


class Verdict(StrEnum):
    """What an answer tells."""

    PASSES = "passes"
    """It is refused neither for its signature nor for its time: for the device, then."""
    ACCEPTED = "accepted"
    """Cube took the message: the device may exist."""
    SIGNATURE = "signature refused"
    """It is refused as what is signed with another secret."""
    CLOCK = "time refused"
    """It is refused as what is an hour old, and not for its signature."""
    REFUSED = "refused"
    """It is refused as both, which Cube answers alike."""
    UNCLEAR = "unclear"
    """Cube gave no answer of its own."""
    CONTROL = "wrong on purpose"

    @property
    def is_good(self) -> bool:
        """Whether Cube takes the form."""
        return self in (Verdict.PASSES, Verdict.ACCEPTED)


class Result(NamedTuple):
    """A request, its answer, and what that tells.

    Parameters
    ----------
    trial : Trial
        The request.
    answer : Answer
        The answer.
    verdict : Verdict
        What it tells.
    """

    trial: Trial
    answer: Answer
    verdict: Verdict


def judge(answered: Sequence[tuple[Trial, Answer]]) -> list[Result]:
    """Return what the answers tell: each is compared with those to what was wrong on purpose, in its group."""
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
