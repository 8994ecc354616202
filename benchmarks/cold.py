"""A cold start: the handlers' init against importing boto3, and init with the first message against the naive peer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from benchmarks.functions import NAIVE, OUR_API, OURS, PYTHON, ROOT, VALGRIND, environment, settings
from benchmarks.import_times import Module, by_importer, fastest, parse
from benchmarks.processes import cpu_seconds, instructions, worker_command, worker_environment
from benchmarks.report import Row, Section, Spread, compare, table
from benchmarks.runtime import TRUSTED, deployed
from benchmarks.server import BUNDLE, Certificate, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.functions import Subject

TITLE = "Cold start"
MOST_QUEUE_INIT = 1.4
MOST_API_INIT = 1.7
MOST_FIRST_MESSAGE = 0.5

_ROUNDS = 8
_RUNTIME_ROUNDS = 4
_EVICTED_ROUNDS = 3
_ROUNDS_OF_TIMES = 5
_LISTED = 20
_LEAST_LISTED = 0.5

_METHOD = """
"Init" is the import of a handler under Lambda's environment, where ours makes its clients and its TLS context;
"first" is that and one message. All of it is compared less what the same process costs that does nothing.

- **CPU** and **instructions** are those of plain processes that import the handler, or handle a message, and end. The
  instructions are of user mode alone.
- **Wall time** is that of the first invocation in Lambda's own runtime interface (aws-lambda-rie and awslambdaric, the
  folders of Lambda), as its caller sees it: the interpreter starts, imports and answers. The layers are on disk, in the
  page cache, or ("evicted") thrown out of it with `posix_fadvise(POSIX_FADV_DONTNEED)`, as on a machine that has never
  run the function. The interpreter's own library stays cached.

Our layers are compiled, as they are built. So is the naive peer where it is compared. As `sam build` leaves packages
they are not, and since Lambda's folders are read-only they are compiled again at each start. Cube and AWS are a server
on loopback that talks TLS; its certificate stands among the authorities that ours and the peers trust anyway.
"""

# Of each column, what it is compared with, and the target.
_PAIRS = (
    ("queue handler's init / import boto3", "queue", "boto3", MOST_QUEUE_INIT),
    ("API handler's init / import boto3", "API", "boto3", MOST_API_INIT),
    ("queue handler's init and first message / naive", "first", "naive", MOST_FIRST_MESSAGE),
)

# What is started in Lambda's runtime interface.
_NAMES = {
    "nothing": "a handler that does nothing",
    "boto3": "one that imports boto3",
    "queue": "queue handler, no message",
    "API": "API handler, a path that does not exist",
    "first": "queue handler, one message",
    "naive": "naive, one message, compiled",
    "naive, as SAM builds it": "naive, one message, as SAM builds it",
}

type _Command = tuple[list[str], dict[str, str]]
type _Samples = dict[str, list[float]]


def measure(*, quick: bool = False) -> Section:
    """Return what a cold start costs, and where."""
    with _server() as (server, trusted):
        rows = _rows("CPU", "ms", _cpu_milliseconds(_commands(server, trusted), 3 if quick else _ROUNDS))
        cached, evicted = _walls(server, trusted, (2, 2) if quick else (_RUNTIME_ROUNDS, _EVICTED_ROUNDS))
    rows += _rows("wall", "ms", cached) + _rows("wall, evicted", "ms", evicted)
    starts = {name: [Spread.of(samples[key]) for samples in (cached, evicted)] for key, name in _NAMES.items()}
    medians = {name: [spread.median for spread in spreads] for name, spreads in starts.items()}
    details = [_table(starts), *([] if quick else _breakdown())]
    return Section(TITLE, _METHOD, rows, details, series={"cold": medians})


def measure_instructions(*, quick: bool = False) -> Section:
    """Return the instructions of a cold start."""
    del quick
    title = f"{TITLE}, in instructions"
    if not VALGRIND:
        return Section(title, "Not measured: valgrind was not found.", [])
    with _server() as (server, trusted):
        commands = _commands(server, trusted)
        samples = {key: [instructions(*command) / 1e6] for key, command in commands.items()}
    return Section(title, "The plain processes of above, counted by valgrind.", _rows("instructions", "M", samples))


@contextmanager
def _server() -> Iterator[tuple[Server, Path]]:
    """Run a server with TLS, and yield it with the folder of the authorities to trust."""
    with tempfile.TemporaryDirectory(prefix="cube-sms-tls-") as scratch:
        certificate = Certificate.make(Path(scratch))
        with Server(certificate) as server:
            yield server, certificate.trust(Path(scratch))


def _rows(kind: str, unit: str, samples: _Samples) -> list[Row]:
    net = {
        key: [value - nothing for value, nothing in zip(values, samples["nothing"], strict=True)]
        for key, values in samples.items()
    }
    return [compare(f"{what}, {kind}", unit, net[ours], net[peer], most=most) for what, ours, peer, most in _PAIRS]


def _trusting(subject: Subject, trusted: Path) -> dict[str, str]:
    # Ours has its authorities in a folder, and so is shown a folder. Peers have theirs in a file.
    if subject is OURS:
        return {"SSL_CERT_DIR": str(trusted), "SSL_CERT_FILE": os.devnull}
    return dict.fromkeys(("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), str(trusted / BUNDLE))


def _commands(server: Server, trusted: Path) -> dict[str, _Command]:
    def run(statement: str, subject: Subject) -> _Command:
        # As Lambda ends a function: nobody tidies up.
        return [*PYTHON, "-c", f"{statement}; import os; os._exit(0)"], environment(subject)

    def first(subject: Subject) -> _Command:
        command = worker_command(subject, os.devnull, ["handle", 1])
        return command, worker_environment(subject, server, variables=_trusting(subject, trusted))

    return {
        "nothing": run("pass", OURS),
        "boto3": run("import boto3", OURS),
        "queue": run("import app", OURS),
        "API": run("import app", OUR_API),
        "first": first(OURS),
        "naive": first(NAIVE),
    }


def _cpu_milliseconds(commands: Mapping[str, _Command], rounds: int) -> _Samples:
    samples: _Samples = {key: [] for key in commands}
    for number in range(rounds + 1):
        for key, command in commands.items():
            seconds = cpu_seconds(*command)
            # The first round reads the files from the disk.
            if number:
                samples[key].append(seconds * 1e3)
    return samples


def _walls(server: Server, trusted: Path, rounds: tuple[int, int]) -> tuple[_Samples, _Samples]:
    template = json.loads((ROOT / "events" / "sqs-text.json").read_text("utf-8"))["Records"][0]
    # None of the functions of the API is asked for anything.
    nothing = json.loads((ROOT / "events" / "api-post-text.json").read_text("utf-8")) | {"resource": "/nothing"}
    init = settings(server.aws_url)
    first = settings(server.aws_url, server.cube_url())
    ours, naive = (first | _trusting(subject, TRUSTED) for subject in (OURS, NAIVE))
    with deployed(trusted) as functions:
        starts: dict[str, tuple[str, dict[str, str], Callable[[], Any]]] = {
            "nothing": ("nothing", init, dict),
            "boto3": ("boto3", init, dict),
            "queue": ("queue", init, lambda: {"Records": []}),
            "API": ("API", init, lambda: nothing),
            "first": ("queue", ours, lambda: _message(template)),
            "naive": ("naive", naive, lambda: _message(template)),
            "naive, as SAM builds it": ("naive, as SAM builds it", naive, lambda: _message(template)),
        }

        def walls(count: int, *, is_cached: bool) -> _Samples:
            samples: _Samples = {key: [] for key in starts}
            for _ in range(count):
                for key, (name, variables, event) in starts.items():
                    seconds = functions[name].first_answer(variables, event(), is_cached=is_cached)
                    samples[key].append(seconds * 1e3)
            return samples

        return walls(rounds[0], is_cached=True), walls(rounds[1], is_cached=False)


def _message(template: dict[str, Any]) -> dict[str, Any]:
    """Return the event of a message that has never been sent."""
    body = json.loads(template["body"]) | {"requestId": str(uuid4())}
    return {"Records": [template | {"messageId": str(uuid4()), "body": json.dumps(body)}]}


def _table(starts: dict[str, list[Spread]]) -> str:
    rows = [(name, *(spread.text() for spread in spreads)) for name, spreads in starts.items()]
    return (
        "Milliseconds until the first invocation is answered, the start of the interpreter included:\n\n"
        + table(("function", "cached", "evicted"), rows)
        + "\n\n![Milliseconds until the first answer](benchmarks-cold.png)"
    )


def _modules(statement: str, subject: Subject) -> list[Module]:
    runs = []
    for _ in range(_ROUNDS_OF_TIMES):
        command = [*PYTHON, "-X", "importtime", "-c", statement]
        done = subprocess.run(command, env=environment(subject), stderr=subprocess.PIPE, text=True, check=True)
        runs.append(parse(done.stderr))
    return fastest(runs)


def _breakdown() -> list[str]:
    boto3, queue = _modules("import boto3", OURS), _modules("import app", OURS)
    dearest = sorted(queue, key=lambda module: -module.own)[:_LISTED]
    return [
        f"`import boto3` loads {len(boto3)} modules in {_milliseconds(boto3):.0f} ms of wall time (`-X importtime`, "
        f"the fastest of {_ROUNDS_OF_TIMES} runs for each module), the queue handler's init {len(queue)} in "
        f"{_milliseconds(queue):.0f} ms. By the package that asked for them, with what it loads of the standard "
        "library; `app` includes making the clients:\n\n"
        + table(
            ("package", "modules", "ms"),
            [(f"`{name}`", str(count), f"{ms:.1f}") for name, count, ms in by_importer(queue) if ms >= _LEAST_LISTED],
        ),
        f"Its {_LISTED} dearest modules, by their own time:\n\n"
        + table(
            ("module", "own ms", "imported by"),
            [(f"`{module.name}`", f"{module.own:.1f}", f"`{module.importer or 'the start'}`") for module in dearest],
        ),
    ]


def _milliseconds(modules: Sequence[Module]) -> float:
    return sum(module.own for module in modules)
