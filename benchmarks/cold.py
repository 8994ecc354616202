"""A cold start: the handlers' init against importing boto3, and init with the first message against the naive peer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from benchmarks.processes import NAIVE, OUR_API, OURS, PEERS_PACKAGES, copy_peers, in_turns, settings, working
from benchmarks.report import ROOT, Row, Section, compare, middle, spread, table
from benchmarks.server import serving
from layers.dependencies.build import write_authorities
from local.lambda_runtime import LambdaRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.processes import Command, Subject
    from benchmarks.server import Server

# Of each row, what is compared, with what, and the target.
_PAIRS = (
    ("queue handler's init / import boto3", "queue", "boto3", 1.35),
    ("API handler's init / import boto3", "API", "boto3", 1.7),
    ("queue handler's init and first message / naive", "first", "naive", 0.5),
)

# What is started in Lambda's runtime interface.
_NAMES = {
    "nothing": "a handler that does nothing",
    "boto3": "one that imports boto3",
    "queue": "queue handler, no message",
    "API": "API handler, a path that does not exist",
    "first": "queue handler, one message",
    "naive": "naive, one message, compiled",
    "uncompiled": "naive, one message, as SAM builds it",
}

_NOTHING = "def handler(event, context):\n    return {}\n"

# The authorities that functions trust: each in a file of this folder, and all of them in one.
_TRUSTED = Path("/opt/trusted")
_BUNDLE = "all.pem"

_IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| ( *)(\S+)")
_IMPORT_RUNS, _LISTED, _LEAST_LISTED = 5, 20, 0.5

type _Samples = Mapping[str, Sequence[float]]


def measure(quick: bool) -> Section:
    """Return what a cold start costs, and where."""
    with _server() as (server, trusted):
        commands = _commands(server, trusted)
        cpu = in_turns({key: command.cpu_milliseconds for key, command in commands.items()}, 3 if quick else 15)
        with _deployed(server, trusted) as starts:
            cached = in_turns({key: start.milliseconds for key, start in starts.items()}, 2 if quick else 4, skipped=0)
            cold = {key: partial(start.milliseconds, is_cached=False) for key, start in starts.items()}
            evicted = in_turns(cold, 2 if quick else 3, skipped=0)
    kinds = {"CPU": cpu, "wall": cached, "wall, evicted": evicted}
    rows = {kind: _rows(kind, "ms", samples) for kind, samples in kinds.items()}
    ratios = [
        (pair[0], *(found[number].ratio.partition(" ")[0] for found in rows.values()), f"<= {pair[-1]:g}")
        for number, pair in enumerate(_PAIRS)
    ]
    listed = [(name, middle(cached[key]), middle(evicted[key])) for key, name in _NAMES.items()]
    more = [(name, spread(cached[key]), spread(evicted[key])) for key, name in _NAMES.items()]
    header = ("function", "cached", "evicted")
    imports, tables = _imports()
    blocks = {"cold": table(header, listed), "cold-ratios": table(("", *kinds, "target"), ratios), "imports": imports}
    tables = {"Milliseconds until the first answer": table(header, more), **tables}
    series = {name: [median(cached[key]), median(evicted[key])] for key, name in _NAMES.items()}
    return Section([], blocks, {"cold": series}, [row for found in rows.values() for row in found], tables)


def measure_instructions(_quick: bool) -> Section:
    """Return the instructions of a cold start."""
    with _server() as (server, trusted):
        counts = {key: [command.instructions() / 1e6] for key, command in _commands(server, trusted).items()}
    return Section(_rows("instructions", "M", counts))


@contextmanager
def _server() -> Iterator[tuple[Server, Path]]:
    """Run a server with TLS, and yield it with a folder of the layer's authorities and its own certificate."""
    with tempfile.TemporaryDirectory(prefix="cube-sms-tls-") as scratch:
        chain, key, trusted = (Path(scratch, name) for name in ("certificate.pem", "key.pem", "trusted"))
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", *kind, *subject, "-out", str(chain), "-keyout", str(key)]
        subprocess.run(command, check=True, capture_output=True)
        bundle = Path(scratch, _BUNDLE)
        authorities = OURS.path[-1] / "botocore" / "cacert.pem"
        bundle.write_text(authorities.read_text("utf-8") + chain.read_text("utf-8"), "utf-8")
        write_authorities(bundle, trusted)
        bundle.rename(trusted / _BUNDLE)
        with serving(chain, key) as server:
            yield server, trusted


def _trusting(subject: Subject, trusted: Path) -> dict[str, Any]:
    # Ours has its authorities in a folder, and so is shown a folder. Peers have theirs in a file.
    if subject is OURS:
        return {"SSL_CERT_DIR": str(trusted), "SSL_CERT_FILE": os.devnull}
    return dict.fromkeys(("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), str(trusted / _BUNDLE))


def _rows(kind: str, unit: str, samples: _Samples) -> list[Row]:
    """Return the lines of all pairs, less what a process costs that does nothing."""
    net = {
        key: [value - nothing for value, nothing in zip(values, samples["nothing"], strict=True)]
        for key, values in samples.items()
    }
    return [compare(f"{what}, {kind}", unit, net[ours], net[peer], most) for what, ours, peer, most in _PAIRS]


def _commands(server: Server, trusted: Path) -> dict[str, Command]:
    statements = {"nothing": ("pass", OURS), "boto3": ("import boto3", OURS)}
    statements |= {"queue": ("import app", OURS), "API": ("import app", OUR_API)}
    # Lambda ends a function so, without any cleaning up.
    ending = "; import os; os._exit(0)"
    return {
        **{key: subject.command("-c", what + ending) for key, (what, subject) in statements.items()},
        "first": working(OURS, server, ["handle", 1], **_trusting(OURS, trusted)),
        "naive": working(NAIVE, server, ["handle", 1], **_trusting(NAIVE, trusted)),
    }


class _Start(NamedTuple):
    """A function as it is deployed, and its first event."""

    code: Path
    layer: Path
    variables: Mapping[str, str]
    event: Callable[[], Any]
    handler: str = "app.handler"

    def milliseconds(self, *, is_cached: bool = True) -> float:
        """Return the time until it answers its first invocation, the start of the interpreter included."""
        for path in filter(Path.is_file, self.layer.rglob("*")):
            with path.open("rb") as file:
                if is_cached:
                    file.read()
                else:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with LambdaRuntime(self.code, self.variables, 60, handler=self.handler, layers=[self.layer]) as function:
            start = time.perf_counter()
            answer = function.invoke(self.event())
            seconds = time.perf_counter() - start
        if answer.get("batchItemFailures"):
            raise AssertionError("the message was not sent")
        return seconds * 1e3


@contextmanager
def _deployed(server: Server, trusted: Path) -> Iterator[dict[str, _Start]]:
    """Put what is started onto the disk, for as long as this context."""
    # None of the functions of the API is asked for anything.
    unknown = json.loads((ROOT / "events" / "api-post-text.json").read_text("utf-8")) | {"resource": "/nothing"}
    init = settings(server.aws_url)
    first = settings(server.aws_url, server.cube_url())
    with tempfile.TemporaryDirectory(prefix="cube-sms-cold-") as scratch:
        folder = Path(scratch)
        ours, naive, uncompiled, peers = (folder / name for name in ("ours", "naive", "uncompiled", "peers"))
        for layer in OURS.path[1:]:
            shutil.copytree(layer.parent, ours, dirs_exist_ok=True)
        shutil.copytree(PEERS_PACKAGES, naive / "python")
        # `sam build` compiles nothing.
        shutil.copytree(PEERS_PACKAGES, uncompiled / "python", ignore=shutil.ignore_patterns("__pycache__"))
        copy_peers(peers)
        for name, source in (("nothing", _NOTHING), ("boto3", f"import boto3\n\n{_NOTHING}")):
            folder.joinpath(name).mkdir()
            folder.joinpath(name, "app.py").write_text(source)
        for opt in (ours, naive, uncompiled):
            shutil.copytree(trusted, opt / _TRUSTED.name)
        # What is not written yet could not be evicted.
        os.sync()
        handler = f"{NAIVE.module}.handler"
        as_naive = first | _trusting(NAIVE, _TRUSTED)
        yield {
            "nothing": _Start(folder / "nothing", ours, init, dict),
            "boto3": _Start(folder / "boto3", ours, init, dict),
            "queue": _Start(OURS.path[0], ours, init, lambda: {"Records": []}),
            "API": _Start(OUR_API.path[0], ours, init, lambda: unknown),
            "first": _Start(OURS.path[0], ours, first | _trusting(OURS, _TRUSTED), _message),
            "naive": _Start(peers, naive, as_naive, _message, handler),
            "uncompiled": _Start(peers, uncompiled, as_naive, _message, handler),
        }


def _message() -> dict[str, Any]:
    """Return the event of a message that has never been sent."""
    template = json.loads((ROOT / "events" / "sqs-text.json").read_text("utf-8"))["Records"][0]
    body = json.loads(template["body"]) | {"requestId": str(uuid4())}
    return {"Records": [template | {"messageId": str(uuid4()), "body": json.dumps(body)}]}


def _imports() -> tuple[str, dict[str, str]]:
    """Return how long imports take, and tables of that by package and by module."""
    boto3, queue = _modules("import boto3"), _modules("import app")
    packages: defaultdict[str, list[float]] = defaultdict(list)
    for name, (own, _) in queue.items():
        while (package := name.partition(".")[0]) in sys.stdlib_module_names and queue[name][1]:
            name = queue[name][1]
        packages[package].append(own)
    by_package = sorted(packages.items(), key=lambda item: -sum(item[1]))
    listed = [(f"`{name}`", f"{len(own)}", f"{sum(own):.1f}") for name, own in by_package if sum(own) >= _LEAST_LISTED]
    dearest = sorted(queue.items(), key=lambda item: -item[1][0])[:_LISTED]
    modules = [(f"`{name}`", f"{own:.1f}", f"`{importer or 'the start'}`") for name, (own, importer) in dearest]
    found = {"`import boto3`": boto3, "the queue handler's init": queue}
    totals = [(name, f"{len(each)}", f"{sum(own for own, _ in each.values()):.0f}") for name, each in found.items()]
    return table(("", "modules", "ms"), totals), {
        "Imports of the queue handler, by the package that imports them": table(("package", "modules", "ms"), listed),
        "The slowest imports": table(("module", "own ms", "imported by"), modules),
    }


def _modules(statement: str) -> dict[str, tuple[float, str]]:
    """Return what is imported, each module with the least milliseconds that it took, and who asked for it first."""
    best: dict[str, tuple[float, str]] = {}
    for _ in range(_IMPORT_RUNS):
        arguments, variables = OURS.command("-X", "importtime", "-c", statement)
        done = subprocess.run(arguments, env=variables, stderr=subprocess.PIPE, text=True, check=True)
        # A line stands after those of what it imports, which are indented deeper. So, going backwards, the importer of
        # a line is the last one that was indented less.
        importers: list[tuple[int, str]] = []
        for line in filter(None, map(_IMPORTED.match, reversed(done.stderr.splitlines()))):
            depth, name = len(line[2]), line[3]
            while importers and importers[-1][0] >= depth:
                importers.pop()
            module = (int(line[1]) / 1000, importers[-1][1] if importers else "")
            best[name] = min(module, best.get(name, module))
            importers.append((depth, name))
    return best
