"""Send the requests of a probe, well below Cube's rate limit, and stop if further ones would do harm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cube_sms.provider.base import CubeError, CubeThrottled, CubeUnavailable
from cube_sms_cli.errors import OperatorError

from .trials import Answer
from .verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .trials import Probe, Trial
    from .verdict import Result

# Five a second: half of what Cube allows an address. Others may use the same address.
PAUSE_SECONDS = 0.2


def run(
    probe: Probe[Any], *, note: Callable[[Trial], None], sleep: Callable[[float], None] = time.sleep
) -> list[Result]:
    """Send the requests of a probe, and return what the answers mean.

    Parameters
    ----------
    probe : Probe[Any]
        The probe.
    note : Callable[[Trial], None]
        Called with each request before it is sent.
    sleep : Callable[[float], None]
        Waits for seconds.

    Returns
    -------
    list of Result
        One for each request that was sent. If Cube accepts one, it is the last: its device may exist.

    Raises
    ------
    OperatorError
        If Cube cannot be reached, or wants fewer requests.
    """
    answered: list[tuple[Trial, Answer]] = []

    def send(trials: Iterable[Trial]) -> bool:
        for trial in trials:
            note(trial)
            answer = _ask(trial)
            answered.append((trial, answer))
            if answer.is_accepted:
                return False
            sleep(PAUSE_SECONDS)
        return True

    if send(probe.first()):
        send(probe.then([each.trial for each in judge(answered) if each.verdict is Verdict.PASSES]))
    return judge(answered)


def _ask(trial: Trial) -> Answer:
    client, query = trial.client, trial.query
    try:
        with client.connection(query.credentials) as line:
            line.open()
            accepted = client.send(query, over=line, left=lambda: None)
    except CubeThrottled as error:
        raise OperatorError(
            f"Cube wants fewer requests (HTTP {error.status}): too many come from this address, or today's quota is "
            "used up. Wait, and try again."
        ) from None
    except CubeError as error:
        if isinstance(error, CubeUnavailable) and error.status is None:
            raise OperatorError(f"Cube cannot be reached: {error.reason}. Try `cube-sms doctor`.") from None
        return Answer(error.status, error.code, error.message or error.reason)
    return Answer(200, accepted.code, accepted.message, is_accepted=True)
