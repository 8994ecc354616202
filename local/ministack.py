"""MiniStack, the local AWS, as a child process on loopback."""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.request
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from local.child import Child, free_ports, is_free
from local.command import CommandError

if TYPE_CHECKING:
    from local.keep import Kept

ROOT = Path(__file__).parents[1]
REGION = "eu-central-1"

# MiniStack runs functions on its own interpreter. Its environment holds no package of ours, so that what a function
# imports comes from its layers, as on Lambda.
EXECUTABLE = ROOT / ".venv-ministack" / "bin" / "python"
_SERVER = Path(__file__).with_name("ministack_server.py")

# A child that outlives us would keep its port and its workers. One that keeps what it holds has to write it first.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM if "PERSIST_STATE" in os.environ else signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class MiniStack(Child):
    """A local AWS that runs as long as this context, or until `stop`.

    Parameters
    ----------
    port : int
        Port on 127.0.0.1, 0 for a free one.
    authenticate : bool
        Whether the policies of IAM are enforced. It is served over TLS then, which some of them ask for.
    kept : Kept, optional
        The folder that keeps what it holds; by default all of it is gone with it.

    Raises
    ------
    CommandError
        If its port is taken, or it does not start.

    Examples
    --------
    >>> with MiniStack() as aws:
    ...     aws.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"]
    200
    """

    def __init__(self, *, port: int = 0, authenticate: bool = False, kept: Kept | None = None) -> None:
        if not EXECUTABLE.exists():
            raise FileNotFoundError(f"{EXECUTABLE} is missing: run `make setup`")
        if port and not is_free(port):
            raise CommandError(
                f"Port {port} of 127.0.0.1 is taken, maybe by another local stack. Stop it, or name a port."
            )
        super().__init__("The local AWS (MiniStack)", stop_timeout=30.0 if kept else 2.0)
        self.port = port or free_ports(1)[0]
        # Identifies it: another process may answer on its port.
        self._mark = uuid.uuid4().hex
        self.url = f"{'https' if authenticate else 'http'}://127.0.0.1:{self.port}"
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
            # Servers of its own that listen on all addresses.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "MINISTACK_EDITION": self._mark,
            "S3_DATA_DIR": str(Path(self._scratch.name, "s3")),
            "AUTH": str(authenticate).lower(),
            "USE_SSL": str(authenticate).lower(),
            **(kept.environment if kept else {}),
        }
        self._start([sys.executable, "-c", _LAUNCHER, str(EXECUTABLE), "-P", str(_SERVER)], environment, timeout=60.0)

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

    @property
    def environment(self) -> dict[str, str]:
        """What a program's environment has to say for its AWS SDK or CLI to work on this local AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **({"AWS_CA_BUNDLE": self.ca_file} if self.ca_file else {}),
        }

    def _connect(self) -> None:
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        url = f"{self.url}/_ministack/health"
        try:
            with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310 # nosec B310 # loopback alone
                health = json.load(answer)
        except (HTTPException, ValueError) as error:
            raise ConnectionError("not MiniStack") from error
        if health.get("edition") != self._mark:
            raise CommandError(f"Another server answers on port {self.port} of 127.0.0.1. Stop it, or name a port.")
