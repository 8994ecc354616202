"""Answering Step Functions tasks that wait with a token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from . import metrics
from .errors import error_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_stepfunctions import SFNClient

    from .metrics import Metric
    from .telemetry import Level, Telemetry

# What Step Functions says of a token, and not of the call: the task is over, the token is none or another account's,
# the state machine's key is not for us. Nobody's events must wait for somebody else's token.
_NOBODY_WAITS = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken", "InvalidOutput", "ValidationException"})

# What it says where we may not answer. A workflow's key may be why, and must not hold up everybody's events either.
# But our own role may be, and then every workflow waits in vain: these are counted for themselves, and alarm.
_REFUSED = frozenset({"AccessDeniedException", "KmsAccessDeniedException", "KmsInvalidStateException"})


@dataclass(frozen=True, slots=True)
class TaskAnswers:
    """What came of answering tasks.

    Parameters
    ----------
    answered : int
        Tasks that were told.
    unanswered : tuple of str
        Why Step Functions took no answer for others.
    """

    answered: int = 0
    unanswered: tuple[str, ...] = ()

    def __add__(self, other: TaskAnswers) -> TaskAnswers:
        """Return what came of both."""
        return TaskAnswers(self.answered + other.answered, self.unanswered + other.unanswered)

    @property
    def level(self) -> Level:
        """How bad the worst of it is."""
        return "error" if self.refused else "warning" if self.unanswered else "info"

    @property
    def counts(self) -> dict[Metric, float]:
        """The metrics that count it."""
        counts: dict[Metric, float] = {
            metrics.TASKS_ANSWERED: self.answered,
            metrics.TASKS_UNANSWERED: len(self.unanswered),
            metrics.TASK_ANSWERS_REFUSED: self.refused,
        }
        return {metric: count for metric, count in counts.items() if count}

    @property
    def refused(self) -> int:
        """How many of the answers that were not taken we were not allowed to give."""
        return sum(error in _REFUSED for error in self.unanswered)


class Tasks:
    """The Step Functions tasks that wait with a token. Safe to share between threads.

    Parameters
    ----------
    client : Callable[[], SFNClient]
        Makes boto3's client. It is called once, for the first task.
    """

    def __init__(self, client: Callable[[], SFNClient]) -> None:
        self._client = cache(client)

    def succeed(self, tokens: Iterable[str], output: Mapping[str, Any]) -> TaskAnswers:
        """End tasks with an output.

        Parameters
        ----------
        tokens : iterable of str
            Theirs.
        output : Mapping[str, Any]
            The output.

        Returns
        -------
        TaskAnswers
            What came of it. A task that is over, or that takes no answer of ours, is none that waits.

        Raises
        ------
        BotoCoreError, ClientError
            If Step Functions is away: the tasks are to be told again.
        """
        text = msgspec.json.encode(output).decode()
        return _told(lambda token: self._client().send_task_success(taskToken=token, output=text), tokens)

    def fail(self, tokens: Iterable[str], error: str, cause: Mapping[str, Any]) -> TaskAnswers:
        """End tasks with an error.

        Parameters
        ----------
        tokens : iterable of str
            Theirs.
        error : str
            What a state machine catches, without its prefix ``CubeSms.``
        cause : Mapping[str, Any]
            What there is to tell of it.

        Returns
        -------
        TaskAnswers
            As for `succeed`.

        Raises
        ------
        BotoCoreError, ClientError
            As for `succeed`.
        """
        name, text = f"CubeSms.{error}", msgspec.json.encode(cause).decode()
        return _told(lambda token: self._client().send_task_failure(taskToken=token, error=name, cause=text), tokens)


def report_task_answers(telemetry: Telemetry, answers: TaskAnswers, correlation_id: str) -> None:
    """Report what came of answering tasks.

    Parameters
    ----------
    telemetry : Telemetry
        Where to.
    answers : TaskAnswers
        What came of it.
    correlation_id : str
        What they were answered for.
    """
    for metric, count in answers.counts.items():
        telemetry.count(metric, count)
    if answers.unanswered:
        telemetry.log(answers.level, "task not answered", correlation_id, errors=answers.unanswered)


def _told(tell: Callable[[str], object], tokens: Iterable[str]) -> TaskAnswers:
    answered, unanswered = 0, []
    for token in sorted(tokens):
        try:
            tell(token)
        except ClientError as error:
            if error_name(error) not in _NOBODY_WAITS | _REFUSED:
                raise
            unanswered.append(error_name(error))
        else:
            answered += 1
    return TaskAnswers(answered, tuple(unanswered))
