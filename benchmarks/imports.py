"""Importing the handlers against importing boto3, each in a fresh process."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

from benchmarks.functions import (
    API_FUNCTION,
    PYTHON,
    QUEUE_FUNCTION,
    VALGRIND,
    cpu_seconds,
    environment,
    instructions,
)
from benchmarks.import_times import Module, by_importer, fastest, parse
from benchmarks.report import Row, Section, compare, table

TITLE = "Import"
MOST_RATIO = 2.0

_ROUNDS = 8
_ROUNDS_OF_TIMES = 5
_LISTED = 20

_CLIENTS = "import boto3; boto3.client('secretsmanager'); boto3.client('sqs')"

# What is run, in which function's environment, and whether that is Lambda's, where the handler makes its clients.
_RUNS = {
    "bare": ("pass", QUEUE_FUNCTION, False),
    "boto3": ("import boto3", QUEUE_FUNCTION, False),
    "queue": ("import app", QUEUE_FUNCTION, False),
    "api": ("import app", API_FUNCTION, False),
    "clients": (_CLIENTS, QUEUE_FUNCTION, True),
    "queue init": ("import app", QUEUE_FUNCTION, True),
}
_PAIRS = (
    ("import queue handler / import boto3", "queue", "boto3", MOST_RATIO),
    ("import API handler / import boto3", "api", "boto3", None),
    ("queue init / boto3 and its two clients", "queue init", "clients", None),
)

_METHOD = """
User and system time of a process that imports the handler and ends, and its instructions, less those of a process
that does nothing, against `import boto3` from the same layer. Both layers are compiled. "Init" is the import under
Lambda's environment, where the handler makes its two boto3 clients and loads the certificates.
"""


def measure() -> Section:
    """Return what the imports cost, and where."""
    rows = _rows("CPU", "ms", _cpu_milliseconds())
    if VALGRIND:
        rows += _rows("instructions", "M", _instructions())
    return Section(TITLE, _METHOD, rows, _breakdown())


def _rows(kind: str, unit: str, samples: dict[str, list[float]]) -> list[Row]:
    net = {
        key: [value - start for value, start in zip(values, samples["bare"], strict=True)]
        for key, values in samples.items()
    }
    return [compare(f"{what}, {kind}", unit, net[ours], net[peer], most=most) for what, ours, peer, most in _PAIRS]


def _cpu_milliseconds() -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {key: [] for key in _RUNS}
    for number in range(_ROUNDS + 1):
        for key in _RUNS:
            seconds = cpu_seconds(*_command(key))
            # The first round reads the files from the disk.
            if number:
                samples[key].append(seconds * 1e3)
    return samples


def _instructions() -> dict[str, list[float]]:
    # Two at once: their number does not depend on what else runs.
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda key: instructions(*_command(key)), _RUNS))
    return {key: [count / 1e6] for key, count in zip(_RUNS, counts, strict=True)}


def _command(key: str, *options: str) -> tuple[list[str], dict[str, str]]:
    statement, function, on_lambda = _RUNS[key]
    return [*PYTHON, *options, "-c", statement], environment(function, on_lambda=on_lambda)


def _modules(key: str) -> list[Module]:
    command, variables = _command(key, "-X", "importtime")
    runs = []
    for _ in range(_ROUNDS_OF_TIMES):
        done = subprocess.run(command, env=variables, stderr=subprocess.PIPE, text=True, check=True)
        runs.append(parse(done.stderr))
    return fastest(runs)


def _breakdown() -> list[str]:
    boto3 = _modules("boto3")
    known = {module.name for module in boto3}
    beyond = [module for module in _modules("queue") if module.name not in known]
    modules = sorted(beyond, key=lambda module: -module.own)[:_LISTED]
    packages = by_importer(beyond)
    return [
        f"`import boto3` loads {len(boto3)} modules in {sum(module.own for module in boto3):.0f} ms of wall time "
        f"(`-X importtime`, the fastest of {_ROUNDS_OF_TIMES} runs for each module). The queue handler loads "
        f"{len(beyond)} more in {sum(module.own for module in beyond):.0f} ms. By the package that asked for them, "
        "with what it loads of the standard library:\n\n"
        + table(("package", "modules", "ms"), [(f"`{name}`", str(count), f"{ms:.1f}") for name, count, ms in packages]),
        f"The {_LISTED} dearest modules beyond boto3's, by their own time:\n\n"
        + table(
            ("module", "own ms", "imported by"),
            [(f"`{module.name}`", f"{module.own:.1f}", f"`{module.importer or 'the start'}`") for module in modules],
        ),
    ]
