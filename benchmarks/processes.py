"""What is measured, and how: processes of the built functions and of their peers, each with what Lambda gives it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.report import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.server import Server

BUILD = Path(os.environ.get("BENCH_BUILD", ROOT / ".aws-sam" / "build"))
LAYERS = ("CubeLayer", "DependenciesLayer")
PEERS_PACKAGES = ROOT / ".venv-bench" / "lib" / "python3.13" / "site-packages"
VALGRIND = shutil.which("valgrind")

# The interpreter below the virtual environment, which knows nothing of what is installed there. -S and -s leave out
# every site-packages, -P the current folder.
PYTHON = [getattr(sys, "_base_executable", sys.executable), "-S", "-s", "-P"]


class Subject(NamedTuple):
    """A function that is measured: its name in tables, where its handler is, and all that its process can import."""

    name: str
    module: str
    path: tuple[Path, ...]
    variables: tuple[tuple[str, str], ...] = ()

    def environment(self, *path: Path, **variables: str) -> dict[str, str]:
        """Return the whole environment of its plain process; nothing of our own gets into it."""
        return {
            "PYTHONPATH": os.pathsep.join(map(str, [*self.path, *path])),
            # The instructions of two runs are to be the same, and the built folders stay as they are.
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONWARNINGS": "ignore",
            # As Lambda's runtime does: what is printed leaves at once.
            "PYTHONUNBUFFERED": "1",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_DEFAULT_REGION": "eu-central-1",
            # By these code knows Lambda. Ours makes its clients then when it is imported.
            "AWS_LAMBDA_FUNCTION_NAME": "cube-sms-function",
            "LAMBDA_TASK_ROOT": "/var/task",
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            **(variables or settings()),
            **dict(self.variables),
        }

    def command(self, *arguments: str) -> Command:
        """Return a command of its interpreter."""
        return Command([*PYTHON, *arguments], self.environment())


def _built(name: str, function: str) -> Subject:
    return Subject(name, "app", (BUILD / function, *(BUILD / layer / "python" for layer in LAYERS)))


def _peer(name: str, module: str, **variables: str) -> Subject:
    return Subject(name, f"benchmarks.peers.{module}", (PEERS_PACKAGES, ROOT), tuple(variables.items()))


OURS = _built("cube-sms", "SendFromQueueFunction")
OUR_API = _built("cube-sms API", "SendFromApiFunction")
PUBLISHER = _built("cube-sms publisher", "PublishOutcomesFunction")
NAIVE = _peer("naive", "naive")
UNTRACED = _peer("naive without Tracer", "naive", POWERTOOLS_TRACE_DISABLED="true")
ASYNC = _peer("async", "asynchronous")
BARE = _peer("bare", "bare")
FLOOR = _peer("floor", "floor")


def require_build() -> None:
    """End with a hint where there is nothing to measure."""
    if not all(path.is_dir() for subject in (OURS, OUR_API, PUBLISHER) for path in subject.path):
        raise SystemExit("nothing is built: run `make build`")


def copy_peers(folder: Path) -> None:
    """Put the peers' own code into the folder of a function."""
    source = ROOT / "benchmarks" / "peers"
    shutil.copytree(source, folder / "benchmarks" / "peers", ignore=shutil.ignore_patterns("__pycache__"))


def settings(aws_url: str = "http://127.0.0.1:9", cube_url: str = "https://cube.invalid/cube/v4") -> dict[str, str]:
    """Return the variables that a function is deployed with, ours and the peers'. The defaults lead to no server."""
    return {
        "AWS_ENDPOINT_URL": aws_url,
        "CUBE_BASE_URL": cube_url,
        "CUBE_SECRET_ID": "accounts-1",
        "MESSAGES_TABLE": "cube-sms-messages",
        "EVENT_BUS": "cube-sms",
        "SEND_QUEUE_URL": f"{aws_url}/123456789012/send",
        "DEAD_LETTER_QUEUE_URL": f"{aws_url}/123456789012/dead-letters",
        "REJECTED_QUEUE_URL": f"{aws_url}/123456789012/rejected",
        # Fetched once: what is measured is a warm function.
        "SECRET_MAX_AGE": "86400",
        "REPLIES": "off",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_SERVICE_NAME": "benchmark",
        # Not paced: what is measured is the work, and not the waiting.
        **dict.fromkeys(("CUBE_MAX_QPS", "CUBE_DAILY_QUOTA", "CUBE_MAX_CONNECTIONS", "API_CONNECTIONS"), "0"),
    }


def outcomes_event(size: int) -> dict[str, Any]:
    """Return the publisher's event of so many messages that were sent, without a task that waits."""
    change = json.loads((ROOT / "events" / "stream-outcomes.json").read_text("utf-8"))["Records"][0]
    del change["dynamodb"]["NewImage"]["taskTokens"]
    return {"Records": [change] * size}


class Command(NamedTuple):
    """A process that ends by itself."""

    arguments: list[str]
    variables: dict[str, str]

    def cpu_milliseconds(self) -> float:
        """Return its user and system time."""
        process = subprocess.Popen(self.arguments, env=self.variables, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, self.arguments)
        return (usage.ru_utime + usage.ru_stime) * 1e3

    def instructions(self) -> int:
        """Return its instructions in user mode, counted by valgrind."""
        counter = [str(VALGRIND), "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command = [*counter, *self.arguments]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True, check=False)
        found = re.search(r"\bI\s+refs:\s+([0-9,]+)", done.stderr)
        if done.returncode or not found:
            raise RuntimeError(f"valgrind counted nothing: {done.stderr[-2000:]}")
        return int(found[1].replace(",", ""))


def working(
    subject: Subject, server: Server, *orders: list[Any], delay: float = 0.0, log: str = os.devnull, **variables: Any
) -> Command:
    """Return the command of a function that does what is ordered (`benchmarks.worker`), or what comes as input.

    Its Cube and its AWS are the server, the former answering after a delay. It prints to a file. Further variables of
    its environment can be given.
    """
    arguments = [*PYTHON, "-m", "benchmarks.worker", subject.module, log, *map(json.dumps, orders)]
    # The path to this package comes last, so that it hides nothing of the layers.
    deployed = {**settings(server.aws_url, server.cube_url(delay)), **variables}
    return Command(arguments, subject.environment(ROOT, **deployed))


class Worker(NamedTuple):
    """A function that is kept warm."""

    subject: Subject
    process: subprocess.Popen[str]

    def do(self, order: str, *arguments: Any) -> Any:
        """Call a method of its `Function`, and return what it returns."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([order, *arguments]) + "\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"the process of {self.subject.name} has ended")
        return json.loads(line)

    def message_cpu(self, size: int, batches: int = 1, accounts: int = 1) -> float:
        """Handle batches, and return the microseconds of CPU of a message."""
        return float(self.do("handle", size, batches, accounts)["cpu"] / size / batches * 1e6)


@contextmanager
def worker(subject: Subject, server: Server, **options: Any) -> Iterator[Worker]:
    """Keep a function warm for as long as this context, with the options of `working`."""
    command, pipe = working(subject, server, **options), subprocess.PIPE
    process = subprocess.Popen(command.arguments, env=command.variables, stdin=pipe, stdout=pipe, text=True)
    try:
        yield Worker(subject, process)
    finally:
        process.communicate(timeout=60)


def in_turns[Key](
    measurements: Mapping[Key, Callable[[], float]], rounds: int, *, skipped: int = 1, at_once: bool = False
) -> dict[Key, list[float]]:
    """Take each measurement once a round, so that what disturbs the machine disturbs all of them.

    The first rounds, which read from the disk, connect, and fill caches, can be skipped. What mostly waits can run at
    the same time. Samples of one round have the same index.
    """
    samples: dict[Key, list[float]] = {key: [] for key in measurements}
    order = list(measurements)
    with ThreadPoolExecutor(len(order) if at_once else 1) as pool:
        for number in range(skipped + rounds):
            for key, sample in zip(order, pool.map(lambda key: measurements[key](), order), strict=True):
                if number >= skipped:
                    samples[key].append(sample)
            # No subject always follows the same neighbour.
            order = [*order[1:], order[0]] if number % 2 else order[::-1]
    return samples
