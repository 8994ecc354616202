"""A warm function that handles batches when it is told to, and says what they cost.

Orders come as arguments or as lines on standard input, each a method and its arguments in JSON. Answers leave on what
was standard output; the handler's own lines go nowhere, or into a file where their bytes are asked for.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

EVENT = Path(__file__).parents[2] / "events" / "sqs-text.json"


class Context:
    """The context of an invocation."""

    function_name = "cube-sms-function"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:cube-sms-function"
    memory_limit_in_mb = 512
    aws_request_id = "5b2f4bd6-6c3e-4c0b-9a54-0d2c6a4f1f10"

    def get_remaining_time_in_millis(self) -> int:
        """Return more than any batch needs."""
        return 900_000


class Function:
    """A handler, and the batches that it is given.

    Parameters
    ----------
    module : str
        Where the handler is.
    """

    def __init__(self, module: str) -> None:
        self._handler: Callable[[Any, Any], Any] = importlib.import_module(module).handler
        self._template = json.loads(EVENT.read_text("utf-8"))["Records"][0]
        self._body = json.loads(self._template["body"])
        # No message has the id of another one, of this process or an earlier one: it would be a message tried again.
        self._process = f"{time.time_ns() % 16**8:08x}"
        self._numbers = count()

    def handle(self, size: int, batches: int = 1, accounts: int = 1) -> dict[str, float]:
        """Handle so many batches of so many messages, and return what they cost the process.

        Parameters
        ----------
        size : int
            Messages of a batch.
        batches : int
            How many of them.
        accounts : int
            How many accounts the messages belong to, in turns.

        Returns
        -------
        dict[str, float]
            ``cpu`` and ``wall``, in seconds.
        """
        return self.handle_events([self._batch(size, accounts) for _ in range(batches)])

    def handle_events(self, events: Sequence[Any]) -> dict[str, float]:
        """Handle batches of any kind, and return what they cost the process, as `handle` does."""
        cpu, wall = time.process_time(), time.perf_counter()
        answers = [self._handler(event, Context()) for event in events]
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        if any(answer != {"batchItemFailures": []} for answer in answers):
            raise AssertionError("messages were not sent")
        return spent

    def memory(self) -> dict[str, int]:
        """Return the bytes that the process has in memory now, and the most that it had."""
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
        return {"now": values["VmRSS"], "peak": values["VmHWM"]}

    def objects(self) -> dict[str, int]:
        """Return how many objects there are that the garbage collector knows."""
        gc.collect()
        return {"objects": len(gc.get_objects())}

    def _batch(self, size: int, accounts: int) -> dict[str, Any]:
        return {"Records": [self._record(next(self._numbers), accounts) for _ in range(size)]}

    def _record(self, number: int, accounts: int) -> dict[str, Any]:
        account = {"account": f"account-{number % accounts}"} if number % accounts else {}
        body = self._body | {"requestId": f"order-{self._process}-{number:06}"} | account
        record: dict[str, Any] = self._template | {
            "messageId": f"{self._process}-8d5e-4e8b-af0e-{number:012}",
            "body": json.dumps(body),
        }
        return record


def main(module: str, log: str, orders: Iterable[str]) -> None:
    """Do what is ordered, and end."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    printed = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(printed, 1)
    os.close(printed)
    function = Function(module)
    for order in orders:
        name, *arguments = json.loads(order)
        print(json.dumps(getattr(function, name)(*arguments)), file=answers)
    # As Lambda ends a function: without a word.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:] or iter(sys.stdin.readline, ""))
