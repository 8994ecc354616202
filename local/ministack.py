"""MiniStack, the local AWS, as a child process on loopback."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[1]
REGION = "eu-central-1"

# MiniStack runs functions on its own interpreter. Its environment holds no package of ours, so that what a function
# imports comes from its layers, as on Lambda.
EXECUTABLE = ROOT / ".venv-ministack" / "bin" / "ministack"

# A child that outlives us would keep its port and its workers.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class MiniStack:
    """A local AWS that runs as long as this context, or until `stop`.

    Parameters
    ----------
    port : int
        Port on 127.0.0.1, 0 for a free one.
    authenticate : bool
        Whether the policies of IAM are enforced. It is served over TLS then, which some of them ask for.

    Examples
    --------
    >>> with MiniStack() as aws:
    ...     aws.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"]
    200
    """

    def __init__(self, *, port: int = 0, authenticate: bool = False) -> None:
        if not EXECUTABLE.exists():
            raise FileNotFoundError(f"{EXECUTABLE} is missing: run `make setup`")
        self.port = port or _free_port()
        self.url = f"{'https' if authenticate else 'http'}://127.0.0.1:{self.port}"
        self._scratch = tempfile.TemporaryDirectory(prefix="cube-sms-")
        self.log_file = Path(self._scratch.name, "ministack.log")
        self.ca_file = str(Path(self._scratch.name, "ministack-tls", "server.crt")) if authenticate else None
        """The certificate that vouches for it, made when it starts; None where it is not served over TLS."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self._scratch.name,
            "TMPDIR": self._scratch.name,
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "LAMBDA_EXECUTOR": "local",
            "S3_DATA_DIR": str(Path(self._scratch.name, "s3")),
            "AUTH": str(authenticate).lower(),
            "USE_SSL": str(authenticate).lower(),
        }
        with self.log_file.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCHER, str(EXECUTABLE)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(timeout=60.0)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def client(self, service: Any, **config: Any) -> Any:
        """Return boto3's client of a service, in the region and the account of this local AWS."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - of the local AWS
            verify=self.ca_file,
            config=Config(retries={"mode": "standard", "total_max_attempts": 5}, **config),
        )

    def log(self) -> str:
        """Return what MiniStack has printed."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self) -> None:
        """Stop it, its functions, and whatever it kept on disk."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._scratch.cleanup()

    def _wait_until_ready(self, timeout: float) -> None:
        url = f"{self.url}/_ministack/health"
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"MiniStack did not start:\n{self.log()}")
            try:
                context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
                with urllib.request.urlopen(url, timeout=5, context=context):  # noqa: S310 # nosec B310 # on loopback
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(f"MiniStack is not ready after {timeout} s:\n{self.log()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
