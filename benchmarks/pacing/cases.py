"""The cases: the provider's limits, its latency, and how ours is deployed for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samtranslator.yaml_helper import yaml_parse

from local.deploy import BUILD

if TYPE_CHECKING:
    from collections.abc import Collection

BATCH_SIZE = 10


@dataclass(frozen=True, kw_only=True)
class Case:
    """A burst under limits.

    Parameters
    ----------
    name : str
        Its name on the command line.
    target : float
        The least share of the optimum.
    latency : float
        Seconds until the provider answers.
    qps, connections : int
        The provider's limits.
    messages : int
        Size of the burst.
    invocations, threads : int
        Concurrent invocations of the queue function, and what each sends at the same time.
    api_invocations : int
        Concurrent invocations of the API function, a connection each.
    api_every : float
        Seconds from one API call to the next.
    has_peer : bool
        Whether the naive peer runs too.
    has_ceiling : bool
        Whether it is measured too what the machine does without a limit of queries.
    """

    name: str
    target: float
    latency: float
    qps: int = 10
    connections: int = 3
    messages: int = 600
    invocations: int = 2
    threads: int = 1
    api_invocations: int = 1
    api_every: float = 5.0
    has_peer: bool = True
    has_ceiling: bool = False

    @property
    def queue_connections(self) -> int:
        """How many connections the queue function may hold."""
        return self.invocations * self.threads

    @property
    def simulator(self) -> dict[str, Any]:
        """Options of the provider's simulator: its limits without the day's quota."""
        return {"qps": self.qps, "connections": self.connections, "latency": self.latency, "quota": 0}

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of our template."""
        return {
            "CubeMaxQps": str(self.qps),
            "CubeDailyQuota": "0",
            "CubeMaxConnections": str(self.connections),
        }

    def optimum(self, api_rate: float = 0.0) -> float:
        """Return the highest rate that is allowed; API calls come on top of what the queue's connections can carry."""
        return min(self.qps, self.queue_connections / self.latency + api_rate)

    def peer_optimum(self, _api_rate: float = 0.0) -> float:
        """Return the highest rate that is allowed to a peer that keeps no connections for its API."""
        return min(self.qps, self.connections / self.latency)


def _fast(*, qps: int, messages: int) -> Case:
    """Return the case of a contract with higher limits."""
    return Case(
        name=f"{qps}qps",
        target=0.95,
        latency=0.1,
        qps=qps,
        connections=32,
        messages=messages,
        invocations=7,
        threads=4,
        api_invocations=4,
        api_every=1.0,
        has_peer=False,
        has_ceiling=True,
    )


CASES = (
    Case(name="50ms", latency=0.05, target=0.97),
    Case(name="300ms", latency=0.3, target=0.97),
    Case(name="1s", latency=1.0, target=0.95),
    _fast(qps=100, messages=1000),
    _fast(qps=200, messages=2000),
)


def split_parameters(case: Case) -> tuple[dict[str, str], list[str]]:
    """Return the parameters that the built template has, and the names of those it has not."""
    known: Collection[str] = yaml_parse((BUILD / "template.yaml").read_text())["Parameters"]
    taken = {name: value for name, value in case.parameters.items() if name in known}
    return taken, sorted(case.parameters.keys() - taken.keys())
