"""Answering Step Functions tasks that wait with a token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import ClientError

from . import metrics
from .aws import aws_client
from .errors import error_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mypy_boto3_stepfunctions import SFNClient

    from .metrics import Metric
    from .telemetry import Level, Telemetry

# Step Functions' errors about one token: its task is over, or it is no token, or it belongs to another account. Events
# of other messages must not wait for it.
_NOBODY_WAITS = frozenset({"TaskDoesNotExist", "TaskTimedOut", "InvalidToken", "InvalidOutput", "ValidationException"})

# Its errors if we may not answer. The reason may be a workflow's key, which must not delay other events either. It may
# also be our own role, and then no workflow gets an answer. So a metric of their own counts these, with an alarm.
_REFUSED = frozenset({"AccessDeniedException", "KmsAccessDeniedException", "KmsInvalidStateException"})


@dataclass(frozen=True, slots=True)
class TaskAnswers:
    """The results of answers to tasks.

    Parameters
    ----------
    answered : int
        Tasks that took their answer.
    unanswered : tuple of str
        Why Step Functions took no answer for others.
    """

    answered: int = 0
    unanswered: tuple[str, ...] = ()

    def __add__(self, other: TaskAnswers) -> TaskAnswers:
        """Return the results of both."""
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


def _step_functions() -> SFNClient:
    return aws_client("stepfunctions")


class Tasks:
    """The Step Functions tasks that wait with a token. Safe to share between threads.

    Parameters
    ----------
    client : Callable[[], SFNClient]
        Makes the client. It is called once, for the first task: few deployments have one.
    """

    def __init__(self, client: Callable[[], SFNClient] = _step_functions) -> None:
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
            The results. A task that is over, or that takes no answer of ours, counts as unanswered.

        Raises
        ------
        BotoCoreError, ClientError
            If Step Functions is unavailable: the answers are to be repeated.
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
            Its details.

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
    """Report the results of answers to tasks.

    Parameters
    ----------
    telemetry : Telemetry
        Takes lines and metrics.
    answers : TaskAnswers
        The results.
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
