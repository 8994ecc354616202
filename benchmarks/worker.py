"""A warm function that handles batches on orders, and returns their cost, in a process that imports it.

Orders come as arguments or as lines on standard input, each a method and its arguments in JSON. Answers leave on what
was standard output; the handler's own lines go nowhere, or into a file where their bytes are asked for.
"""

from __future__ import annotations

import gc
import hmac
import importlib
import json
import math
import os
import signal
import sys
import sysconfig
import time
from collections import Counter
from functools import partial
from itertools import count
from pathlib import Path
from timeit import Timer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import CodeType, FrameType

EVENT = Path(__file__).parents[1] / "events" / "sqs-text.json"

# The provider's own example, and what openssl makes of it.
SECRET = "test-secret"
SIGNATURE = "ZRQ7VRiV08wHUq2DwpX+5A9iM1E="
PARAMETERS: dict[str, Any] = {"version": "2.0", "access_code": "P002276", "timestamp": "1643253530"}
PARAMETERS |= {"deviceId": "89314404000939952215", "messageType": "Text"}
PARAMETERS |= {"smsContentList": [{"smsTemplateContent": "Test message", "smsType": "", "smsNum": "1"}]}

# How often it is signed at a time.
_SIGNATURES = 500

# Of CPU time between two looks. The kernel looks as often as its clock ticks, which may be less often.
_LOOK_SECONDS = 0.001


CONTEXT = SimpleNamespace(
    function_name="cube-sms-function",
    function_version="$LATEST",
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:cube-sms-function",
    memory_limit_in_mb=512,
    aws_request_id="5b2f4bd6-6c3e-4c0b-9a54-0d2c6a4f1f10",
    # More than any batch needs.
    get_remaining_time_in_millis=lambda: 900_000,
)


class Function:
    """The handler of a module, and the batches that it is given."""

    def __init__(self, module: str) -> None:
        self._handler: Callable[[Any, Any], Any] = importlib.import_module(module).handler
        # A batch that a deployment would end after ten seconds, here goes on to its end: valgrind is slow.
        if consumer := sys.modules.get("cube_sms.queue.consumer"):
            vars(consumer)["BATCH_SECONDS"] = math.inf
        self._template = json.loads(EVENT.read_text("utf-8"))["Records"][0]
        self._body = json.loads(self._template["body"])
        # No message has the id of another one, of this process or an earlier one: it would be a message tried again.
        self._process = f"{time.time_ns() % 16**8:08x}"
        self._numbers = count()
        self._init = time.process_time()

    def init(self) -> float:
        """Return the seconds of CPU that the process has taken before its first event."""
        return self._init

    def handle(self, size: int, batches: int = 1, accounts: int = 1) -> dict[str, float]:
        """Handle batches of so many messages, of accounts in turns, and return what they cost the process."""
        records = [[self._record(next(self._numbers), accounts) for _ in range(size)] for _ in range(batches)]
        return self.handle_events([{"Records": batch} for batch in records])

    def handle_events(self, events: Sequence[Any]) -> dict[str, float]:
        """Handle batches of any kind, and return the seconds of ``cpu`` and ``wall`` that they cost the process."""
        cpu, wall = time.process_time(), time.perf_counter()
        answers = [self._handler(event, CONTEXT) for event in events]
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        if any(answer != {"batchItemFailures": []} for answer in answers):
            raise AssertionError("messages were not sent")
        return spent

    def memory(self) -> dict[str, float]:
        """Return the megabytes that the process has in memory ``now``, and had at its ``peak``."""
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        values = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines if line.endswith("kB")}
        return {"now": values["VmRSS"], "peak": values["VmHWM"]}

    def objects(self) -> int:
        """Return how many objects there are that the garbage collector knows."""
        gc.collect()
        return len(gc.get_objects())

    def stacks(self, messages: int) -> dict[str, Any]:
        """Return the ``seconds`` of CPU of single messages, and their ``stacks`` with how often each was seen."""
        seen: Counter[tuple[CodeType, ...]] = Counter()

        def look(_signal: int, frame: FrameType | None) -> None:
            stack: list[CodeType] = []
            while frame:
                stack.append(frame.f_code)
                frame = frame.f_back
            seen[tuple(reversed(stack))] += 1

        self.handle(1, 50)
        signal.signal(signal.SIGPROF, look)
        signal.setitimer(signal.ITIMER_PROF, _LOOK_SECONDS, _LOOK_SECONDS)
        spent = self.handle(1, messages)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return {"seconds": spent["cpu"], "stacks": [([*map(_label, stack)], times) for stack, times in seen.items()]}

    def signatures(self, rounds: int) -> dict[str, list[float]]:
        """Return the microseconds of signing, and those of a bare HMAC-SHA1 of the same bytes."""
        from benchmarks.processes import in_turns
        from cube_sms.provider.csss.signing import sign, text_to_sign

        if sign(PARAMETERS, SECRET) != SIGNATURE:
            raise AssertionError("the signature is wrong")
        names = {"sign": sign, "parameters": PARAMETERS, "secret": SECRET}
        names |= {"digest": hmac.digest, "key": SECRET.encode(), "content": text_to_sign(PARAMETERS)}

        def microseconds(statement: str) -> float:
            # timeit switches the garbage collector off; it is part of what the functions pay.
            timer = Timer(statement, "import gc; gc.enable()", time.process_time, names)
            return timer.timeit(_SIGNATURES) / _SIGNATURES * 1e6

        statements = {"sign": "sign(parameters, secret)", "digest": 'digest(key, content, "sha1")'}
        return in_turns({key: partial(microseconds, statement) for key, statement in statements.items()}, rounds)

    def _record(self, number: int, accounts: int) -> dict[str, Any]:
        account = {"account": f"account-{number % accounts}"} if number % accounts else {}
        body = self._body | {"requestId": f"order-{self._process}-{number:06}"} | account
        message_id = f"{self._process}-8d5e-4e8b-af0e-{number:012}"
        return {**self._template, "messageId": message_id, "body": json.dumps(body)}


def _label(code: CodeType) -> str:
    path = code.co_filename
    for folder in ("/opt/python", *sys.path, sysconfig.get_path("stdlib")):
        path = path.removeprefix(folder + os.sep)
    return f"{path}:{code.co_qualname}"


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
