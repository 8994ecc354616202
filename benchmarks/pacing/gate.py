"""How often an invocation of the queue function calls on the gate, counted by a proxy in front of DynamoDB.

A run of its own: the proxy has no place in what is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pacing.cases import BATCH_SIZE, split_parameters
from benchmarks.pacing.drain import drain
from local.stack import LocalStack
from tests.e2e.aws_proxy import CLAIM, FINISH, AwsProxy, route

if TYPE_CHECKING:
    from benchmarks.pacing.cases import Case

GATE = "#gate"


class GateCalls(NamedTuple):
    """Calls of DynamoDB's UpdateItem.

    Parameters
    ----------
    invocations, messages : int
        Of the queue function.
    gate : int
        Those that were about the gate.
    updates : int
        All.
    """

    invocations: int
    messages: int
    gate: int
    updates: int


def count_gate_calls(case: Case, messages: int) -> GateCalls:
    """Drain a burst without API calls, and return what was counted."""
    parameters, _ = split_parameters(case)
    with AwsProxy() as proxy, LocalStack(parameters, **case.simulator) as stack:
        proxy.upstream = stack.aws.url
        route(stack, proxy, "DYNAMODB")
        limit = 3 * messages / case.optimum() + 60
        run = drain(stack, messages, invocations=case.invocations, api_every=0, limit=limit)
        # MiniStack says so of each batch that it has handed over. Warming up counts too, with its one API call.
        invocations = stack.aws.log().count("SQS messages from")
        total = len(run.devices) + case.invocations * BATCH_SIZE
        gate = proxy.calls(CLAIM, GATE) + proxy.calls(FINISH, GATE)
        return GateCalls(invocations, total, gate, proxy.counts["UpdateItem"])
