"""MiniStack, the local AWS, as a child process on loopback."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.child import Child, free_ports

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


class MiniStack(Child):
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
        super().__init__("MiniStack")
        self.port = port or free_ports(1)[0]
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
            "S3_DATA_DIR": str(Path(self._scratch.name, "s3")),
            "AUTH": str(authenticate).lower(),
            "USE_SSL": str(authenticate).lower(),
        }
        self._start([sys.executable, "-c", _LAUNCHER, str(EXECUTABLE)], environment, timeout=60.0)

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
        with urllib.request.urlopen(url, timeout=5, context=context):  # noqa: S310 # nosec B310 # on loopback
            pass
