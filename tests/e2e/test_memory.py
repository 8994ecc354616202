"""Memory of the built queue function; `make bench` looks at a hundred thousand messages."""

from __future__ import annotations

from benchmarks.functions import OURS
from benchmarks.processes import Worker
from benchmarks.server import Server


def test_nothing_is_left_behind_of_messages() -> None:
    # Given a warm function that has used all that it uses
    with Server(aws_seconds=0.0) as server, Worker(OURS, server) as function:
        function.do("handle", 10, 50)
        before = function.do("objects")["objects"]

        # When it handles two thousand messages
        function.do("handle", 10, 200)

        # Then it holds no more objects than before, but for a few that come and go
        assert function.do("objects")["objects"] - before < 20
