"""Where the time of one queue record goes: by part, and by function."""

from __future__ import annotations

import cProfile
import importlib
import os
import pstats
import sys
import sysconfig
import time
from collections import defaultdict
from itertools import batched
from typing import TYPE_CHECKING, Any

import cube_sms.client
import cube_sms.consumer
from benchmarks.inside.record import STATEMENTS, names
from cube_sms.client import CubeClient
from cube_sms.connection import Connections
from cube_sms.records import RecordStore
from cube_sms.sending import Sender
from cube_sms.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

# Where a part's function is looked up by those who call it.
_PARTS = (
    ("parse", cube_sms.consumer, "parse_send_request"),
    ("send", Sender, "send"),
    ("records", RecordStore, "claim"),
    ("records", RecordStore, "finish"),
    ("client", CubeClient, "send_sms"),
    ("sign", cube_sms.client, "signed_body"),
    ("connection", Connections, "post"),
    ("telemetry", Telemetry, "consumed"),
    ("flush", Telemetry, "flush"),
)


class _Stopwatch:
    """Measures functions where they are called, because in a loop of their own they would find all caches warm."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, list[float]] = defaultdict(list)
        self._of_callees = [0.0]

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its own CPU time measured without that of other measured functions."""

        def measured(*arguments: Any, **options: Any) -> Any:
            self._of_callees.append(0.0)
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                taken = time.thread_time() - start
                self.spent[part].append((taken - self._of_callees.pop()) * 1e6)
                self._of_callees[-1] += taken

        return measured


def spent(count: int) -> dict[str, list[float]]:
    """Return the microseconds of each part, one value for each of so many records, in turns with a bare POST."""
    known = names()
    app = importlib.import_module("app")
    watch = _Stopwatch()
    for part, owner, name in _PARTS:
        setattr(owner, name, watch.timed(part, getattr(owner, name)))
    logger = app.telemetry.logger
    logger.info = watch.timed("log", logger.info)
    # The decorator makes the handler anew, so that its own time can be told from that of what it wraps.
    inner = watch.timed("consume", app.handler.__wrapped__)
    handler = watch.timed("context", logger.inject_lambda_context(inner))
    post = compile(STATEMENTS["post"][0], "post", "eval")
    bare = watch.timed("post", lambda: eval(post, known))  # nosec B307 # one of the statements above
    for _ in range(count):
        bare()
        handler(known["event"], known["context"])
    # Two writes, before the POST and after it.
    watch.spent["records"] = [sum(pair) for pair in batched(watch.spent["records"], 2, strict=True)]
    return watch.spent


def profile(count: int) -> list[tuple[str, float, float, float]]:
    """Return every function that one record runs: its name, calls, and microseconds of its own and with its callees.

    The profiler makes each call dearer. It reads the wall clock, which costs it the least: where the function waits for
    the answer, the wait is in.
    """
    known = names()
    handler, event, context = known["handler"], known["event"], known["context"]
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(count):
        handler(event, context)
    profiler.disable()
    found: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    return [
        (_label(*where), calls / count, own / count * 1e6, cumulative / count * 1e6)
        for where, (_, calls, own, cumulative, _) in found.items()
    ]


def _label(path: str, line: int, name: str) -> str:
    if path == "~":
        return name
    for folder in (*sys.path, sysconfig.get_path("stdlib")):
        path = path.removeprefix(folder + os.sep)
    return f"{path}:{line} {name}"
