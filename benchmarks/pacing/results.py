"""What one case has come to, ours and the peer's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pacing.cases import split_parameters
from benchmarks.pacing.drain import drain
from benchmarks.pacing.figures import figures
from benchmarks.pacing.naive.stack import naive_stack
from local.stack import LocalStack

if TYPE_CHECKING:
    from benchmarks.pacing.cases import Case
    from benchmarks.pacing.figures import Figures

# How many batches MiniStack, and Lambda at first, takes from a queue at once where no maximum is given.
PEER_INVOCATIONS = 5

# What has not drained in this many times the optimum is cut off.
_PATIENCE = 3.0
_START_SECONDS = 60.0


class Result(NamedTuple):
    """What one case has come to.

    Parameters
    ----------
    case : Case
        The case.
    messages : int
        Size of the burst.
    ours : Figures
        Of the application.
    peer : Figures or None
        Of the naive peer, where it ran.
    ceiling : Figures or None
        Of the application where neither it nor the provider limits the queries a second: what the machine can do.
    """

    case: Case
    messages: int
    ours: Figures
    peer: Figures | None = None
    ceiling: Figures | None = None


def measure_ours(case: Case, messages: int) -> Figures:
    """Return the figures of the built application."""
    parameters, _ = split_parameters(case)
    with LocalStack(parameters, **case.simulator) as stack:
        limit = _PATIENCE * messages / case.optimum() + _START_SECONDS
        run = drain(stack, messages, invocations=case.invocations, api_every=case.api_every, limit=limit)
    return figures(run, optimum=case.optimum, invocations=case.invocations)


def measure_ceiling(case: Case, messages: int) -> Figures:
    """Return the figures of the built application without a limit of queries a second."""
    parameters, _ = split_parameters(case)
    if "CubeMaxQps" in parameters:
        parameters["CubeMaxQps"] = "0"
    with LocalStack(parameters, **{**case.simulator, "qps": 0}) as stack:
        run = drain(
            stack, messages, invocations=case.invocations, api_every=case.api_every, limit=_PATIENCE * _START_SECONDS
        )
    return figures(run, optimum=case.optimum, invocations=case.invocations)


def measure_peer(case: Case, messages: int, limit: float) -> Figures:
    """Return the figures of the naive peer, cut off after so many seconds."""
    with naive_stack(**case.simulator) as stack:
        run = drain(stack, messages, invocations=PEER_INVOCATIONS, api_every=case.api_every, limit=limit)
    return figures(run, optimum=case.peer_optimum, invocations=PEER_INVOCATIONS)
