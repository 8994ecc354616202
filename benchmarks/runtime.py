"""Cold starts in Lambda's own runtime interface (`local.lambda_runtime`), with the layers on disk: cached, or not."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.functions import API_FUNCTION, BUILD, LAYERS, PEERS_PACKAGES, QUEUE_FUNCTION, ROOT
from local.lambda_runtime import LambdaRuntime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TRUSTED = Path("/opt/trusted")

_SECONDS = 60

# What `sam build` leaves out of a package: it compiles nothing.
_UNCOMPILED = shutil.ignore_patterns("__pycache__")
_NOTHING = "def handler(event, context):\n    return {}\n"


@dataclass(frozen=True)
class Deployed:
    """A function as it is deployed.

    Parameters
    ----------
    code : Path
        Its folder.
    layer : Path
        What is in `/opt`.
    handler : str
        Name of the handler.
    """

    code: Path
    layer: Path
    handler: str = "app.handler"

    def first_answer(self, settings: Mapping[str, str], event: Any, *, is_cached: bool = True) -> float:
        """Return the seconds from the first invocation to its answer, the start of the interpreter among them.

        Parameters
        ----------
        settings : Mapping[str, str]
            The variables it is deployed with.
        event : Any
            Its first event.
        is_cached : bool
            Whether its layer is in the page cache.

        Returns
        -------
        float
            Seconds.
        """
        (_read if is_cached else _evict)(self.layer)
        with LambdaRuntime(self.code, settings, _SECONDS, handler=self.handler, layers=[self.layer]) as function:
            start = time.perf_counter()
            answer = function.invoke(event)
            seconds = time.perf_counter() - start
        if answer.get("batchItemFailures"):
            raise AssertionError("the message was not sent")
        return seconds


@contextmanager
def deployed(trusted: Path) -> Iterator[dict[str, Deployed]]:
    """Put what is measured onto the disk, for as long as this context.

    Parameters
    ----------
    trusted : Path
        A folder with the authorities, which functions find as `TRUSTED`.

    Yields
    ------
    dict[str, Deployed]
        ``nothing`` and ``boto3`` (an import, in our layers), ``queue`` and ``API`` (ours), ``naive`` (compiled) and
        ``naive, as SAM builds it`` (not compiled).
    """
    with tempfile.TemporaryDirectory(prefix="cube-sms-cold-") as scratch:
        folder = Path(scratch)
        ours, naive, uncompiled = (folder / name for name in ("ours", "naive", "uncompiled"))
        for layer in LAYERS:
            shutil.copytree(BUILD / layer, ours, dirs_exist_ok=True)
        shutil.copytree(PEERS_PACKAGES, naive / "python")
        shutil.copytree(PEERS_PACKAGES, uncompiled / "python", ignore=_UNCOMPILED)
        peers = folder / "peers" / "benchmarks"
        shutil.copytree(ROOT / "benchmarks" / "peers", peers / "peers", ignore=_UNCOMPILED)
        for name, source in (("nothing", _NOTHING), ("boto3", f"import boto3\n\n{_NOTHING}")):
            folder.joinpath(name).mkdir()
            folder.joinpath(name, "app.py").write_text(source)
        for opt in (ours, naive, uncompiled):
            shutil.copytree(trusted, opt / TRUSTED.name)
        # What is not written yet could not be evicted.
        os.sync()
        yield {
            "nothing": Deployed(folder / "nothing", ours),
            "boto3": Deployed(folder / "boto3", ours),
            "queue": Deployed(BUILD / QUEUE_FUNCTION, ours),
            "API": Deployed(BUILD / API_FUNCTION, ours),
            "naive": Deployed(peers.parent, naive, "benchmarks.peers.naive.handler"),
            "naive, as SAM builds it": Deployed(peers.parent, uncompiled, "benchmarks.peers.naive.handler"),
        }


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _read(folder: Path) -> None:
    for path in _files(folder):
        path.read_bytes()


def _evict(folder: Path) -> None:
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
