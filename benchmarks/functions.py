"""What is measured: the built functions and their peers, each with the import path and the environment of Lambda."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = Path(os.environ.get("BENCH_BUILD", ROOT / ".aws-sam" / "build"))
LAYERS = ("CubeLayer", "DependenciesLayer")
AUTHORITIES = BUILD / "DependenciesLayer" / "python" / "botocore" / "cacert.pem"
QUEUE_FUNCTION = "SendFromQueueFunction"
API_FUNCTION = "SendFromApiFunction"
PUBLISH_FUNCTION = "PublishOutcomesFunction"
PEERS_PACKAGES = ROOT / ".venv-bench" / "lib" / "python3.13" / "site-packages"
VALGRIND = shutil.which("valgrind")

# The interpreter below the virtual environment, which knows nothing of what is installed there. -S and -s leave out
# every site-packages, -P the current folder.
PYTHON = [getattr(sys, "_base_executable", sys.executable), "-S", "-s", "-P"]

# Nobody listens there.
_NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Subject:
    """A function that is measured.

    Parameters
    ----------
    name : str
        What the tables call it.
    module : str
        Where its handler is.
    path : tuple of Path
        All that its process finds outside the standard library.
    variables : tuple of (str, str)
        Further variables of its environment.
    """

    name: str
    module: str
    path: tuple[Path, ...]
    variables: tuple[tuple[str, str], ...] = ()


def _built(function: str) -> tuple[Path, ...]:
    return (BUILD / function, *(BUILD / layer / "python" for layer in LAYERS))


def _peer(name: str, module: str, **variables: str) -> Subject:
    return Subject(name, f"benchmarks.peers.{module}", (PEERS_PACKAGES, ROOT), tuple(variables.items()))


OURS = Subject("cube-sms", "app", _built(QUEUE_FUNCTION))
OUR_API = Subject("cube-sms API", "app", _built(API_FUNCTION))
PUBLISHER = Subject("cube-sms publisher", "app", _built(PUBLISH_FUNCTION))
NAIVE = _peer("naive", "naive")
UNTRACED = _peer("naive without Tracer", "naive", POWERTOOLS_TRACE_DISABLED="true")
ASYNC = _peer("async", "asynchronous")
BARE = _peer("bare", "bare")
FLOOR = _peer("floor", "floor")


def require_build() -> None:
    """End with a hint where there is nothing to measure."""
    if not all((BUILD / name).is_dir() for name in (*LAYERS, QUEUE_FUNCTION, API_FUNCTION, PUBLISH_FUNCTION)):
        raise SystemExit("nothing is built: run `make build`")


def settings(aws_url: str = _NOWHERE, cube_url: str = "https://cube.invalid/cube/v4") -> dict[str, str]:
    """Return the variables that a function is deployed with, ours and the peers'.

    Parameters
    ----------
    aws_url, cube_url : str
        Where AWS and Cube are.

    Returns
    -------
    dict[str, str]
        The variables.
    """
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
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_SERVICE_NAME": "benchmark",
        # Not paced: what is measured is the work, and not the waiting.
        "CUBE_MAX_QPS": "0",
        "CUBE_DAILY_QUOTA": "0",
        "CUBE_MAX_CONNECTIONS": "0",
        "API_CONNECTIONS": "0",
    }


def environment(subject: Subject, deployed: dict[str, str] | None = None, *, is_lambda: bool = True) -> dict[str, str]:
    """Return the whole environment of a function's plain process; nothing of our own gets into it.

    Parameters
    ----------
    subject : Subject
        Whose.
    deployed : dict[str, str], optional
        Its `settings`.
    is_lambda : bool
        Whether it has the variables by which code knows Lambda. Ours makes its clients then when it is imported.

    Returns
    -------
    dict[str, str]
        The variables.
    """
    variables = {
        "PYTHONPATH": os.pathsep.join(map(str, subject.path)),
        # The instructions of two runs are to be the same, and the built folders stay as they are.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        # As Lambda's runtime does: what is printed leaves at once.
        "PYTHONUNBUFFERED": "1",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "eu-central-1",
        **(settings() if deployed is None else deployed),
        **dict(subject.variables),
    }
    if is_lambda:
        variables |= {
            "AWS_LAMBDA_FUNCTION_NAME": "cube-sms-function",
            "LAMBDA_TASK_ROOT": "/var/task",
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        }
    return variables
