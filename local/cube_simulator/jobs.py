"""Jobs of v4: the same nonce, SIMs and message within ten seconds are one request, and one job."""

import uuid
from typing import NamedTuple

from local.cube_simulator.answers import RefusedError
from local.cube_simulator.limits import Clock
from local.cube_simulator.request import Told

WINDOW = 10.0


class _Job(NamedTuple):
    request: tuple[object, ...]
    at: float
    job_id: str


class Jobs:
    """The jobs that a nonce still stands for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[tuple[str | None, str | None], _Job] = {}

    def reset(self) -> None:
        """Forget all."""
        self._jobs.clear()

    def find(self, told: Told) -> str | None:
        """Return the job that a request is a repetition of, if it is one.

        Raises
        ------
        RefusedError
            If its nonce stands for another request.
        """
        job = self._jobs.get((told.account, told.nonce))
        if job is None or self._clock.monotonic() - job.at >= WINDOW:
            return None
        if job.request != _request(told):
            raise RefusedError("nonce")
        return job.job_id

    def open(self, told: Told) -> str:
        """Make a job for a request, and return its id."""
        job = _Job(_request(told), self._clock.monotonic(), uuid.uuid4().hex)
        self._jobs[told.account, told.nonce] = job
        return job.job_id


def _request(told: Told) -> tuple[object, ...]:
    return (tuple(told.devices), told.message_type, tuple(told.contents))
