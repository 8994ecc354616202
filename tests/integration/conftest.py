"""Fixtures of the integration tests: the provider's simulator, clients of it, and the gateway as it is deployed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from moto import mock_aws

from cube_sms.platform import aws
from cube_sms.provider.csss.client import CubeClient
from cube_sms.provider.http import Connections
from functions.send_from_queue import app as queue_app
from local.cube_simulator import CubeSimulator
from tests.integration.called_back import Callbacks
from tests.integration.deployment import REGION, Deployment
from tests.integration.worker import Worker
from tests.support import ACCESS_CODE, SECRET, Clock, Printed
from tests.v4_account import KEY, KEY_ID

if TYPE_CHECKING:
    import logging
    import ssl
    from collections.abc import Callable, Iterator

    from cube_sms.provider.client import Client


@pytest.fixture(scope="session")
def _simulator() -> Iterator[CubeSimulator]:
    with CubeSimulator() as simulator:
        yield simulator


@pytest.fixture
def cube(_simulator: CubeSimulator) -> CubeSimulator:
    """The provider, without limits and faults, and with an empty request log."""
    _simulator.configure(
        qps=0,
        connections=0,
        quota=0,
        latency=0,
        retry_after="seconds",
        envelope_only=False,
        timestamp_unit="s",
        accounts={ACCESS_CODE: SECRET},
        keys={KEY_ID: KEY.public},
        signed_spaces="keep",
        unknown_devices=[],
        foreign_devices=[],
        sent_statuses={},
        receipt_delay=0,
        receipt_delays={},
        faults={},
        device_faults={},
        next_faults=[],
    )
    _simulator.reset()
    return _simulator


@pytest.fixture
def connect() -> Iterator[Callable[..., Client[Any, Any]]]:
    """Make clients that are closed at the end."""
    made = []

    def make(
        base_url: str,
        *,
        kind: type[Client[Any, Any]] = CubeClient,
        size: int = 1,
        connect_timeout: float = 5.0,
        read_timeout: float = 20.0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        **options: Any,
    ) -> Client[Any, Any]:
        connections = Connections(
            connect_timeout=connect_timeout, read_timeout=read_timeout, size=size, ssl_context=ssl_context, clock=clock
        )
        made.append(connections)
        return kind(base_url, connections, clock=clock, **options)

    yield make
    for connections in made:
        connections.close()


@pytest.fixture(scope="module")
def _aws(boto3_session: boto3.Session) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.setattr(boto3, "DEFAULT_SESSION", boto3_session)
        # What listens to the tests' own session hears the functions' calls.
        environment.setattr(aws, "session", lambda: boto3_session._session)
        environment.setenv("AWS_DEFAULT_REGION", REGION)
        # With one of these, calls would use `direct_calls` on some machines only.
        for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CONFIG_FILE"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture
def gateway(cube: CubeSimulator, _aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """A deployment of the gateway in front of the simulator."""
    deployment = Deployment(monkeypatch, cube.url)
    yield deployment
    deployment.delete()


@pytest.fixture
def gateway_with_history(cube: CubeSimulator, _aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """One with `DeviceHistory`."""
    deployment = Deployment(monkeypatch, cube.url, has_history=True)
    yield deployment
    deployment.delete()


@pytest.fixture
def callbacks(_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callbacks]:
    """The function that takes callbacks."""
    callbacks = Callbacks(monkeypatch)
    yield callbacks
    callbacks.delete()


@pytest.fixture
def clock() -> Clock:
    """The time of `worker`."""
    return Clock()


@pytest.fixture
def worker(gateway: Deployment, clock: Clock) -> Iterator[Worker]:
    """A worker of the deployment, in a time of its own."""
    worker = Worker(clock)
    yield worker
    worker.provider.close()


class _StandardOutput:
    """The current standard output: pytest replaces it from phase to phase of a test."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], Printed]]:
    """Return what the functions have printed since the last time, every line of which has to be JSON."""
    # The functions' logger, which is one for both, holds the standard output of the time it was made.
    handler = cast("logging.StreamHandler[Any]", queue_app.telemetry.logger.registered_handler)
    earlier = handler.setStream(_StandardOutput())

    def read() -> Printed:
        output = capsys.readouterr()
        return Printed.parse(output.out + output.err)

    yield read
    handler.setStream(earlier)
