"""Processes that run the built functions, with the import path that they have on Lambda."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUILD = ROOT / ".aws-sam" / "build"
LAYERS = ("CubeLayer", "DependenciesLayer")
QUEUE_FUNCTION = "SendFromQueueFunction"
API_FUNCTION = "SendFromApiFunction"
VALGRIND = shutil.which("valgrind")

# The interpreter below the virtual environment, which knows nothing of what is installed there. -S and -s leave out
# every site-packages, -P the current folder.
PYTHON = [getattr(sys, "_base_executable", sys.executable), "-S", "-s", "-P"]

_INSTRUCTIONS = re.compile(r"\bI\s+refs:\s+([0-9,]+)")


def require_build() -> None:
    """End with a hint where there is nothing to measure."""
    if not all((BUILD / name).is_dir() for name in (*LAYERS, QUEUE_FUNCTION, API_FUNCTION)):
        raise SystemExit("nothing is built: run `make build`")


def environment(function: str = QUEUE_FUNCTION, *, on_lambda: bool = False, cube_url: str = "") -> dict[str, str]:
    """Return the whole environment of a function's process; nothing of our own gets into it.

    Parameters
    ----------
    function : str
        Whose code comes first on the import path.
    on_lambda : bool
        Whether the handler makes its clients when it is imported, as it does on Lambda.
    cube_url : str
        Where Cube, Secrets Manager and DynamoDB are.

    Returns
    -------
    dict[str, str]
        The variables.
    """
    variables = {
        "PYTHONPATH": os.pathsep.join(str(path) for path in _import_path(function)),
        # The instructions of two runs are to be the same, and the built folders stay as they are.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_DYNAMODB": cube_url or "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": cube_url or "http://127.0.0.1:9",
        "CUBE_BASE_URL": f"{cube_url}/cube/v4" if cube_url else "https://cube.invalid/cube/v4",
        "CUBE_SECRET_ID": "cube-sms",
        "MESSAGES_TABLE": "cube-sms-messages",
        "SEND_QUEUE_URL": "http://127.0.0.1:9/123456789012/send",
        "DEAD_LETTER_QUEUE_URL": "http://127.0.0.1:9/123456789012/dead-letters",
        # Fetched once: what is measured is a warm function.
        "SECRET_MAX_AGE": "86400",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        # Not paced: what is measured is the work, and not the waiting.
        "CUBE_MAX_QPS": "0",
        "CUBE_DAILY_QUOTA": "0",
        "CUBE_MAX_CONNECTIONS": "0",
    }
    if on_lambda:
        variables |= {
            "AWS_LAMBDA_FUNCTION_NAME": "cube-sms-function",
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        }
    return variables


def call_inside(function: str, *arguments: Any, cube_url: str = "") -> Any:
    """Call a function of `benchmarks.inside` in a process of the queue function, and return what it returns.

    Parameters
    ----------
    function : str
        ``module.name``.
    *arguments
        Its arguments; they and the result pass as JSON.
    cube_url : str
        As for `environment`.

    Returns
    -------
    Any
        The result.
    """
    done = subprocess.run(
        _inside(function, *arguments), env=_environment_inside(cube_url), stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def instructions_inside(function: str, *arguments: Any, cube_url: str = "") -> int:
    """Return the user-mode instructions of a process that makes such a call."""
    return instructions(_inside(function, *arguments), _environment_inside(cube_url))


def instructions(command: list[str], variables: dict[str, str]) -> int:
    """Return the user-mode instructions of a command, counted by valgrind."""
    assert VALGRIND
    counter = [VALGRIND, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*counter, *command], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
    )
    found = _INSTRUCTIONS.search(done.stderr)
    if not found:
        raise RuntimeError(f"valgrind counted nothing: {done.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def cpu_seconds(command: list[str], variables: dict[str, str]) -> float:
    """Return the user and system time of a command."""
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime


def _import_path(function: str) -> list[Path]:
    return [BUILD / function, *(BUILD / layer / "python" for layer in LAYERS)]


def _inside(function: str, *arguments: Any) -> list[str]:
    return [*PYTHON, "-m", "benchmarks.inside", function, json.dumps(arguments)]


def _environment_inside(cube_url: str) -> dict[str, str]:
    variables = environment(on_lambda=bool(cube_url), cube_url=cube_url)
    # Last, so that it hides nothing of the layers.
    variables["PYTHONPATH"] += os.pathsep + str(ROOT)
    return variables
